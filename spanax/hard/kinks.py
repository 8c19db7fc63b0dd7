"""Continuous operations with a kink: abs, relu, clip, maximum and minimum.

They have a derivative, which is JAX's where no bridge is named. In all of them `via` is the bridge: `Soft` rounds the kink off (and
gives a gradient where clip and relu have none), `StraightThrough()` takes the operation for the identity of its first argument,
`Perturbed` needs `key`.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ._apply import MaybeKey, Via, alike, apply, as_float, under_noise
from .comparisons import Numbers, difference


def _ramp(kernel, x, softness):
    """E max(x + noise, 0)."""
    return softness * kernel.relu(x / softness)


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
        above = _ramp(kernel, x - jnp.where(jnp.isfinite(low), low, 0), softness)
        rising = jnp.where(low == -jnp.inf, x, low + above)
        return rising - jnp.where(
            high == jnp.inf, 0, _ramp(kernel, x - jnp.where(jnp.isfinite(high), high, 0), softness)
        )

    return apply(
        "clip",
        via,
        key,
        x=x,
        hard=lambda x: jnp.clip(x, low, high),
        soft=under_noise(soft),
        identity=_unchanged,
        has_derivative=True,
    )


def maximum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The larger of two, like `jnp.maximum`. Relaxed: E max(x1 - x2 + noise, 0) + x2."""
    return _larger("maximum", x1, x2, 1, via, key)


def minimum(x1: Numbers, x2: Numbers, *, via: Via = None, key: MaybeKey = None) -> Float[Array, "*s"]:
    """The smaller of two, like `jnp.minimum`. Relaxed: x2 - E max(x2 - x1 + noise, 0)."""
    return _larger("minimum", x1, x2, -1, via, key)


def _larger(name, x1, x2, sign, via, key):
    x1, x2 = alike(x1, x2)
    pick = jnp.maximum if sign > 0 else jnp.minimum

    def soft(kernel, d, softness):
        finite = jnp.isfinite(d)
        ramp = x2 + sign * _ramp(kernel, sign * jnp.where(finite, d, 0), softness)
        return jnp.where(finite, ramp, pick(x1, x2))

    return apply(
        name,
        via,
        key,
        x=difference(x1, x2),
        hard=lambda d: pick(x2 + d, x2),
        soft=under_noise(soft),
        exact=lambda x1, x2: pick(x1, x2),
        inputs=(x1, x2),
        has_derivative=True,
    )
