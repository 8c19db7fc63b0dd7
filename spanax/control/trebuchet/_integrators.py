"""Explicit integrators: one step, and the states inside it.

Explicit Euler with a line inside its step, and the classical Runge-Kutta method of fourth order with Hermite's cubic
(Hairer, Norsett and Wanner, Solving Ordinary Differential Equations I, sections II.1 and II.6).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

from .machine import Scalar

State = Any  # a pytree of numbers
Slope = Callable[[State], State]


class Method(NamedTuple):
    """`step(slope, state, length)` is the state after one step; `within(slope, state, ahead, length)` a function of the part
    of the step, 0 to 1, that gives the states between `state` and `ahead`, the one after it.
    """

    step: Callable[[Slope, State, Scalar], State]
    within: Callable[[Slope, State, State, Scalar], Callable[[Scalar], State]]


def _euler_step(slope: Slope, state: State, length: Scalar) -> State:
    return _along(state, slope(state), length)


def _line(slope: Slope, state: State, ahead: State, length: Scalar) -> Callable[[Scalar], State]:
    return lambda part: jax.tree.map(lambda a, b: a + part * (b - a), state, ahead)


# Of each stage: how far along the last slope it lies, and its weight.
_STAGES = ((0.0, 1 / 6), (1 / 2, 1 / 3), (1 / 2, 1 / 3), (1.0, 1 / 6))


def _rk4_step(slope: Slope, state: State, length: Scalar) -> State:
    """One step of the classical Runge-Kutta method."""
    # The stages are a loop: written out, XLA takes minutes over the equations of motion, four times in each of three phases.

    def stage(carry, coefficients):
        last, total = carry
        reach, weight = coefficients
        last = slope(_along(state, last, reach * length))
        return (last, _along(total, last, weight * length)), None

    still = jax.tree.map(jnp.zeros_like, state)
    (_, end), _ = lax.scan(stage, (still, state), jnp.asarray(_STAGES, length.dtype))
    return end


def _cubic(slope: Slope, state: State, ahead: State, length: Scalar) -> Callable[[Scalar], State]:
    """Hermite's cubic, by both ends and the slopes there: as exact inside the step as the step itself, to third order."""
    # Both slopes by one traced copy of the equations.
    both = lax.map(slope, jax.tree.map(lambda *ends: jnp.stack(ends), state, ahead))
    slopes = [jax.tree.map(operator.itemgetter(end), both) for end in (0, 1)]

    def at(part):
        left = 1 - part

        def between(a, b, da, db):
            bent = left * (length * da - (b - a)) + part * (b - a - length * db)
            return left * a + part * b + part * left * bent

        return jax.tree.map(between, state, ahead, *slopes)

    return at


def _along(state: State, slope: State, length: Scalar) -> State:
    return jax.tree.map(lambda y, dy: y + length * dy, state, slope)


EULER = Method(_euler_step, _line)  # explicit: first order
RK4 = Method(_rk4_step, _cubic)  # the classical Runge-Kutta method: fourth order
