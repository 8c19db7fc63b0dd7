"""Steps of equal length until an event, and the length of the last one, at whose end the event lies: one loop does both.

It has no derivative of its own by the length of the last step: `moment` adds it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from .integrators import Scalar, State
from .once import once

# (state, steps before it, length) -> the state after a step of that length
Advance = Callable[[State, Array, Scalar], State]
# (state, steps before it, length of the step to it) -> (what falls through 0 at the event, whether the state is sound)
Condition = Callable[[State, Array, Scalar], tuple[Scalar, Array]]

# Far more than false position takes, which is 5 to 10; so many halvings of a step leave nothing in either precision.
_MOST_TRIALS = 60


class Found(NamedTuple):
    """The last step, which ends at the event. `passed`: the states that all steps start from; None if not recorded."""

    state: State  # where the last step starts
    length: Scalar  # of the last step
    ahead: State  # at the event
    before: Array  # the whole steps before the last one
    fired: Array  # whether the event came, with every state before it sound
    values: tuple[Scalar, Scalar]  # the condition at both ends of the whole step in which the event lies
    passed: Any


def search(
    advance: Advance,
    condition: Condition,
    start: State,
    length: Scalar,
    most: int,
    *,
    at_start: Scalar | None = None,
    is_late: Callable[[State], Array] | None = None,
    record: bool = False,
) -> Found:
    """Steps of `length` up to the event, and the event's place in the last step to the last digits, by false position.

    The event is where the condition falls from above 0 to 0 or below. Where it is 0 or below at the start, it must rise
    above 0 first. The search ends without an event after `most` steps, at a state that `is_late`, or at one that is not sound.
    Two crossings within one step are not seen.

    False position is that of Illinois (Dowell and Jarratt, BIT 11, 1971). It tries steps of other lengths from the state at
    which the last step starts, so that the motion is in the program once, for the steps and for the trials.

    **Arguments:**

    - `at_start`: the condition at the start. By default it is evaluated, as a first step of length 0.

    **Returns:**

    The `Found`: where the event did not come, its last step is not one, and its states are where the search ended.
    """
    # Room for all rows: a loop cannot grow an array.
    passed = jax.tree.map(lambda y: jnp.zeros(most, y.dtype), start) if record else None
    # A few units in the last place: closer than that is rounding.
    close = 4 * jnp.finfo(length.dtype).eps * length

    def go(carry: _Carry) -> _Carry:
        last, x, (a, at_a, b, at_b) = carry.found, carry.following, carry.bracket
        ahead = advance(last.state, last.before, x)
        # Where to go on has no derivative: neither by the state, nor by what the condition depends on.
        at_x, sound = condition(lax.stop_gradient(ahead), last.before, x)
        at_x = lax.stop_gradient(once(at_x))
        sound &= ~jnp.isnan(at_x)
        # While there is no bracket, b is the start of the step.
        crossed = jnp.where(last.fired, (at_x > 0) != (at_b > 0), (at_b > 0) & (at_x <= 0))
        fired = last.fired | crossed
        found = Found(
            _where(fired, last.state, ahead),
            x,
            ahead,
            # The very first step may have the length 0.
            last.before + jnp.where(~fired & (x > 0), 1, 0),
            fired & sound,
            # Of the whole step: they tell how steep the crossing is.
            _where(last.fired, last.values, (at_b, at_x)),
            _recorded(last.passed, last.before, last.state) if record else None,
        )
        # Illinois: the value at an end that stays is halved, so that neither end can stay put.
        a, at_a = _where(crossed, (b, at_b), (a, at_a / 2))
        b = jnp.where(fired, x, jnp.zeros_like(x))
        following = jnp.where(fired, _between(a, at_a, b, at_x), length)
        given_up = ~fired & (found.before >= most)
        if is_late is not None:
            given_up |= ~fired & is_late(lax.stop_gradient(ahead))
        located = fired & ((jnp.abs(following - b) <= close) | (carry.trials >= _MOST_TRIALS))
        return _Carry(
            found, (a, at_a, b, at_x), following, carry.trials + jnp.where(fired, 1, 0), given_up | located | ~sound
        )

    # Batched where the state is: JAX would find out by tracing the loop again, and the loops inside it again each time.
    filled = next(x for x in jax.tree.leaves(start) if x.size)
    some = lax.stop_gradient(filled.reshape(-1)[:1].reshape(()))
    length, zero = (jnp.where(some == some, x, x) for x in (length, jnp.zeros_like(length)))
    none = jnp.where(some == some, 0, 0)
    first, value = (zero, zero) if at_start is None else (length, at_start)
    found = Found(start, first, start, none, none != 0, (value, value), passed)
    carry = _Carry(found, (zero, zero, zero, value), first, none, none != 0)
    return lax.while_loop(lambda carry: ~carry.ended, go, carry).found


class _Carry(NamedTuple):
    found: Found
    bracket: tuple[
        Scalar, Scalar, Scalar, Scalar
    ]  # two lengths, b the newer, and the condition there: a, at_a, b, at_b
    following: Scalar  # the length to try next
    trials: Array
    ended: Array


def _where(test: Array, yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda *both: jnp.where(test, *both), yes, no)


def _between(a: Scalar, at_a: Scalar, b: Scalar, at_b: Scalar) -> Scalar:
    """Where the line through both ends is 0; the middle, where rounding takes that out of the bracket."""
    x = b - at_b * (b - a) / (at_b - at_a)
    inside = ((x > jnp.minimum(a, b)) & (x < jnp.maximum(a, b))) | (at_b == 0)
    return jnp.where(inside, x, (a + b) / 2)


def _recorded(rows: Any, row: Array, state: State) -> Any:
    return jax.tree.map(lambda rows, y: rows.at[row].set(y), rows, state)
