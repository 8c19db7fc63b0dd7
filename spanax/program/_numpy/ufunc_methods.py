"""The methods of NumPy's universal functions: `np.add.reduce`, `accumulate`, `reduceat`, `outer` and `at`.

One JAX operation where there is one; else the function is applied to one row after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._indexing.indices import resolve_index
from .._session import session, unliftable
from .._values.trees import has_unknown, unwrap
from .._values.values import LiftedArray, as_jax, wrap

# Reductions that are one operation in JAX.
_REDUCED: dict[Any, Callable] = {
    np.add: jnp.sum,
    np.multiply: jnp.prod,
    np.maximum: jnp.max,
    np.minimum: jnp.min,
    np.logical_and: jnp.all,
    np.logical_or: jnp.any,
}
_ACCUMULATED = {np.add: lax.cumsum, np.multiply: lax.cumprod, np.maximum: lax.cummax, np.minimum: lax.cummin}
# The methods of `x.at[i]`, which apply repeated indices repeatedly, as NumPy's `ufunc.at` does.
_WRITTEN = {np.add: "add", np.subtract: "add", np.multiply: "multiply", np.maximum: "max", np.minimum: "min"}


def reduce(
    ufunc: np.ufunc,
    x: Any,
    axis: Any = 0,
    dtype: Any = None,
    keepdims: bool = False,
    initial: Any = np._NoValue,
    where: Any = True,
) -> Any:
    """`ufunc.reduce(x, axis)`."""
    data = as_jax(x, dtype)
    options = {} if initial is np._NoValue else {"initial": as_jax(initial, data.dtype)}
    if ufunc in _REDUCED:
        options |= {} if where is True else {"where": as_jax(where)}
        return wrap(_REDUCED[ufunc](data, axis=unwrap(axis), keepdims=keepdims, **options))
    if where is not True or not isinstance(axis, int):
        raise unliftable(f"np.{ufunc.__name__}.reduce over several axes, or where=", "one axis", "a loop")
    total = _fold(ufunc, jnp.moveaxis(data, axis, 0), options.get("initial"))
    return wrap(jnp.expand_dims(total, axis) if keepdims else total)


def _fold(ufunc: np.ufunc, data: jax.Array, initial: jax.Array | None) -> jax.Array:
    """The reduction over all rows, in order, because the function need not be associative."""
    rows = [LiftedArray(row) for row in data]
    if initial is not None:
        rows.insert(0, LiftedArray(jnp.broadcast_to(initial, data.shape[1:] if rows else ())))
    # Without rows there is no result, as the functions that come here have no neutral element.
    if not rows:
        raise ValueError(f"zero-size array to reduction operation {ufunc.__name__}")
    return as_jax(_running_folds(ufunc, rows)[-1])


def _running_folds(ufunc: np.ufunc, rows: list) -> list:
    """The first row, the function of the first two, of that and the third, and so on."""
    folds = rows[:1]
    for row in rows[1:]:
        folds.append(session().rules.ufunc(ufunc, "__call__", (folds[-1], row), {}))
    return folds


def accumulate(ufunc: np.ufunc, x: Any, axis: int = 0, dtype: Any = None) -> Any:
    """`ufunc.accumulate(x, axis)`: the partial results of the reduction along the axis."""
    data = as_jax(x, dtype)
    if ufunc in _ACCUMULATED:
        return wrap(_ACCUMULATED[ufunc](data, axis=axis % data.ndim))
    rows = _running_folds(ufunc, [LiftedArray(row) for row in jnp.moveaxis(data, axis, 0)])
    return wrap(jnp.stack(list(map(as_jax, rows)), axis))


def reduceat(ufunc: np.ufunc, x: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """`ufunc.reduceat(x, indices)`: of the parts between known indices; of an empty part its first element, as in NumPy."""
    if has_unknown(indices):
        raise unliftable(f"np.{ufunc.__name__}.reduceat with indices that depend on the arguments", "np.add.at")
    data = jnp.moveaxis(as_jax(x, dtype), axis, 0)
    starts = np.asarray(unwrap(indices))
    if np.any((starts < 0) | (starts >= len(data))):
        raise IndexError(f"an index of reduceat is out of bounds for an axis of size {len(data)}")
    # One reduction for each part. jax.ops has segmented sums, but not for all functions.
    ends = [*starts[1:], len(data)]
    parts = [data[a:b] if a < b else data[a : a + 1] for a, b in zip(starts, ends, strict=True)]
    return wrap(jnp.stack([as_jax(reduce(ufunc, LiftedArray(part))) for part in parts], axis))


def outer(ufunc: np.ufunc, x: Any, y: Any, **kwargs: Any) -> Any:
    """`ufunc.outer(x, y)`: the function of each element of x with each of y."""
    first, second = as_jax(x), as_jax(y)
    spread = LiftedArray(first.reshape(*first.shape, *[1] * second.ndim))
    return session().rules.ufunc(ufunc, "__call__", (spread, LiftedArray(second)), kwargs)


def at(ufunc: np.ufunc, target: LiftedArray, index: Any, *values: Any) -> None:
    """`ufunc.at(target, index, values)`: in place, with repeated indices applied repeatedly."""
    data, place = as_jax(target), resolve_index(target, index)[0]
    if ufunc not in _WRITTEN:
        raise unliftable(f"np.{ufunc.__name__}.at is not lifted", "a loop")
    value = as_jax(values[0], data.dtype)
    # `x.at[i]` has no method that works for repeated indices of np.subtract but `add`.
    value = -value if ufunc is np.subtract else value
    target.write(getattr(data.at[place], _WRITTEN[ufunc])(value))


METHODS: dict[str, Callable] = {"reduce": reduce, "accumulate": accumulate, "reduceat": reduceat, "outer": outer}
