"""Comparisons, whose results are truth weights: floats, 1 where the comparison holds and 0 where it does not.

The noise is on the difference x1 - x2. `via` is the bridge: `Soft`, `StraightThrough` (without `Soft`: the derivative of x1 - x2,
or x2 - x1 for `less`) or `Perturbed`, which needs `key`. Without a bridge the value is exact and a derivative raises
`SpanaxError`. NaN compares false, as in jax.numpy.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._math.noise import units
from ._apply import MaybeKey, Via, alike, apply, array, under_noise

Numbers = Float[Array, "*s"] | float


def difference(x1: Array, x2: Array) -> Array:
    """x1 - x2, and 0 where both are the same infinity."""
    # Each operand is replaced before the subtraction: the derivative of inf - inf would be NaN even where it is not selected.
    same = (x1 == x2) & jnp.isinf(x1)
    return jnp.where(same, 0, x1 - jnp.where(same, 0, x2) - jnp.where(same, x1, 0))


def _compare(
    name: str,
    test: Callable,
    x1: Numbers,
    x2: Numbers,
    soft: Callable,
    via: Via,
    key: MaybeKey,
    identity: Callable[[Array], Array] | None = None,
) -> Array:
    a, b = alike(x1, x2)
    operands = array(x1), array(x2)
    # Large integers are not all floats: two of them are compared as what they are.
    floats = any(jnp.issubdtype(x.dtype, jnp.floating) for x in operands)
    inputs = (a, b) if floats else jnp.broadcast_arrays(*operands)
    return apply(
        name,
        via,
        key,
        x=difference(a, b),
        # Under noise on the difference the comparison is one of a number with 0; without noise the operands themselves are
        # compared, because the difference of two floats may round to 0 or overflow.
        hard=lambda d: test(d, jnp.zeros_like(d)).astype(d.dtype),
        soft=under_noise(soft),
        identity=identity,
        exact=lambda x1, x2: test(x1, x2).astype(a.dtype),
        inputs=inputs,
    )


# One formula each, for all kernels: d is the difference, and softness the standard deviation of the noise on it.
def _above(kernel, d, softness):
    return kernel.cdf(units(d, softness))


# Not 1 - cdf(u): that is 0 where the tail is below rounding, and so would be its derivative.
def _below(kernel, d, softness):
    return kernel.cdf(units(-d, softness))


def _peak(kernel, d, softness):
    # The probability of a tie is 0: its density, by the largest density, is what is left of it.
    return kernel.density(units(d, softness)) / kernel.density(jnp.zeros_like(d))


def _off_peak(kernel, d, softness):
    return 1 - _peak(kernel, d, softness)


def _identity(d):
    return d


def greater(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 > x2. Relaxed: P(x1 - x2 + noise > 0), which is 1/2 at a tie.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax, spanax as sx
    >>> via = sx.StraightThrough(sx.Soft(0.1))
    >>> value, slope = jax.value_and_grad(lambda x: sx.hard.greater(x, 0.5, via=via))(0.5)
    >>> print(f"{value:.0f} {slope:.3f}")  # slope: the density of the noise at 0
    0 4.534
    """
    return _compare("greater", jnp.greater, x1, x2, _above, via, key, _identity)


def greater_equal(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 >= x2. Relaxed as `greater`: with noise, a tie has the probability 0.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> sx.hard.greater_equal(0.5, 0.5).item()
    1.0
    """
    return _compare("greater_equal", jnp.greater_equal, x1, x2, _above, via, key, _identity)


def less(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 < x2. Relaxed: P(x1 - x2 + noise < 0), which is 1/2 at a tie.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.less(jnp.array([0.1, 0.5, 0.9]), 0.5).tolist()
    [1.0, 0.0, 0.0]
    """
    return _compare("less", jnp.less, x1, x2, _below, via, key, jnp.negative)


def less_equal(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 <= x2. Relaxed as `less`: with noise, a tie has the probability 0.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.less_equal(jnp.array([0.1, 0.5, 0.9]), 0.5).tolist()
    [1.0, 1.0, 0.0]
    """
    return _compare("less_equal", jnp.less_equal, x1, x2, _below, via, key, jnp.negative)


def equal(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 == x2. Relaxed: the density of the noise at x1 - x2, divided by its peak.

    Noise hits a point with probability 0, so this is the limit of `isclose` for a small tolerance, scaled to be 1 at a tie.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import spanax as sx
    >>> print(f"{sx.hard.equal(2.0, 2.1, via=sx.Soft(0.1)):.2f}")
    0.48
    """
    return _compare("equal", jnp.equal, x1, x2, _peak, via, key)


def not_equal(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """x1 != x2. Relaxed: 1 - `equal`.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import spanax as sx
    >>> sx.hard.not_equal(2, 2).item()
    0.0
    """
    return _compare("not_equal", jnp.not_equal, x1, x2, _off_peak, via, key)


def isclose(
    a: Numbers,
    b: Numbers,
    rtol: float = 1e-5,
    atol: float = 1e-8,
    equal_nan: bool = False,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*s"]:
    """|a - b| <= atol + rtol |b|, like `jnp.isclose`. Relaxed: P(|a - b + noise| <= the tolerance).

    The relaxed value is about twice the tolerance times the density of the noise: for a tolerance far below the softness, use
    `equal`. The tolerance is held fixed in derivatives and under noise.

    **Arguments:**

    - `a`: a number or an array;
    - `b`: a number or an array, of a shape that broadcasts with that of a;
    - `rtol`: the tolerance relative to |b|;
    - `atol`: the absolute tolerance;
    - `equal_nan`: whether two NaNs count as close;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value, whose derivative raises;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    Weights: 1 where it holds and 0 where it does not, of the broadcast shape.

    **Raises:**

    - `SpanaxError`: if the value without a bridge is differentiated;
    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import spanax as sx
    >>> sx.hard.isclose(1.0, 1.05, atol=0.1).item()
    1.0
    """
    a, b = alike(a, b)
    # NumPy's tolerance depends on b: held fixed, the relaxed value is a probability of the difference alone.
    width = lax.stop_gradient(atol + rtol * jnp.where(jnp.isfinite(b), jnp.abs(b), 0))

    # P(-width <= d + noise <= width), as a difference of two cdfs.
    def within(kernel, d, softness):
        return kernel.cdf(units(width - d, softness)) - kernel.cdf(units(-width - d, softness))

    return apply(
        "isclose",
        via,
        key,
        x=difference(a, b),
        hard=lambda d: (jnp.abs(d) <= width).astype(d.dtype),
        soft=under_noise(within),
        # The exact one knows infinities and NaNs, which the width of a tolerance does not.
        exact=lambda a, b: jnp.isclose(a, b, rtol, atol, equal_nan).astype(a.dtype),
        inputs=(a, b),
    )
