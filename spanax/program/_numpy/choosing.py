"""Functions that read and write elements by index: `np.take`, `np.choose`, `np.put` and the like.

All of them use `x[i]` and `x[i] = value`, whose rules check the indices; jax.numpy's namesakes clip indices out of bounds or
ignore them.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from .._indexing.views import flat
from .._session import session, unliftable
from .._values.values import LiftedArray, as_jax, is_unknown, raw, wrap
from .creation import asarray


def _store_out(result: Any, out: Any) -> Any:
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _within(indices: Any, size: int, mode: str) -> Any:
    """Indices of an axis, wrapped or clipped as NumPy's `mode` says."""
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
    # For an integer x[i] is a view, whereas np.take always copies.
    return _store_out(LiftedArray(result.data) if isinstance(result, LiftedArray) else result, out)


def _along(x: LiftedArray, indices: Any, axis: int | None) -> tuple[LiftedArray, tuple]:
    """The array and the index for `np.take_along_axis`: the given indices along one axis, each place's own along the others."""
    places = asarray(indices)
    if axis is None:
        return flat(x), (places,)
    axis %= x.ndim
    if places.ndim != x.ndim:
        raise ValueError("`indices` and `arr` must have the same number of dimensions")
    # As in NumPy, aranges along the other axes broadcast against the indices, whose size there may be 1.
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
    """`np.choose`: at each place, the element of the array with that number."""
    arrays = [asarray(c) for c in choices]
    number = _within(asarray(a), len(arrays), mode)
    shape = np.broadcast_shapes(number.shape, *(c.shape for c in arrays))
    dtype = np.result_type(*(c.dtype for c in arrays))
    stacked = LiftedArray(jnp.stack([jnp.broadcast_to(as_jax(c, dtype), shape) for c in arrays]))
    # By indexing the stack, so that a number out of range is an error.
    spread = number if number.shape == shape else np.broadcast_to(number, shape)
    if not shape:
        return _store_out(session().rules.item(stacked, spread), out)
    return _store_out(take_along_axis(stacked, spread[None], 0)[0], out)


def copyto(dst: LiftedArray, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    """`np.copyto`."""
    chosen = src if where is True else session().rules.function(np.where, (where, src, dst), {})
    session().rules.store(dst, Ellipsis, chosen)


def nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    """`np.nan_to_num`."""
    options = {"nan": raw(nan), "posinf": raw(posinf), "neginf": raw(neginf)}
    result = wrap(jnp.nan_to_num(as_jax(x), **options) if is_unknown(x) else np.nan_to_num(raw(x), **options))
    if copy:
        return result
    session().rules.store(x, Ellipsis, result)
    return x


def fill_diagonal(a: LiftedArray, val: Any, wrap: bool = False) -> None:
    """`np.fill_diagonal`."""
    if wrap:
        raise unliftable("np.fill_diagonal(wrap=True)", "x[i, j] = ... with the places' indices")
    n = min(a.shape)
    session().rules.store(a, tuple([np.arange(n)] * a.ndim), val)


def put(a: LiftedArray, ind: Any, v: Any, mode: str = "raise") -> None:
    """`np.put`. If there are fewer values than indices, they are repeated."""
    places, values = np.reshape(asarray(ind), -1), np.reshape(asarray(v), -1)
    if values.size:
        chosen = values[np.arange(places.size) % values.size]
        session().rules.store(flat(a), _within(places, a.size, mode), chosen)


def putmask(a: LiftedArray, mask: Any, values: Any) -> None:
    """`np.putmask`: place i of the flat array gets value i, repeated as needed."""
    # Values at places where the mask does not hold are skipped; `np.place` uses them up one after the other.
    flat_values = np.reshape(asarray(values), -1)
    spread = flat_values[np.arange(a.size) % flat_values.size]
    copyto(a, np.reshape(spread, a.shape), where=np.reshape(asarray(mask), a.shape))


def place(arr: LiftedArray, mask: Any, vals: Any) -> None:
    """`np.place`: the k-th place where the mask holds gets value k, repeated as needed."""
    flat_values, chosen = np.reshape(asarray(vals), -1), np.reshape(asarray(mask), arr.shape)
    # Where the mask does not hold, the number is one too small (or -1), and copyto ignores it.
    number = np.cumsum(np.ravel(chosen) != 0) - 1
    copyto(arr, np.reshape(flat_values[number % flat_values.size], arr.shape), where=chosen != 0)
