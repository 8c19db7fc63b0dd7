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


def _along(state: State, slope: State, length: Scalar) -> State:
    return jax.tree.map(lambda y, dy: y + length.astype(y.dtype) * dy, state, slope)
