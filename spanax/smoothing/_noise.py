"""Expectations of hard operations whose input carries Gaussian noise; a choice among several carries Gumbel noise.

Softness is the standard deviation of that noise, in the input's units.
"""

import math

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..bridges._first_order import first_order


def positive(m: Float[Array, "*n"], softness: Float[Array, ""]) -> Float[Array, "*n"]:
    """P(m + softness e > 0)."""
    # Beyond 40 deviations the density is 0 in both precisions: clipping keeps infinite margins out of the derivative.
    return 0.5 + 0.5 * lax.erf(jnp.clip(m / softness, -40.0, 40.0) * math.sqrt(0.5))


def floor(x: Float[Array, "*n"], softness: Float[Array, "*n"], fine: bool | None = None) -> Float[Array, "*n"]:
    """E floor(x + softness e), to about 1e-12; x itself where it is not finite.

    Below .4 the sum over the six steps nearest by; above it the Fourier series of the sawtooth,
    x - 1/2 + sum_m sin(2 pi m x) exp(-2 (pi m softness)^2) / (pi m), three terms. `fine`: is softness known to be below?
    """
    finite = jnp.isfinite(x)
    y = jnp.where(finite, x, 0.0)
    whole = jnp.floor(y)
    rest = y - whole
    if fine is None:
        small = softness < 0.4
        near, far = jnp.where(small, softness, 0.4), jnp.where(small, 0.4, softness)
        mean = whole + jnp.where(small, _by_steps(rest, near), _by_waves(rest, far))
    else:
        mean = whole + (_by_steps(rest, softness) if fine else _by_waves(rest, softness))
    return jnp.where(finite, mean, x)


def _by_steps(rest: Array, softness: Array) -> Array:
    p = [positive(rest - k, softness) for k in (1, 2, 3)]
    q = [positive(k - rest, softness) for k in (0, -1, -2)]
    return p[0] + p[1] + p[2] - q[0] - q[1] - q[2]


def _by_waves(rest: Array, softness: Array) -> Array:
    waves = (
        jnp.sin((2 * math.pi * m) * rest) * jnp.exp(-2 * jnp.square(math.pi * m * softness)) / (math.pi * m)
        for m in (1, 2, 3)
    )
    return rest - 0.5 + sum(waves)


def equal(difference: Float[Array, "*n"], softness: Float[Array, ""]) -> Float[Array, "*n"]:
    """exp(-difference^2 / 2 softness^2): 1 at equality. No expectation: two noisy numbers are never equal."""
    return jnp.exp(-0.5 * jnp.square(jnp.clip(difference / softness, -40.0, 40.0)))


def choice(x: Float[Array, "*n k"], softness: Float[Array, ""]) -> Float[Array, "*n k"]:
    """P(x_k + g_k is the largest), g independent Gumbel noise of standard deviation `softness`: a softmax.

    The hard choice, where an entry is infinite or NaN.
    """
    finite = jnp.isfinite(x)
    usual = jnp.all(finite | (x == -jnp.inf), -1, keepdims=True) & jnp.any(finite, -1, keepdims=True)
    scores = jnp.where(finite, x, 0.0) * (math.pi / math.sqrt(6)) / softness
    soft = jax.nn.softmax(jnp.where(finite | ~usual, scores, -jnp.inf), -1)
    return jnp.where(usual, soft, jax.nn.one_hot(jnp.argmax(x, -1), x.shape[-1], dtype=x.dtype))


def permutation(keys: Float[Array, "*n k"], softness: Float[Array, ""]) -> Float[Array, "*n k k"]:
    """Weight of entry j at place r of the ascending order, as [..., r, j]: softmax_j(-|sorted_r - keys_j| pi / sqrt(6) softness).

    SoftSort (Prillo and Eisenschlos 2020, eq. 3). The first and the last row are `choice`'s, and so is everything where k = 2;
    the rows between are no exact probabilities.
    """
    keys = jnp.where(jnp.isnan(keys), jnp.inf, keys)
    ordered = jnp.sort(keys, -1)
    a, b = ordered[..., :, None], keys[..., None, :]
    near = jnp.isfinite(a) & jnp.isfinite(b)
    gap = jnp.where(near, a, 0.0) - jnp.where(near, b, 0.0)
    return choice(jnp.where(near | (a == b), -jnp.abs(gap), -jnp.inf), softness)


def _identity(at, d_soft):
    return d_soft


def with_derivative_of(hard: Array, soft: Array) -> Array:
    """The value of `hard`, the derivatives of `soft`."""
    return first_order(_identity, "soften(straight_through=True)", lax.stop_gradient(hard), (), soft)
