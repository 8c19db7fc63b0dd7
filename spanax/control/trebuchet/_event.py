"""Steps of equal length until an event, and the event itself, located inside the last step.

The time of an event moves with the parameters. Its derivative is that of the root of the event's function, by the implicit
function theorem; a loop that is differentiated step by step would miss it, since the number of steps does not change.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from ._integrators import Method, Slope
from .machine import Scalar

# state -> (what falls through 0 at the event, whether the state is sound)
Event = Callable[[Any], tuple[Scalar, Array]]


class Path(NamedTuple):
    """One phase. `passed`: the states that its steps start from, the first `steps` rows of them; None if not recorded."""

    state: Any  # at the event
    fired: Array  # whether the event came, with every state before it sound
    steps: Array
    passed: Any


def until(
    event: Event, method: Method, slope: Slope, state: Any, length: float, longest: float, most: int, record: bool
) -> Path:
    """Steps of `length` up to the event, for `longest` seconds and `most` steps, whichever ends first. `state.time` is the time.

    The last step is cut at the event, at a root by `lax.custom_root`: its derivatives, of any order, are those of the implicit
    function. Where the event did not come, the state is meaningless.
    """
    whole = jnp.asarray(length, state.time.dtype)
    # When to give up does not depend on the parameters.
    end = lax.stop_gradient(state.time) + longest
    # Room for all rows: a loop cannot grow an array.
    passed = jax.tree.map(lambda y: jnp.zeros(most, y.dtype), state) if record else None

    def is_before_event(carry):
        n, _, ahead, _, value, sound = carry
        return (value > 0) & sound & (n < most) & (ahead.time < end)

    def go(carry):
        n, _, state, passed, _, _ = carry
        ahead = method.step(slope, state, whole)
        # Whether to continue has no derivative.
        value, sound = event(lax.stop_gradient(ahead))
        if record:
            passed = jax.tree.map(lambda rows, y: rows.at[n].set(y), passed, state)
        return n + 1, state, ahead, passed, value, sound

    start = (jnp.zeros((), int), state, state, passed, jnp.ones_like(whole), jnp.ones((), bool))
    n, state, ahead, passed, value, sound = lax.while_loop(is_before_event, go, start)
    # The states are differentiated by forward mode through the loop; how far into the last step the event lies, as a root.
    within = method.within(slope, state, ahead, whole)
    # The loop inside finds the root and has no derivative; `custom_root` gives it the implicit function's.
    part = lax.custom_root(
        lambda part: event(within(part))[0],
        jnp.ones_like(whole),
        functools.partial(_false_position, at_end=lax.stop_gradient(value)),
        lambda linear, y: y / linear(jnp.ones_like(y)),
    )
    return Path(within(part), (value <= 0) & sound, n, passed)


def _false_position(f: Callable[[Scalar], Scalar], end: Scalar, at_end: Scalar) -> Scalar:
    """The root of f between 0 and `end`, where f changes its sign, to the last digits; no more than 60 evaluations of it.

    The Illinois form of false position: Dowell and Jarratt, BIT 11, 1971.
    """
    # A few units in the last place: closer than that is rounding.
    close = 4 * jnp.finfo(end.dtype).eps * end

    def is_moving(carry):
        n, *_, moved = carry
        return (jnp.abs(moved) > close) & (n < 60)

    def go(carry):
        n, a, at_a, b, at_b, _ = carry
        x = b - at_b * (b - a) / (at_b - at_a)
        # Where both ends have nearly the same value, the line through them leaves the bracket.
        x = jnp.where((x > jnp.minimum(a, b)) & (x < jnp.maximum(a, b)), x, (a + b) / 2)
        at_x = f(x)
        crossed = (at_x > 0) != (at_b > 0)
        # Illinois: the value at an end that stays is halved, so that neither end can stay put.
        a, at_a = jnp.where(crossed, b, a), jnp.where(crossed, at_b, at_a / 2)
        return n + 1, a, at_a, x, at_x, x - b

    start = jnp.zeros_like(end)
    return lax.while_loop(is_moving, go, (0, start, f(start), end, at_end, end))[3]
