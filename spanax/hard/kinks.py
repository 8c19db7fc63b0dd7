"""Continuous operations with a kink: abs, relu, clip, maximum and minimum.

They have a derivative, which is JAX's where no bridge is named. In all of them `via` is the bridge: `Soft` rounds the
kink off (and gives a gradient where clip and relu have none), `StraightThrough()` takes relu and clip for the identity
of their first argument, `Perturbed` needs `key`.

The relaxed values are the hard ones and the tail of the noise beyond the kink, so that nothing cancels where an
argument is large.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._apply import MaybeKey, Via, alike, apply, as_float, under_noise
from .comparisons import Numbers, difference


def _ramp(kernel, x, softness):
    """E max(x + noise, 0)."""
    positive = x > 0
    return jnp.where(positive, x, 0) + kernel.tail(jnp.where(positive, -x, x), softness)


def _unchanged(x):
    return x


def relu(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """max(x, 0), like `jax.nn.relu`. Relaxed: E max(x + noise, 0); with the logistic kernel a softplus."""
    x = as_float(x)
    return apply(
        "relu", via, key, x=x, hard=jax.nn.relu, soft=under_noise(_ramp), identity=_unchanged, has_derivative=True
    )


def abs(x: Float[Array, "*s"], *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """|x|, like `jnp.abs`. Relaxed: E |x + noise|."""

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

    The derivative with respect to the bounds is that of the relaxed operation as well; with `StraightThrough()` it is 0.
    """
    lowest, highest = -jnp.inf if min is None else min, jnp.inf if max is None else max
    x, low, high = alike(as_float(arr), lowest, highest)

    def soft(kernel, x, softness):
        below, above = x < low, x > high
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
        identity=_unchanged,
        exact=jnp.clip,
        inputs=(x, low, high),
        has_derivative=True,
    )


def maximum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The larger of two, like `jnp.maximum`. Relaxed: E max(x1 - x2 + noise, 0) + x2."""
    return _picked("maximum", x1, x2, 1, via, key)


def minimum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The smaller of two, like `jnp.minimum`. Relaxed: x2 - E max(x2 - x1 + noise, 0)."""
    return _picked("minimum", x1, x2, -1, via, key)


def _picked(name, x1, x2, sign, via, key):
    x1, x2 = alike(x1, x2)
    d = difference(x1, x2)
    first = d > 0 if sign > 0 else d <= 0  # which one is picked without noise

    def hard(noisy):
        change = difference(jax.nn.relu(noisy), jax.nn.relu(d))
        return jnp.where(first, x1, x2) + sign * change

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
