"""The derivative of the moment at which a condition is met, by the implicit function theorem.

With x(t, p) a motion that depends on parameters p, and t(p) the moment at which g(x(t, p), p) = 0,

    dt/dp = -(dg/dp at a fixed t) / (dg/dt),

and the state at the event moves by dx/dp at a fixed t, plus dx/dt dt/dp. Followed by a reset, this is the saltation matrix
(Aizerman and Gantmakher, Quarterly Journal of Mechanics and Applied Mathematics 11, 1958; Kong, Payne, Zhu and Johnson,
"Saltation matrices: the essential tool for linearizing hybrid dynamical systems", 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .integrators import Scalar, State
from .once import once


def moment(value: Callable[[Any, Scalar], Scalar], rate: Callable[[Any, Scalar], Scalar]) -> Callable[..., Scalar]:
    """A function `(parameters, root) -> root` whose derivatives, of every order and in both modes, are those of the root t of
    value(parameters, t), by all of the parameters, a pytree of arrays.

    **Arguments:**

    - `value`: smooth, and 0 at the root.
    - `rate`: its derivative by t.
    """

    def newton(parameters: Any, t: Scalar) -> Scalar:
        """The same t, with the derivative of a step of Newton from it."""
        short = value(parameters, t) / _steep(rate(parameters, t))
        return t - (short - lax.stop_gradient(short))

    @jax.custom_jvp
    def root(parameters: Any, t: Scalar) -> Scalar:
        # Not merely t: where a scan is differentiated twice JAX drops the rule below and differentiates what stands here. Two
        # steps of Newton are right to the third order.
        return newton(parameters, newton(parameters, t))

    @root.defjvp
    def _(primals, tangents):
        parameters, t = primals
        # The rule holds for the root with its derivative, not for its value alone: so the next order comes out right, too.
        t = root(parameters, t)
        _, moved = jax.jvp(lambda p: value(p, t), (parameters,), (tangents[0],))
        return t, -moved / _steep(rate(parameters, t))

    return root


def landing(
    step: Callable[[Any, State, Scalar], State], value: Callable[[Any, State], Scalar]
) -> Callable[[Any, State, Scalar, State], State]:
    """A function `(parameters, state, length, ahead) -> ahead`, where `ahead` is the event's state, and is what
    step(parameters, state, length) returns: by the length at which value(parameters, ahead) stays 0.

    The same rule as `moment`'s, in forward mode only, and cheaper to compile: the tangent of `ahead` at a fixed length is taken
    as it comes, so that the first derivative has only one by the length to compute.
    """

    @jax.custom_jvp
    def land(p, state, length, ahead):
        return ahead, length

    @land.defjvp
    def _(primals, tangents):
        p, state, length, ahead = primals
        dp, dstate, _, dahead = tangents
        there, at = land(p, state, length, ahead)
        dahead = carried(p, state, at, dp, dstate, dahead)
        _, rate = jax.jvp(lambda length: step(p, state, length), (at,), (jnp.ones_like(at),))
        # Both at the same place, of which XLA sees that it is the same.
        _, steepness = jax.jvp(lambda ahead: value(p, ahead), (there,), (rate,))
        _, moved = jax.jvp(value, (p, there), (dp, dahead))
        longer = once(-moved / _steep(steepness))
        return (there, at), (jax.tree.map(lambda dy, y: dy + longer * y, dahead, rate), longer)

    # A tangent that is known already; the higher orders differentiate what it is the tangent of.
    @jax.custom_jvp
    def carried(p, state, length, dp, dstate, dahead):
        return dahead

    @carried.defjvp
    def _(primals, tangents):
        def along(p, state, length, dp, dstate):
            return jax.jvp(lambda p, state: step(p, state, length), (p, state), (dp, dstate))[1]

        return carried(*primals), jax.jvp(along, primals[:5], tangents[:5])[1]

    return lambda p, state, length, ahead: land(p, state, length, ahead)[0]


def _steep(rate: Scalar) -> Scalar:
    # A root that is flat, or none, is the caller's to refuse: here it must not be the 0/0 that a `where` lets through.
    return jnp.where(rate == 0, jnp.ones_like(rate), rate)
