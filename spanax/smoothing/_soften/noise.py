"""Expectations of hard operations whose input carries Gaussian noise; a choice among several carries Gumbel noise.

Softness is the standard deviation of that noise, in the input's units.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..._math.first_order import first_order
from ..._math.noise import KERNELS, units

_GAUSSIAN = KERNELS["gaussian"]
FINE = _GAUSSIAN.narrow


def positive(m: Float[Array, "*n"], softness: Float[Array, ""]) -> Float[Array, "*n"]:
    """P(m + softness e > 0), and exactly 0 where it is below rounding: what has no weight is not run."""
    return 0.5 + 0.5 * lax.erf(units(m, softness) * math.sqrt(0.5))


def floor(x: Float[Array, "*n"], softness: Float[Array, "*n"], fine: bool | None = None) -> Float[Array, "*n"]:
    """E floor(x + softness e); x itself where it is not finite. `fine`: is softness known to be below `FINE`?"""
    return _GAUSSIAN.floor(x, softness, fine)


def equal(difference: Float[Array, "*n"], softness: Float[Array, ""]) -> Float[Array, "*n"]:
    """exp(-difference^2 / 2 softness^2): 1 at equality. No expectation: two noisy numbers are never equal."""
    return jnp.exp(-0.5 * jnp.square(units(difference, softness)))


def choice(x: Float[Array, "*n k"], softness: Float[Array, ""]) -> Float[Array, "*n k"]:
    """P(x_k + g_k is the largest), g independent Gumbel noise of standard deviation `softness`: a softmax.

    The hard choice, where an entry is infinite or NaN.
    """
    finite = jnp.isfinite(x)
    usual = jnp.all(finite | (x == -jnp.inf), -1, keepdims=True) & jnp.any(finite, -1, keepdims=True)
    # A Gumbel variable of scale b has standard deviation b pi/sqrt(6), hence the factor.
    scores = jnp.where(finite, x, 0.0) * (math.pi / math.sqrt(6)) / softness
    soft = jax.nn.softmax(jnp.where(finite | ~usual, scores, -jnp.inf), -1)
    return jnp.where(usual, soft, jax.nn.one_hot(jnp.argmax(x, -1), x.shape[-1], dtype=x.dtype))


def permutation(keys: Float[Array, "*n k"], softness: Float[Array, ""]) -> Float[Array, "*n k k"]:
    """Weight of entry j at place r of the ascending order, as [..., r, j]: softmax_j(-|sorted_r - keys_j| pi / sqrt(6) softness).

    SoftSort (Prillo and Eisenschlos 2020, eq. 3). The first and the last row are `choice`'s, and so is everything where k = 2;
    the rows between are no exact probabilities.
    """
    # NaN sorts last, as in NumPy.
    keys = jnp.where(jnp.isnan(keys), jnp.inf, keys)
    ordered = jnp.sort(keys, -1)
    a, b = ordered[..., :, None], keys[..., None, :]
    # inf - inf is NaN: equal infinities are at distance 0, others are infinitely far.
    near = jnp.isfinite(a) & jnp.isfinite(b)
    gap = jnp.where(near, a, 0.0) - jnp.where(near, b, 0.0)
    return choice(jnp.where(near | (a == b), -jnp.abs(gap), -jnp.inf), softness)


def _identity(at, d_soft):
    return d_soft


def with_derivative_of(hard: Array, soft: Array) -> Array:
    """The value of `hard`, the derivatives of `soft`."""
    return first_order(_identity, "soften(straight_through=True)", lax.stop_gradient(hard), (), soft)
