"""The programs that a bridge of a draw is tried in, compiled once for all draws and parameters."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ...bridges import Drawing
from ...stochastic import expectation, sample
from .families import Family, cost, joint, later

ALONG = 0.7  # second derivatives are looked at along (1, 0.7, 0.49, ...)


def one_draw(bridge: Drawing, family: Family, theta, mix, key, samples: int = 1) -> Float[Array, ""]:
    """An estimate of E[cost]."""

    def program(theta, *, key):
        u = family.u(sample(key, family.make(theta), via=bridge), theta.dtype)
        return cost(u, theta, mix)

    return expectation(program, samples=samples)(theta, key=key)


def two_replicates(bridge: Drawing, family: Family, theta, mix, key) -> Float[Array, ""]:
    """The same, with two replicates."""
    return one_draw(bridge, family, theta, mix, key, samples=2)


def two_draws(bridge: Drawing, family: Family, theta, key) -> Float[Array, ""]:
    """The parameters of the second draw depend on the first."""

    def program(theta, *, key):
        # A bridge that uses one key for two purposes correlates these two draws.
        first, second = jax.random.split(key)
        u = family.u(sample(first, family.make(theta), via=bridge), theta.dtype)
        v = family.u(sample(second, family.make(later(theta, u)), via=bridge), theta.dtype)
        return joint(u, v, theta)

    return expectation(program)(theta, key=key)


def in_a_loop(bridge: Drawing, family: Family, theta, key) -> Float[Array, ""]:
    """Two independent draws, in the iterations of a scan."""

    def program(theta, *, key):
        def iteration(before, key):
            u = family.u(sample(key, family.make(theta), via=bridge), theta.dtype)
            return (before[1], u), None

        # Both draws are carried to the end, so that the cost joins iterations.
        start = (jnp.zeros((), theta.dtype),) * 2
        (u, v), _ = lax.scan(iteration, start, jax.random.split(key))
        return joint(u, v, theta)

    return expectation(program)(theta, key=key)


def direction(theta: Float[Array, " d"]) -> Float[Array, " d"]:
    return ALONG ** jnp.arange(theta.size, dtype=theta.dtype)


def second_derivative(f, theta) -> Float[Array, " d"]:
    return jax.grad(lambda t: jnp.sum(jax.grad(f)(t) * direction(t)))(theta)


@eqx.filter_jit
def values_and_gradients(
    program: Any, bridge: Drawing, family: Family, theta, keys: Key[Array, " n"], *extra, second: bool = False
):
    """Values, gradients and, with `second`, second derivatives along `direction`, of all keys."""

    def one(key):
        def f(theta):
            return program(bridge, family, theta, *extra, key)

        # Everything in one program and for all keys at once: compiling is most of what a check costs.
        value, gradient = jax.value_and_grad(f)(theta)
        return (value, gradient, second_derivative(f, theta)) if second else (value, gradient)

    return jax.vmap(one)(keys)


@eqx.filter_jit
def draw_weights(bridge: Drawing, family: Family, theta, keys: Key[Array, " n"]) -> Float[Array, "n m"]:
    return jax.vmap(lambda key: family.weights(bridge.draw(key, family.make(theta))).astype(theta.dtype))(keys)
