"""Explicit integrators: one step of any length.

Explicit Euler, and the classical Runge-Kutta method of fourth order (Hairer, Norsett and Wanner, Solving Ordinary Differential
Equations I, section II.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

Scalar = Float[Array, ""]
State = Any  # a pytree of numbers
Slope = Callable[[State], State]
Step = Callable[[Slope, State, Scalar], State]


def euler(slope: Slope, state: State, length: Scalar) -> State:
    """One step of the explicit Euler method."""
    return _along(state, slope(state), length)


# Of each stage: how far along its slope the next one lies, and its weight.
_STAGES = ((1 / 2, 1 / 6), (1 / 2, 1 / 3), (1.0, 1 / 3), (0.0, 1 / 6))


def rk4(slope: Slope, state: State, length: Scalar) -> State:
    """One step of the classical Runge-Kutta method."""
    # The stages are a loop: written out, XLA takes minutes over long equations of motion, four times in each step.

    def stage(carry, coefficients):
        there, total = carry
        reach, weight = coefficients
        rate = slope(there)
        return (_along(state, rate, reach * length), _along(total, rate, weight * length)), None

    (_, end), _ = lax.scan(stage, (state, state), jnp.asarray(_STAGES, length.dtype))
    return end


def euler_and_slope(slope: Slope, state: State, length: Scalar) -> tuple[State, State]:
    """The same step, and the slope at its end."""
    end = euler(slope, state, length)
    return end, slope(end)


def rk4_and_slope(slope: Slope, state: State, length: Scalar) -> tuple[State, State]:
    """The same step, and the slope at its end, by one stage more: the slope's equations are in the program once."""

    def stage(carry, coefficients):
        there, total, _ = carry
        reach, weight, is_last = coefficients
        rate = slope(there)
        total = _along(total, rate, weight * length)
        ahead = _along(state, rate, reach * length)
        return (jax.tree.map(lambda end, y: jnp.where(is_last > 0, end, y), total, ahead), total, rate), None

    stages = [(*stage, i == 3) for i, stage in enumerate((*_STAGES, (0.0, 0.0)))]
    # Zeros of the state's kind: with a tangent, where it has one, which JAX would otherwise find by tracing the loop again.
    rate = jax.tree.map(lambda y: 0 * y, state)
    (_, end, rate), _ = lax.scan(stage, (state, state, rate), jnp.asarray(stages, length.dtype))
    return end, rate


def _along(state: State, slope: State, length: Scalar) -> State:
    return jax.tree.map(lambda y, dy: y + length.astype(y.dtype) * dy, state, slope)
