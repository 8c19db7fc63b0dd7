"""Elements chosen and written by functions: `np.take`, `np.choose`, `np.put` and the like, with indices checked as `x[i]` is."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._indexing.views import flat
from .._session import session, unliftable
from .._values.values import Array, as_jax, is_unknown, raw, wrapped
from .creation import asarray


def _written(result: Any, out: Any) -> Any:
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _within(indices: Any, size: int, mode: str) -> Any:
    """Indices of an axis, after NumPy's `mode`."""
    if mode == "raise":
        return indices
    if mode not in ("wrap", "clip"):
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got {mode!r})")
    return np.remainder(indices, size) if mode == "wrap" else np.clip(indices, 0, size - 1)


def take(a: Any, indices: Any, axis: int | None = None, out: Any = None, mode: str = "raise") -> Any:
    """`np.take`."""
    x, places = asarray(a), asarray(indices) if isinstance(indices, (list, tuple)) else indices
    x, along = (flat(x), 0) if axis is None else (x, axis % x.ndim)
    places = _within(places, x.shape[along], mode)
    result = session().rules.item(x, (*[slice(None)] * along, places))
    return _written(Array(result.data) if isinstance(result, Array) else result, out)


def _along(x: Array, indices: Any, axis: int | None) -> tuple[Array, tuple]:
    """What is indexed, and its index: along one axis the given one, along the others each place its own."""
    places = asarray(indices)
    if axis is None:
        return flat(x), (places,)
    axis %= x.ndim
    if places.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    shape = [1] * x.ndim
    own = [np.arange(n).reshape([*shape[:i], n, *shape[i + 1 :]]) for i, n in enumerate(x.shape)]
    return x, tuple(places if i == axis else own[i] for i in range(x.ndim))


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """`np.take_along_axis`."""
    x, index = _along(asarray(arr), indices, axis)
    return session().rules.item(x, index)


def put_along_axis(arr: Any, indices: Any, values: Any, axis: int | None) -> None:
    """`np.put_along_axis`."""
    x, index = _along(arr, indices, axis)
    session().rules.store(x, index, values)


def choose(a: Any, choices: Any, out: Any = None, mode: str = "raise") -> Any:
    """`np.choose`: of stacked arrays, the one whose number is given, place by place."""
    given = [asarray(c) for c in choices]
    number = _within(asarray(a), len(given), mode)
    shape = np.broadcast_shapes(number.shape, *(c.shape for c in given))
    dtype = np.result_type(*(c.dtype for c in given))
    stacked = Array(jnp.stack([jnp.broadcast_to(as_jax(c, dtype), shape) for c in given]))
    spread = number if number.shape == shape else np.broadcast_to(number, shape)
    if not shape:
        return _written(session().rules.item(stacked, spread), out)
    return _written(take_along_axis(stacked, spread[None], 0)[0], out)


def copyto(dst: Array, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """`np.copyto`."""
    chosen = src if where is True else session().rules.function(np.where, (where, src, dst), {})
    session().rules.store(dst, Ellipsis, chosen)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`np.nan_to_num`."""
    given = {"nan": raw(nan), "posinf": raw(posinf), "neginf": raw(neginf)}
    result = wrapped(jnp.nan_to_num(as_jax(x), **given) if is_unknown(x) else np.nan_to_num(raw(x), **given))
    if copy:
        return result
    session().rules.store(x, Ellipsis, result)
    return x


def fill_diagonal(a: Array, val: Any, wrap: bool = False) -> None:
    """`np.fill_diagonal`."""
    if wrap:
        raise unliftable("np.fill_diagonal(wrap=True)", "x[i, j] = ... with the places' indices")
    n = min(a.shape)
    session().rules.store(a, tuple([np.arange(n)] * a.ndim), val)


def put(a: Array, ind: Any, v: Any, mode: str = "raise") -> None:
    """`np.put`: fewer values than indices begin anew."""
    places, values = np.reshape(asarray(ind), -1), np.reshape(asarray(v), -1)
    if values.size:
        chosen = values[np.arange(places.size) % values.size]
        session().rules.store(flat(a), _within(places, a.size, mode), chosen)


def putmask(a: Array, mask: Any, values: Any) -> None:
    """`np.putmask`: each place has a value of its own, counted over all of them."""
    given = np.reshape(asarray(values), -1)
    spread = given[np.arange(a.size) % given.size]
    copyto(a, np.reshape(spread, a.shape), where=np.reshape(asarray(mask), a.shape))


def place(arr: Array, mask: Any, vals: Any) -> None:
    """`np.place`: values are counted over the places where the mask holds."""
    given, chosen = np.reshape(asarray(vals), -1), np.reshape(asarray(mask), arr.shape)
    number = np.cumsum(np.ravel(chosen) != 0) - 1
    copyto(arr, np.reshape(given[number % given.size], arr.shape), where=chosen != 0)
