"""The methods of NumPy's universal functions: `np.add.reduce`, `accumulate`, `reduceat`, `outer` and `at`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from .._indexing.items import resolved
from .._session import session, unliftable
from .._values.trees import has_unknown, unwrapped
from .._values.values import Array, as_jax, wrapped

_REDUCED: dict[Any, Callable] = {
    np.add: jnp.sum,
    np.multiply: jnp.prod,
    np.maximum: jnp.max,
    np.minimum: jnp.min,
    np.logical_and: jnp.all,
    np.logical_or: jnp.any,
}
_ACCUMULATED = {np.add: lax.cumsum, np.multiply: lax.cumprod, np.maximum: lax.cummax, np.minimum: lax.cummin}
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
    given = {} if initial is np._NoValue else {"initial": as_jax(initial, data.dtype)}
    if ufunc in _REDUCED:
        chosen = {} if where is True else {"where": as_jax(where)}
        return wrapped(_REDUCED[ufunc](data, axis=unwrapped(axis), keepdims=keepdims, **given, **chosen))
    if where is not True or not isinstance(axis, int):
        raise unliftable(f"np.{ufunc.__name__}.reduce over several axes, or where=", "one axis", "a loop")
    rows = [Array(row) for row in jnp.moveaxis(data, axis, 0)]
    if given:
        rows.insert(0, Array(jnp.broadcast_to(given["initial"], rows[0].shape if rows else ())))
    if not rows:
        raise ValueError(f"zero-size array to reduction operation {ufunc.__name__}")
    total = as_jax(_folded(ufunc, rows)[-1])
    return wrapped(jnp.expand_dims(total, axis) if keepdims else total)


def _folded(ufunc: np.ufunc, rows: list) -> list:
    """The first, the first two together, and so on."""
    folded = rows[:1]
    for row in rows[1:]:
        folded.append(session().rules.ufunc(ufunc, "__call__", (folded[-1], row), {}))
    return folded


def accumulate(ufunc: np.ufunc, x: Any, axis: int = 0, dtype: Any = None) -> Any:
    data = as_jax(x, dtype)
    if ufunc in _ACCUMULATED:
        return wrapped(_ACCUMULATED[ufunc](data, axis=axis % data.ndim))
    rows = _folded(ufunc, [Array(row) for row in jnp.moveaxis(data, axis, 0)])
    return wrapped(jnp.stack(list(map(as_jax, rows)), axis))


def reduceat(ufunc: np.ufunc, x: Any, indices: Any, axis: int = 0, dtype: Any = None) -> Any:
    """Of the parts that begin at known indices; where one does not end behind its beginning, the element itself."""
    if has_unknown(indices):
        raise unliftable(f"np.{ufunc.__name__}.reduceat with indices that depend on the arguments", "np.add.at")
    data = jnp.moveaxis(as_jax(x, dtype), axis, 0)
    starts = np.asarray(unwrapped(indices))
    if np.any((starts < 0) | (starts >= len(data))):
        raise IndexError(f"an index of reduceat is out of bounds for an axis of size {len(data)}")
    ends = [*starts[1:], len(data)]
    parts = [data[a:b] if a < b else data[a : a + 1] for a, b in zip(starts, ends, strict=True)]
    return wrapped(jnp.stack([as_jax(reduce(ufunc, Array(part))) for part in parts], axis))


def outer(ufunc: np.ufunc, x: Any, y: Any, **kwargs: Any) -> Any:
    first, second = as_jax(x), as_jax(y)
    spread = Array(first.reshape(*first.shape, *[1] * second.ndim))
    return session().rules.ufunc(ufunc, "__call__", (spread, Array(second)), kwargs)


def at(ufunc: np.ufunc, target: Array, index: Any, *values: Any) -> None:
    """`np.add.at` and the like: repeated indices count each time."""
    data, place = as_jax(target), resolved(target, index)[0]
    if ufunc not in _WRITTEN:
        raise unliftable(f"np.{ufunc.__name__}.at is not lifted", "a loop")
    value = as_jax(values[0], data.dtype)
    value = -value if ufunc is np.subtract else value
    target.write(getattr(data.at[place], _WRITTEN[ufunc])(value))


METHODS: dict[str, Callable] = {"reduce": reduce, "accumulate": accumulate, "reduceat": reduceat, "outer": outer}
