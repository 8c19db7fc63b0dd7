"""The moment at which a condition is met, and the state then, with the derivatives of both."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from .._checks import check_positive, check_whole
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from ._event.arguments import as_array, check_condition, closed, floating_state, is_reverse_only, takes_time
from ._event.diagnosis import refuse
from ._event.motion import Flow, Integrated, Motion
from ._event.solution import Problem, solve

# The condition's sign before the event.
_SIGNS = {"both": 0.0, "falling": 1.0, "rising": -1.0}


class Event(eqx.Module):
    """When and where a condition is met. `event` returns it.

    `time`: since the start. `state_before`: at the event. `state`: the same after the reset. All three can be differentiated.
    `event_fired`: whether the condition was met. Where it was not, floats are NaN, or, with `required=False`, those at the end.
    `grazing`: whether it did not fire because the condition crosses zero without a slope.

    >>> from spanax import control
    >>> there = control.event(lambda x, t: x - t, lambda x: x, 3.0, within=10.0)
    >>> isinstance(there, control.Event), bool(there.event_fired)
    (True, True)
    """

    time: Float[Array, ""]
    state: Any
    state_before: Any
    event_fired: Bool[Array, ""]
    grazing: Bool[Array, ""]


def event(
    flow: Callable[..., Any],
    condition: Callable[[Any], Any],
    state: Any,
    *,
    within: float,
    reset: Callable[[Any], Any] | None = None,
    step: float | None = None,
    checks: int = 64,
    direction: Literal["both", "falling", "rising"] = "both",
    required: bool = True,
) -> Event:
    """DOC"""
    refuse_foreign(state)
    check_positive("event(within", within)
    if direction not in _SIGNS:
        raise SpanaxError(f"direction={direction!r}", *(f"direction={name!r}" for name in _SIGNS))
    start, dtype = floating_state(state)
    check_condition(condition, start)
    most = _steps(within, step, checks)
    motion = _motion(flow, start, jnp.asarray(within / most, dtype), step, most)
    converted = closed(lambda state: jnp.asarray(condition(state), dtype), start)
    forward = not is_reverse_only(lambda: (motion.advance(start, jnp.zeros((), int), motion.length), converted(start)))
    problem = Problem(motion, converted, _SIGNS[direction], most, forward)
    time, before, flags = solve(problem, lambda flags: refuse(flags, within, direction, required))
    there = flags.fired if required else ~flags.grazing & ~flags.unsound
    time, before = _or_nan(time, there), _or_nan(before, there)
    return Event(time, _after(reset, before, flags.fired, required), before, flags.fired, flags.grazing)


def _steps(within: float, step: float | None, checks: int) -> int:
    check_whole("event(checks", checks)
    if step is None:
        return checks
    check_positive("event(step", step)
    # All of one length, no longer than asked for.
    return max(math.ceil(within / step * (1 - 1e-9)), 1)


def _motion(flow: Callable, start: Any, length: Array, step: float | None, most: int) -> Motion:
    if step is None:
        flow = closed(as_array("flow(state, t)", flow, start, start, length), start, length)
        return Flow(flow=flow, start=start, length=length)
    what, slope = "slope(t, state)", flow
    if not takes_time(flow):
        what, slope = "slope(state)", lambda t, state: flow(state)
    slope = closed(as_array(what, slope, start, length, start), length, start)
    return Integrated(slope=slope, start=start, length=length, most=most)


def _after(reset: Callable | None, before: Any, fired: Array, required: bool) -> Any:
    if reset is None:
        return before
    if required:
        return reset(before)
    # Where there is no event there is nothing to reset, and its derivative there may be infinite.
    return jax.lax.cond(fired, reset, lambda state: state, before)


def _or_nan(tree: Any, there: Array) -> Any:
    """The floats of a tree, or NaN."""

    def one(x):
        # By a product: the derivative of `where` would be 0, and look like an answer.
        return x * jnp.where(there, 1.0, jnp.nan).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else x

    return jax.tree.map(one, tree)
