"""What moves until an event: an exact flow, or a derivative that is integrated. Both are pytrees of all that they depend on."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array, lax

from .integrators import Scalar, State, rk4


class Motion(eqx.Module):
    """From the state `start` in steps of `length`; `before` counts those before the present one."""

    start: eqx.AbstractVar[State]
    length: eqx.AbstractVar[Scalar]

    @abc.abstractmethod
    def advance(self, state: State, before: Array, length: Scalar) -> State:
        """The state after a step of any length from `state`, the one after `before` steps."""

    @abc.abstractmethod
    def replay(self, before: Array) -> State:
        """The state after `before` steps, differentiable in both modes."""

    def time(self, before: Array, length: Scalar) -> Scalar:
        return before.astype(length.dtype) * self.length + length


class Flow(Motion):
    """`flow(state, t)` is the state a time t later."""

    flow: Callable[[State, Scalar], State]
    start: State
    length: Scalar

    def advance(self, state: State, before: Array, length: Scalar) -> State:
        # Each from the start: the flow is exact, and needs none of the states between.
        return self.flow(self.start, self.time(before, length))

    def replay(self, before: Array) -> State:
        return self.start


class Integrated(Motion):
    """`slope(t, state)` is the derivative by time; leaves of the state that are not floats stay as they are."""

    slope: Callable[[Scalar, State], State]
    start: State
    length: Scalar
    most: int = eqx.field(static=True)

    def advance(self, state: State, before: Array, length: Scalar) -> State:
        moving, fixed = eqx.partition(state, eqx.is_inexact_array)

        def slope(there):
            t, moving = there
            rates = self.slope(t, eqx.combine(moving, fixed))
            # Of what stays as it is, any slope will do.
            return jnp.ones_like(t), jax.tree.map(
                lambda y, dy: None if y is None else dy, moving, rates, is_leaf=_is_none
            )

        # Time is integrated with the state, so that each stage has its own.
        start = self.time(before, jnp.zeros_like(length))
        _, moving = rk4(slope, (start, moving), length)
        return eqx.combine(moving, fixed)

    def replay(self, before: Array) -> State:
        # As many steps as there may be, since reverse mode cannot cross a loop whose length depends on its numbers. Those
        # stages are computed again on the way back, so that only the states between steps are kept.
        step = jax.checkpoint(lambda state, i: self.advance(state, i, self.length))

        def one(state, i):
            return lax.cond(i < before, step, lambda state, i: state, state, i), None

        state, _ = lax.scan(one, self.start, jnp.arange(self.most))
        return state


def _is_none(x: Any) -> bool:
    return x is None
