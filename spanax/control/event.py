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
    """The first time at which a condition is met, and the state then: an impact, a switch, a threshold.

    With x(t, p) the motion, p all that it depends on, and g the condition, the time T(p) is a root, g(x(T, p), p) = 0. So

        dT/dp = -(dg/dp at a fixed time) / (dg/dt),

    by the implicit function theorem, and the state at the event moves by dx/dp + dx/dt dT/dp. After a reset R, the derivative of
    what follows is the saltation matrix, R' + (f_after - R' f_before) g' / (g' f_before), with f the slopes before and after:
    Aizerman and Gantmakher (Q. J. Mech. Appl. Math. 11, 1958); Corner, Sandu and Sandu (Multibody System Dynamics 47, 2019);
    Kong, Payne, Zhu and Johnson, "Saltation matrices" (Proc. IEEE, 2024).

    Derivatives of time and state are exact, of every order, in forward and reverse mode (in a scan, in reverse mode, to the
    third: JAX drops the rule there), by the state and by whatever the three
    functions close over. It works under `jit`, `vmap`, inside `lax.scan` and in lifted programs. With `step=` they are those
    of the integration, including its error. Outside of `jax.jit` each call is compiled anew.

    A start at the condition, but for rounding, is not an event: a ball that has just bounced first leaves the ground. Nearer than
    sqrt(eps) of an interval, an event cannot be told from that.

    **Arguments:**

    - `flow`: `flow(state, t)`, the state a time t later; smooth, also at t = 0. With `step=`, the derivative by time instead,
      `slope(state)`, or `slope(t, state)`, where t counts from the start.
    - `condition`: `condition(state)`, a smooth number that is 0 at the event and crosses zero there.
    - `state`: a pytree of arrays and numbers, at least one of them a float. With `step=`, leaves that are not floats stay.
    - `within`: the longest time, a number of Python.
    - `reset`: `reset(state)` is the state after the event.
    - `step`: the longest step of the Runge-Kutta method of fourth order; the event is at the end of a shorter one. A derivative
      computes all of the `within / step` steps, and reverse mode keeps their states.
    - `checks`: how many times the sign of the condition is looked at within `within`, equally spaced; with `step=` once a step.
      The first change is taken. Two crossings between two looks are not seen, so that the event found may not be the first:
      `within / checks`, or `step`, should be below half the shortest time between two crossings.
    - `direction`: which crossings count: "falling" (from above zero to below), "rising", or "both".
    - `required`: False: where the condition is not met, the result is the state at `within`, not reset.

    **Returns:**

    An `Event`: `.time`, `.state`, `.state_before`, `.event_fired`, `.grazing`.

    **Raises:**

    - `SpanaxError` where the condition is not met (unless `required=False`); where it only grazes zero, so that dg/dt is lost in
      rounding and the time has no derivative; where it jumps over zero, as an angle that is wrapped does; where state or
      condition become NaN or infinite. Under `jit`, `vmap` and `scan` nothing can be raised: floats and their derivatives are
      NaN, and `event_fired` is False.
    - `SpanaxError` for wrong arguments: a condition that is not one number, a flow whose result does not look like the state.

    >>> import jax, spanax as sx
    >>> def landing(height, gravity):
    ...     def fall(state, t):
    ...         x, v = state
    ...         return x + v * t - gravity * t**2 / 2, v - gravity * t
    ...     return sx.event(fall, lambda state: state[0], (height, 0.0), within=5.0).time
    >>> print(f"{landing(10.0, 9.81):.4f}")
    1.4278
    >>> print([f"{slope:.4f}" for slope in jax.grad(landing, (0, 1))(10.0, 9.81)])
    ['0.0714', '-0.0728']
    """
    refuse_foreign((state, within, step))
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
    there = flags.fired if required else ~flags.lost
    time, before = _or_nan(time, there), _or_nan(before, there)
    return Event(time, _after(reset, before, flags.fired, required), before, flags.fired, flags.grazing)


# A lifted program's own functions are lifted before they come here, even those defined outside of it.
event.calls_the_program = True  # pyright: ignore[reportFunctionMemberAccess]


def _steps(within: float, step: float | None, checks: int) -> int:
    check_whole("event(checks", checks)
    if step is None:
        return checks
    check_positive("event(step", step)
    # All of one length, no longer than asked for.
    # Less a little, so that rounding does not add a step where `step` divides `within`.
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
    return jax.lax.cond(fired, as_array("reset(state)", reset, before, before), lambda state: state, before)


def _or_nan(tree: Any, there: Array) -> Any:
    """The floats of a tree, or NaN."""

    def one(x):
        # By a product: the derivative of `where` would be 0, and look like an answer.
        return x * jnp.where(there, 1.0, jnp.nan).astype(x.dtype) if jnp.issubdtype(x.dtype, jnp.inexact) else x

    return jax.tree.map(one, tree)
