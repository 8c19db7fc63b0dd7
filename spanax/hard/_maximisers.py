"""argmax and max under noise on every entry, along the last axis.

Gumbel noise: a softmax and a logsumexp in closed form (Luce 1959; Yellott 1977). Gaussian noise: the integral over t of the
density that the maximum is at t and at entry i, phi(t - x_i) times the product of Phi(t - x_j) over the others, by the
trapezoidal rule.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import log_ndtr
from jaxtyping import Array, Float

from .._math.noise import units

_GUMBEL = math.sqrt(6) / math.pi  # the scale of a Gumbel variable by its standard deviation
# For the trapezoidal rule, which converges geometrically for such integrands: the error is below 1e-9.
_POINTS, _REACH = 65, 8.0


def one_hot_argmax(x: Float[Array, "*b n"]) -> Float[Array, "*b n"]:
    """1 at the first maximum, else 0."""
    # NumPy's choice among equal entries: the first.
    return jax.nn.one_hot(jnp.argmax(x, -1), x.shape[-1], dtype=x.dtype)


def _below_top(x: Float[Array, "*b n"]) -> tuple[Array, Array]:
    """x less its maximum, which is stopped, and that maximum; entries that are the same infinity are at 0."""
    # Shifting all entries shifts the maximum: differences to the top neither overflow nor lose digits.
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
    # E max of Gumbel noise of mean 0 is a logsumexp exactly: Euler's constant, the mean of a standard Gumbel variable, drops out.
    return _above(top, scale * jax.nn.logsumexp(units(y, scale), -1))


def _densities(y: Float[Array, "*b n"]) -> tuple[Array, Array]:
    """Points t around the top, (*1, m, 1), and the density that the maximum is at t and at i, (*b, m, n)."""
    # By logarithms, and normalised: the weights then sum to 1 exactly, whatever the rule's error is.
    t = jnp.linspace(-_REACH, _REACH, _POINTS, dtype=y.dtype).reshape((1,) * (y.ndim - 1) + (-1, 1))
    # An entry 48 deviations below the top is never the maximum; an infinite one would give infinity less infinity.
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
