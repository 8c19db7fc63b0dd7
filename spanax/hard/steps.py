"""Steps of one number: heaviside, sign, and the roundings.

`via` is the bridge: `Soft`, `StraightThrough` or `Perturbed`, which needs `key`. Without a bridge the value is exact and a
derivative raises `SpanaxError`. Integers come back as floats.
"""

from __future__ import annotations

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._math.noise import units
from ._apply import MaybeKey, Via, apply, array, as_float, under_noise


def _identity(x):
    return x


# sign is twice a step less 1.
def _signs(kernel, x, softness):
    return 2 * kernel.cdf(units(x, softness)) - 1


# A step at every whole number: the kernel sums them.
def _floors(kernel, x, softness):
    return kernel.floor(x, softness)


# ceil(x) = -floor(-x), and the noise is symmetric.
def _ceilings(kernel, x, softness):
    return -kernel.floor(-x, softness)


def _trunc(kernel, x, softness):
    # trunc is floor, and one more below 0.
    return kernel.floor(x, softness) + kernel.cdf(units(-x, softness))


def heaviside(
    x: Float[Array, "*s"], h0: Float[Array, "*s"] | float = 0.5, *, via: Via = None, key: MaybeKey = None
) -> Float[Array, "*s"]:
    """0 where x < 0, 1 where x > 0 and `h0` where x is 0, like `jnp.heaviside`. Relaxed: P(x + noise > 0), for any `h0`.

    **Arguments:**

    - `x`: the numbers;
    - `h0`: the value at 0;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax, spanax as sx
    >>> slope = jax.grad(lambda x: sx.hard.heaviside(x, via=sx.StraightThrough(sx.Soft(0.5))))(0.0)
    >>> print(f"{slope:.3f}")
    0.907
    """
    x = as_float(x)

    # Under noise x is 0 with probability 0, so that h0 is in the hard value only.
    def hard(x):
        return jnp.heaviside(x, array(h0, x.dtype))

    return apply("heaviside", via, key, x=x, hard=hard, soft=under_noise(_rises), identity=_identity)


# P(x + noise > 0).
def _rises(kernel, x, softness):
    return kernel.cdf(units(x, softness))


def sign(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """-1, 0 or 1, like `jnp.sign`. Relaxed: the expectation, 2 P(x + noise > 0) - 1.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.sign(jnp.array([-2.0, 0.0, 0.5])).tolist()
    [-1.0, 0.0, 1.0]
    """
    return apply("sign", via, key, x=as_float(x), hard=jnp.sign, soft=under_noise(_signs), identity=_identity)


def floor(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The largest integer below, like `jnp.floor`. Relaxed: E floor(x + noise), which is x - 1/2 for wide noise.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> print(f"{sx.hard.floor(2.7, via=sx.Soft(1.0)):.2f}")
    2.20
    """
    return apply("floor", via, key, x=as_float(x), hard=jnp.floor, soft=under_noise(_floors), identity=_identity)


def ceil(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The smallest integer above, like `jnp.ceil`. Relaxed: E ceil(x + noise), which is x + 1/2 for wide noise.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.ceil(2.1).item()
    3.0
    """
    return apply("ceil", via, key, x=as_float(x), hard=jnp.ceil, soft=under_noise(_ceilings), identity=_identity)


def trunc(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The integer towards 0, like `jnp.trunc`. Relaxed: E trunc(x + noise).

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.trunc(-2.7).item()
    -2.0
    """
    return apply("trunc", via, key, x=as_float(x), hard=jnp.trunc, soft=under_noise(_trunc), identity=_identity)


def round(x: Float[Array, "*s"], decimals: int = 0, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The nearest multiple of 10^-decimals, halves to even, like `jnp.round`. Relaxed: E round(x + noise).

    **Arguments:**

    - `x`: the numbers;
    - `decimals`: how many decimals stay; negative for tens, hundreds, ;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of floats, of the shape of x.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax, spanax as sx
    >>> jax.value_and_grad(lambda x: sx.hard.round(x, via=sx.StraightThrough()) ** 2)(2.6)
    (Array(9., dtype=float32, weak_type=True), Array(6., dtype=float32, weak_type=True))
    """
    unit = 10.0**decimals

    def hard(x):
        return jnp.round(x, decimals)

    def soft(kernel, x, softness):
        # Halves have the probability 0 under noise: rounding is a floor that is half a unit away.
        return kernel.floor(x * unit + 0.5, softness * unit) / unit

    return apply("round", via, key, x=as_float(x), hard=hard, soft=under_noise(soft), identity=_identity)
