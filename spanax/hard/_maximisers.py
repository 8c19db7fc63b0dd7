"""argmax and max under noise on every entry, along the last axis."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from .._math.noise import units

_GUMBEL = math.sqrt(6) / math.pi  # the scale of a Gumbel variable by its standard deviation
_POINTS, _REACH = 65, 8.0


def one_hot_argmax(x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    """1 at the first maximum, else 0."""
    return jax.nn.one_hot(jnp.argmax(x, -1), x.shape[-1], dtype=x.dtype)


def _below_top(x: Float[Array, "*b n"]) -> tuple[Array, Array]:
    """x less its maximum, which is stopped, and that maximum; entries that are the same infinity are at 0."""
    top = lax.stop_gradient(jnp.max(x, -1, keepdims=True))
    same = jnp.isinf(x) & (x == top)
    return jnp.where(same, 0, x) - jnp.where(same, 0, top), top


def _above(top: Array, height: Array) -> Array:
    """top + height, and the top itself where it is infinite."""
    top = top[..., 0]
    return jnp.where(jnp.isinf(top), top, jnp.where(jnp.isinf(top), 0, top) + height)


def gumbel_weights(x: Float[Array, "*b n"], softness: Float[Array, ""]) -> Float[Array, "*b n"]:
    """P(the maximum is at i) under Gumbel noise: a softmax (Luce 1959; Yellott 1977)."""
    return jax.nn.softmax(units(_below_top(x)[0], _GUMBEL * softness), -1)


def gumbel_max(x: Float[Array, "*b n"], softness: Float[Array, ""]) -> Float[Array, "*b"]:
    """E max(x + noise) under Gumbel noise of mean 0: a logsumexp."""
    y, top = _below_top(x)
    scale = _GUMBEL * softness
    return _above(top, scale * jax.nn.logsumexp(units(y, scale), -1))


def _densities(y: Float[Array, "*b n"]) -> tuple[Array, Array]:
    """Points t around the top, (*1, m, 1), and the density of the maximum being at t and at i, (*b, m, n); noise of deviation 1.

    For the trapezoidal rule, which converges geometrically for such integrands: the error is below 1e-9.
    """
    t = jnp.linspace(-_REACH, _REACH, _POINTS, dtype=y.dtype).reshape((1,) * (y.ndim - 1) + (-1, 1))
    z = t - jnp.maximum(y, -6 * _REACH)[..., None, :]
    below = log_ndtr(z)
    others = jnp.sum(below, -1, keepdims=True) - below
    density = jnp.exp(others - jnp.square(z) / 2)
    return t, density / jnp.sum(density, (-2, -1), keepdims=True)


def gaussian_weights(x: Float[Array, "*b n"], softness: Float[Array, ""]) -> Float[Array, "*b n"]:
    """P(the maximum is at i) under Gaussian noise: the integral of density_i(t) times the cdfs of all others at t."""
    _, density = _densities(units(_below_top(x)[0], softness))
    return jnp.sum(density, -2)


def gaussian_max(x: Float[Array, "*b n"], softness: Float[Array, ""]) -> Float[Array, "*b"]:
    """E max(x + noise) under Gaussian noise: the integral of t times the density of the maximum."""
    y, top = _below_top(x)
    t, density = _densities(units(y, softness))
    return _above(top, softness * jnp.sum(density * t, (-2, -1)))
