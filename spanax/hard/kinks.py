"""Continuous operations with a kink: abs, relu, clip, maximum and minimum.

Their derivative is JAX's if no bridge is named. `via` is the bridge: `Soft` rounds off the kink (and gives a gradient where clip
and relu have none), `StraightThrough()` takes relu and clip for the identity of their first argument, `Perturbed` needs `key`.

The relaxed value is the hard one plus the tail of the noise beyond the kink, so that nothing cancels if an argument is large.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._apply import MaybeKey, Via, alike, apply, as_float, under_noise
from .comparisons import Numbers, difference


def _ramp(kernel, x, softness):
    """E max(x + noise, 0)."""
    # For x > 0 this is x + E max(-x - noise, 0), and the noise is symmetric: the tail is only taken where it is small.
    positive = x > 0
    return jnp.where(positive, x, 0) + kernel.tail(jnp.where(positive, -x, x), softness)


def _identity(x):
    return x


def relu(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """max(x, 0), like `jax.nn.relu`. Relaxed: E max(x + noise, 0); with the logistic kernel a softplus.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the shape of x.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import spanax as sx
    >>> print(f"{sx.hard.relu(0.0, via=sx.Soft(1.0)):.3f}")
    0.382
    """
    x = as_float(x)
    return apply(
        "relu", via, key, x=x, hard=jax.nn.relu, soft=under_noise(_ramp), identity=_identity, has_derivative=True
    )


def abs(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """|x|, like `jnp.abs`. Relaxed: E |x + noise|.

    **Arguments:**

    - `x`: the numbers;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the shape of x.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import spanax as sx
    >>> sx.hard.abs(-2.0).item()
    2.0
    """

    # |x| = relu(x) + relu(-x), and the noise is symmetric.
    def soft(kernel, x, softness):
        return _ramp(kernel, x, softness) + _ramp(kernel, -x, softness)

    return apply("abs", via, key, x=as_float(x), hard=jnp.abs, soft=under_noise(soft), has_derivative=True)


def clip(
    arr: Float[Array, "*s"],
    min: Numbers | None = None,  # the names of jnp.clip
    max: Numbers | None = None,
    *,
    via: Via = None,
    key: MaybeKey = None,
) -> Float[Array, "*s"]:
    """min(max(arr, min), max), like `jnp.clip`. Relaxed: E clip(arr + noise, min, max), for min <= max.

    The derivative with respect to the bounds is also that of the relaxed operation; with `StraightThrough()` it is 0.

    **Arguments:**

    - `arr`: the numbers;
    - `min`: the lower bound; None for none;
    - `max`: the upper bound; None for none;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers.

    >>> import jax, spanax as sx
    >>> jax.grad(lambda x: sx.hard.clip(x, 0.0, 1.0, via=sx.StraightThrough()))(2.0).item()
    1.0
    """
    # No bound is an infinite one: one formula for all.
    lowest, highest = -jnp.inf if min is None else min, jnp.inf if max is None else max
    x, low, high = alike(as_float(arr), lowest, highest)

    # clip = its hard value, plus what noise lifts above `low`, less what noise cuts off at `high`.
    def soft(kernel, x, softness):
        below, above = x < low, x > high
        # The distances to the bounds, negative inside; an infinite bound is out of reach of any noise.
        short = jnp.where(low == -jnp.inf, -jnp.inf, low - x)
        over = jnp.where(high == jnp.inf, -jnp.inf, x - high)
        clipped = jnp.where(above, high, jnp.where(below, low, x))
        lifted = kernel.tail(jnp.where(below, -short, short), softness)
        return clipped + lifted - kernel.tail(jnp.where(above, -over, over), softness)

    return apply(
        "clip",
        via,
        key,
        x=x,
        hard=lambda x: jnp.clip(x, low, high),
        soft=under_noise(soft),
        identity=_identity,
        exact=jnp.clip,
        inputs=(x, low, high),
        has_derivative=True,
    )


def maximum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The larger of two numbers, like `jnp.maximum`. Relaxed: E max(x1 - x2 + noise, 0) + x2.

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.maximum(jnp.array([1.0, 3.0]), 2.0).tolist()
    [2.0, 3.0]
    """
    return _pick("maximum", x1, x2, 1, via, key)


def minimum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The smaller of two numbers, like `jnp.minimum`. Relaxed: x2 - E max(x2 - x1 + noise, 0).

    **Arguments:**

    - `x1`: a number or an array;
    - `x2`: a number or an array, of a shape that broadcasts with that of x1;
    - `via`: the bridge: `Soft`, `StraightThrough` or `Perturbed`; None for the exact value with JAX's derivative;
    - `key`: a PRNG key, which `Perturbed` needs.

    **Returns:**

    An array of the broadcast shape.

    **Raises:**

    - `SpanaxError`: for a `via` that is not a bridge of a hard operation, or whose kernel the operation does not know;
    - `SpanaxError`: without a key for `Perturbed`;
    - `SpanaxError`: for complex numbers;
    - `SpanaxError`: via `StraightThrough()` without `Soft`: it is nothing like the identity.

    >>> import jax, spanax as sx
    >>> print(f"{jax.grad(lambda x: sx.hard.minimum(x, 1.0, via=sx.Soft(0.5)))(1.0):.2f}")
    0.50
    """
    return _pick("minimum", x1, x2, -1, via, key)


def _pick(name, x1, x2, sign, via, key):
    x1, x2 = alike(x1, x2)
    # max(x1, x2) = x2 + max(d, 0), so that noise on the difference d makes a relu of it. Written as the hard value and a
    # change, it stays exact for large numbers of the same size.
    d = difference(x1, x2)
    first = d > 0 if sign > 0 else d <= 0

    # Only `Perturbed` calls it at other points than d: the larger one then changes by the change of relu(d).
    def hard(noisy):
        change = difference(jax.nn.relu(noisy), jax.nn.relu(d))
        return jnp.where(first, x1, x2) + sign * change

    # The larger one, plus what noise adds beyond the tie: the tail is symmetric, and taken on the side where it is small.
    def soft(kernel, d, softness):
        return jnp.where(first, x1, x2) + sign * kernel.tail(jnp.where(d > 0, -d, d), softness)

    return apply(
        name,
        via,
        key,
        x=d,
        hard=hard,
        soft=under_noise(soft),
        exact=jnp.maximum if sign > 0 else jnp.minimum,
        inputs=(x1, x2),
        has_derivative=True,
    )
