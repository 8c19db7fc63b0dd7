"""An event of a motion: found without a derivative, and differentiated at the place that was found."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from .integrators import Scalar, State
from .moment import moment
from .motion import Motion
from .search import Found, search

# Flatter than this at the event, by the change of the condition over the step, is grazing: a few roots of the precision, because
# a root that rounding moves by its square moves the derivative by itself.
_FLAT = 8.0
# Farther from zero than this power of the precision, by its size at the ends of the step, it is no root: a jump over zero.
_JUMP = 0.25


class Problem(eqx.Module):
    """An event, as a pytree of all that it depends on.

    `sign`: of the condition before the event: 1.0 if it falls through zero, -1.0 if it rises, 0.0 if it may do either.
    `forward`: whether the motion can be differentiated in forward mode.
    """

    motion: Motion
    condition: Callable[[State], Scalar]
    sign: float = eqx.field(static=True)
    most: int = eqx.field(static=True)
    forward: bool = eqx.field(static=True)

    def value(self, state: State, before: Array, length: Scalar) -> Scalar:
        """The condition after a step of this length."""
        return self.condition(self.motion.advance(state, before, length))

    def rate(self, state: State, before: Array, length: Scalar) -> Scalar:
        """Its derivative by time."""

        def value(length):
            return self.value(state, before, length)

        if self.forward:
            return jax.jvp(value, (length,), (jnp.ones_like(length),))[1]
        return jax.grad(value)(length)


class Flags(NamedTuple):
    """What was found: whether the event fired, whether it only grazes, whether it jumps over zero, and whether a NaN ended the
    search. Also for messages: the time at which the search ended, the condition there and at the start.
    """

    fired: Array
    grazing: Array
    jumps: Array
    unsound: Array
    time: Scalar
    at_start: Scalar
    at_end: Scalar

    @property
    def lost(self) -> Array:
        """Is there neither an event nor a state at the end that could be differentiated?"""
        return self.grazing | self.jumps | self.unsound


def solve(problem: Problem, check: Callable[[Flags], None]) -> tuple[Scalar, State, Flags]:
    """(the time of the event, the state at it, the flags). Where it did not fire, time and state are those of the end.

    `check` sees the flags, traced or not, and may raise.
    """
    arrays, static = eqx.partition(problem, eqx.is_array)

    # The value alone takes no more steps than there are; only the derivative takes them all (`Motion.replay`).
    @jax.custom_jvp
    def solution(arrays):
        problem = eqx.combine(arrays, static)
        found, flags = _locate(problem)
        check(flags)
        return problem.motion.time(found.before, found.length * _part(flags)), found.ahead, flags

    @solution.defjvp
    def _(primals, tangents):
        # Where the event lies has no derivative by itself.
        found, flags = _locate(eqx.combine(lax.stop_gradient(primals[0]), static))
        check(flags)

        def differentiable(arrays):
            problem = eqx.combine(arrays, static)
            before = found.before
            state = problem.motion.replay(before)
            # All of it an argument: the rule of the root may run when the trace in which it is made is over.
            root = moment(
                lambda p, length: eqx.combine(p[0], static).value(p[1], p[2], length),
                lambda p, length: eqx.combine(p[0], static).rate(p[1], p[2], length),
            )
            length = root((arrays, state, before), found.length) * _part(flags)
            return problem.motion.time(before, length), problem.motion.advance(state, before, length), flags

        return jax.jvp(differentiable, primals, tangents)

    return solution(arrays)


def _part(flags: Flags) -> Array:
    """Of the last step: all of it up to an event, none where all steps are done, NaN otherwise."""
    # A factor, because `where` would stop a NaN on its way back to the parameters, and leave a derivative of 0.
    other = jnp.where(flags.lost, jnp.nan, 0.0)
    return jnp.where(flags.fired, 1.0, other).astype(flags.time.dtype)


def _locate(problem: Problem) -> tuple[Found, Flags]:
    motion, none = problem.motion, jnp.zeros((), int)
    length = motion.length
    at_start, rate = problem.condition(motion.start), problem.rate(motion.start, none, jnp.zeros_like(length))
    sign, starts_at_event = _first_sign(problem, at_start, rate)
    # What rounding has left of the last event, faded out over the time in which it could be met again.
    tolerance = _tolerance(length)

    def condition(state, before, x):
        value = problem.condition(state)
        first = starts_at_event & (before == 0)
        rest = at_start * jnp.maximum(1 - x / (4 * tolerance), 0)
        # The root at the start is divided out, so that the search can only find another one.
        value = sign * jnp.where(first, (value - rest) * (length / x), value)
        return value, jnp.asarray(_is_finite(state))

    found = search(
        motion.advance,
        condition,
        motion.start,
        length,
        problem.most,
        at_start=sign * jnp.where(starts_at_event, rate * length, at_start),
    )
    slope = problem.rate(found.state, found.before, found.length) * length
    flat = _FLAT * np.sqrt(jnp.finfo(length.dtype).eps)
    largest = jnp.maximum(*map(jnp.abs, found.values))
    steep = jnp.abs(slope) > flat * largest
    # A state that is not finite ends the search.
    at_end = problem.condition(found.ahead)
    unsound = ~_is_finite(found.ahead) | jnp.isnan(at_end) | jnp.isnan(at_start)
    time = jnp.where(unsound, motion.time(found.before, found.length), problem.most * length)
    fired = found.fired & ~unsound
    # An angle that is wrapped changes its sign there as well, and the derivative of where it is wrapped is another one.
    jumps = fired & (jnp.abs(at_end) > jnp.finfo(length.dtype).eps ** _JUMP * largest)
    fired &= ~jumps
    flags = Flags(fired & steep, fired & ~steep, jumps, unsound, time, at_start, at_end)
    return found, flags


def _first_sign(problem: Problem, at_start: Scalar, rate: Scalar) -> tuple[Scalar, Array]:
    """(the condition's sign before the event, whether the motion starts at an event).

    A ball that has just bounced is at its event, but for rounding: the next one comes only after the condition has left zero.
    """
    motion = problem.motion
    starts_at_event = jnp.abs(at_start) <= _tolerance(motion.length) * jnp.abs(rate)
    if problem.sign:
        return jnp.asarray(problem.sign, at_start.dtype), starts_at_event
    leaving = jnp.where(starts_at_event, jnp.sign(rate), jnp.sign(at_start))

    def after_a_step():
        return jnp.sign(problem.value(motion.start, jnp.zeros((), int), motion.length))

    # It may start at rest, with neither value nor slope.
    return lax.cond(leaving == 0, after_a_step, lambda: leaving), starts_at_event


def _tolerance(length: Scalar) -> Scalar:
    """Nearer to an event than this, in time, is at it: far more than rounding, and far less than a step."""
    return length * np.sqrt(jnp.finfo(length.dtype).eps).astype(length.dtype)


def _is_finite(state: State) -> Array:
    checks = [jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(state) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.stack(checks).all() if checks else jnp.ones((), bool)
