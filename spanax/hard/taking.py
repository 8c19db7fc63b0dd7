"""Taking entries by weights in place of indices: linear, so there is no gap and no bridge.

Weights are those of `hard.argmax` and similar: where jax.numpy has an array of indices of shape S into n entries, they have the
shape S + (n,). Integer indices work as in jax.numpy. Entries of weight 0 do not count, even if they are infinite or NaN.
"""

from __future__ import annotations

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int

from .._errors import SpanaxError
from ._apply import array, as_float, on_last

Weights = Float[Array, "*index n"] | Int[Array, "*index"]


# The dtype decides, so that one call serves hard programs with indices and relaxed ones with weights.
def _is_index(weights: Array) -> bool:
    return jnp.issubdtype(weights.dtype, jnp.integer)


def _check(name: str, n: int, weights: Array) -> None:
    if weights.ndim == 0 or weights.shape[-1] != n:
        raise SpanaxError(
            f"{name}: weights of shape {list(weights.shape)} over {n} entries",
            f"weights whose last axis has {n} entries, such as hard.argmax returns",
            "integer indices",
        )


def _weighted_sum(weights: Array, a: Array) -> Array:
    """The sum of weights * a over their last axes, without entries of weight 0."""
    # Only what is not finite is replaced: the derivative with respect to a weight of 0 is the entry.
    return jnp.sum(weights * jnp.where((weights != 0) | jnp.isfinite(a), a, 0), -1)


def take(a: Float[Array, "*s"], weights: Weights, axis: int | None = None) -> Float[Array, "*out"]:
    """The entries of `a` along `axis`, like `jnp.take`, with weights in place of indices.

    **Arguments:**

    - `a`: the array;
    - `weights`: weights over the n entries, of shape S + (n,); or integer indices;
    - `axis`: the axis; None for the flattened array.

    **Returns:**

    The entries: the axes S of the weights in the place of `axis`.

    **Raises:**

    - `SpanaxError`: if n is not the length of `axis`, or the axis does not exist;
    - `SpanaxError`: for complex numbers.

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
    # The axes are: those of the index, the rest of a, the n entries.
    rows = x.reshape((1,) * len(index) + x.shape)
    out = _weighted_sum(weights.reshape(*index, *(1,) * (x.ndim - 1), -1).astype(x.dtype), rows)
    if position is None:
        return out
    return jnp.moveaxis(out, range(len(index)), range(position, position + len(index)))


def take_along_axis(a: Float[Array, "*s"], weights: Weights, axis: int) -> Float[Array, "*out"]:
    """For each entry of all other axes the entries along `axis`, like `jnp.take_along_axis`, with weights in place of
    indices.

    `take_along_axis(x, argsort(x), -1)` is the sorted x.

    **Arguments:**

    - `a`: the array;
    - `weights`: weights over the n entries, of shape `indices.shape + (n,)`; or integer indices;
    - `axis`: the axis.

    **Returns:**

    The entries, of the shape of the indices.

    **Raises:**

    - `SpanaxError`: if the weights have not one axis more than a, or their last axis has another length than `axis`;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> x = jnp.array([3.0, 1.0, 2.0])
    >>> sx.hard.take_along_axis(x, sx.hard.argsort(x), -1).tolist()
    [1.0, 2.0, 3.0]
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
    # The axes are: the rest of a, the index, the n entries.
    along = jnp.moveaxis(weights, position, -2).astype(x.dtype)
    return jnp.moveaxis(_weighted_sum(along, x[..., None, :]), -1, position)


def choose(weights: Weights, choices: Float[Array, " n *s"]) -> Float[Array, "*s"]:
    """For each element its choice among n arrays, like `jnp.choose`, with weights in place of indices.

    **Arguments:**

    - `weights`: weights over the n entries, of shape S + (n,); or integer indices;
    - `choices`: the n arrays, of shape (n,) + S.

    **Returns:**

    An array of shape S.

    **Raises:**

    - `SpanaxError`: if the last axis of the weights has not the length n;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.choose(jnp.array([[1.0, 0.0], [0.5, 0.5]]), jnp.array([[1.0, 2.0], [3.0, 4.0]])).tolist()
    [1.0, 3.0]
    """
    weights, choices = array(weights), array(choices)
    if _is_index(weights):
        return jnp.choose(weights, list(choices), mode="clip")
    x = jnp.moveaxis(as_float(choices), 0, -1)
    _check("choose", x.shape[-1], weights)
    return _weighted_sum(*jnp.broadcast_arrays(weights.astype(x.dtype), x))


def dynamic_index(
    a: Float[Array, "*s"], weights: Weights, axis: int = 0, keepdims: bool = True
) -> Float[Array, "*out"]:
    """One entry along `axis`, like `jax.lax.dynamic_index_in_dim`, with weights in place of an index.

    **Arguments:**

    - `a`: the array;
    - `weights`: weights over the n entries, of shape (n,); or an integer;
    - `axis`: the axis;
    - `keepdims`: whether the axis stays, with length 1.

    **Returns:**

    The entry.

    **Raises:**

    - `SpanaxError`: if n is not the length of `axis`, or the axis does not exist;
    - `SpanaxError`: for complex numbers.

    >>> import jax.numpy as jnp, spanax as sx
    >>> sx.hard.dynamic_index(jnp.array([1.0, 5.0]), jnp.array([0.5, 0.5]), keepdims=False).item()
    3.0
    """
    # Integers are not weights: a weight of 1 as an integer would be taken for the index 1.
    if _is_index(array(weights)):
        return lax.dynamic_index_in_dim(array(a), weights, axis, keepdims)
    out = take(a, weights, axis)
    return jnp.expand_dims(out, axis % jnp.ndim(a)) if keepdims else out
