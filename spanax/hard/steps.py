"""Steps of one number: heaviside, sign, and the roundings.

In all of them `via` is the bridge: `Soft`, `StraightThrough` or `Perturbed`, which needs `key`. Without one the value
is exact and a derivative raises `SpanaxError`. Integers come back as floats.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._math.noise import units
from ._apply import MaybeKey, Via, apply, array, as_float, under_noise


def _unchanged(x):
    return x


def _signs(kernel, x, softness):
    return 2 * kernel.cdf(units(x, softness)) - 1


def _floors(kernel, x, softness):
    return kernel.floor(x, softness)


def _ceilings(kernel, x, softness):
    return -kernel.floor(-x, softness)


def _truncated(kernel, x, softness):
    return kernel.floor(x, softness) + kernel.cdf(units(-x, softness))


def heaviside(
    x: Float[Array, "*s"], h0: Float[Array, "*s"] | float = 0.5, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s"]:
    """0 where x < 0, 1 where x > 0 and `h0` where x is 0, like `jnp.heaviside`. Relaxed: P(x + noise > 0), whatever `h0` is.

    >>> import jax, spanax as sx
    >>> slope = jax.grad(lambda x: sx.hard.heaviside(x, via=sx.StraightThrough(sx.Soft(0.5))))(0.0)
    >>> print(f"{slope:.3f}")
    0.907
    """
    x = as_float(x)

    def hard(x):
        return jnp.heaviside(x, array(h0, x.dtype))

    return apply("heaviside", via, key, x=x, hard=hard, soft=under_noise(_rises), identity=_unchanged)


def _rises(kernel, x, softness):
    return kernel.cdf(units(x, softness))


def sign(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """-1, 0 or 1, like `jnp.sign`. Relaxed: the expectation, 2 P(x + noise > 0) - 1."""
    return apply("sign", via, key, x=as_float(x), hard=jnp.sign, soft=under_noise(_signs), identity=_unchanged)


def floor(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The largest integer below, like `jnp.floor`. Relaxed: E floor(x + noise), which is x - 1/2 where the noise is wide."""
    return apply("floor", via, key, x=as_float(x), hard=jnp.floor, soft=under_noise(_floors), identity=_unchanged)


def ceil(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The smallest integer above, like `jnp.ceil`. Relaxed: E ceil(x + noise), which is x + 1/2 where the noise is wide."""
    return apply("ceil", via, key, x=as_float(x), hard=jnp.ceil, soft=under_noise(_ceilings), identity=_unchanged)


def trunc(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The integer towards 0, like `jnp.trunc`. Relaxed: E trunc(x + noise)."""
    return apply("trunc", via, key, x=as_float(x), hard=jnp.trunc, soft=under_noise(_truncated), identity=_unchanged)


def round(x: Float[Array, "*s"], decimals: int = 0, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The nearest multiple of 10^-decimals, halves to even, like `jnp.round`. Relaxed: E round(x + noise).

    >>> import jax, spanax as sx
    >>> jax.value_and_grad(lambda x: sx.hard.round(x, via=sx.StraightThrough()) ** 2)(2.6)
    (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    unit = 10.0**decimals

    def hard(x):
        return jnp.round(x, decimals)

    def rounded(kernel, x, softness):
        return kernel.floor(x * unit + 0.5, softness * unit) / unit

    return apply("round", via, key, x=as_float(x), hard=hard, soft=under_noise(rounded), identity=_unchanged)
