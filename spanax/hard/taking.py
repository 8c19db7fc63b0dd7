"""Taking entries by weights in place of indices: linear, so there is no gap and no bridge.

Weights are those of `hard.argmax` and its like: where jax.numpy has an array of indices of shape S into n entries, they
have the shape S + (n,). Integer indices are taken as jax.numpy takes them. Entries of weight 0 do not count, also where
they are infinite or NaN.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._errors import SpanaxError
from ._apply import array, as_float, on_last

Weights = Float[Array, "*index n"] | Int[Array, "*index"]


def _is_index(weights: Array) -> bool:
    return jnp.issubdtype(weights.dtype, jnp.integer)


def _check(name: str, n: int, weights: Array) -> None:
    if weights.ndim == 0 or weights.shape[-1] != n:
        raise SpanaxError(
            f"{name}: weights of shape {list(weights.shape)} over {n} entries",
            f"weights whose last axis has {n} entries, such as hard.argmax returns",
            "integer indices",
        )


def _weighted(weights: Array, a: Array) -> Array:
    """The sum of weights * a over their last axes, which are the same; without what has weight 0."""
    return jnp.sum(weights * jnp.where((weights != 0) | jnp.isfinite(a), a, 0), -1)


def take(a: Float[Array, "*s"], weights: Weights, axis: int | None = None) -> Float[Array, "*out"]:
    """The entries of `a` along `axis` (of a flattened `a` where it is None), like `jnp.take`.

    Weights of shape S + (n,) give the result's axes S, in the place of `axis`. Raises `SpanaxError` where n is not the
    length of `axis`.

    >>> import jax.numpy as jnp, spanax as sx
    >>> float(sx.hard.take(jnp.array([10.0, 20.0, 30.0]), sx.hard.argmax(jnp.array([0.1, 0.7, 0.2]))))
    20.0
    """
    a, weights = array(a), array(weights)
    if _is_index(weights):
        return jnp.take(a, weights, axis)
    x, position = on_last(as_float(a), axis, "take")
    _check("take", x.shape[-1], weights)
    index = weights.shape[:-1]
    rows = x.reshape((1,) * len(index) + x.shape)  # index..., rest..., n
    out = _weighted(weights.reshape(*index, *(1,) * (x.ndim - 1), -1).astype(x.dtype), rows)
    if position is None:
        return out
    return jnp.moveaxis(out, range(len(index)), range(position, position + len(index)))


def take_along_axis(a: Float[Array, "*s"], weights: Weights, axis: int) -> Float[Array, "*out"]:
    """Entry by entry of all other axes, like `jnp.take_along_axis`: weights of shape `indices.shape + (n,)`.

    `take_along_axis(x, argsort(x), -1)` is the sorted x.
    """
    a, weights = array(a), array(weights)
    if _is_index(weights):
        return jnp.take_along_axis(a, weights, axis)
    x, position = on_last(as_float(a), axis, "take_along_axis")
    _check("take_along_axis", x.shape[-1], weights)
    if weights.ndim != a.ndim + 1 or position is None:
        raise SpanaxError(
            f"take_along_axis: weights of shape {list(weights.shape)} for an array of shape {list(a.shape)}",
            "one axis for each of the array's, and one for the weights, such as hard.argsort returns",
        )
    along = jnp.moveaxis(weights, position, -2).astype(x.dtype)  # rest..., index, n
    return jnp.moveaxis(_weighted(along, x[..., None, :]), -1, position)


def choose(weights: Weights, choices: Float[Array, " n *s"]) -> Float[Array, "*s"]:
    """For each element its choice among n arrays, like `jnp.choose`: weights of shape S + (n,), choices of shape (n,) + S."""
    weights, choices = array(weights), array(choices)
    if _is_index(weights):
        return jnp.choose(weights, list(choices), mode="clip")
    x = jnp.moveaxis(as_float(choices), 0, -1)
    _check("choose", x.shape[-1], weights)
    return _weighted(*jnp.broadcast_arrays(weights.astype(x.dtype), x))


def dynamic_index(
    a: Float[Array, "*s"], weights: Weights, axis: int = 0, keepdims: bool = True
) -> Float[Array, "*out"]:
    """One entry along `axis`, like `jax.lax.dynamic_index_in_dim`: weights of shape (n,)."""
    if _is_index(array(weights)):
        return lax.dynamic_index_in_dim(array(a), weights, axis, keepdims)
    out = take(a, weights, axis)
    return jnp.expand_dims(out, axis % jnp.ndim(a)) if keepdims else out
