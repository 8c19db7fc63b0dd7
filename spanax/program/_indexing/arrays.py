"""Reads and writes parts of an array. What is a view in NumPy is a view here: writing it writes the array.

NumPy's rule decides: integers and slices give a view, an array of indices or a mask gives a copy. A view has no data of its own.
It holds two functions: one reads its part of the array's data, the other puts new contents in their place. So views and their
array stay in step whichever of them is written, although JAX's arrays are immutable.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import session
from .._values.values import LiftedArray, Number, as_jax, is_unknown, raw, wrap
from .indices import index_parts, is_basic, resolve_index
from .masked import Masked, is_mask
from .selections import at_places, in_index, per_element, store_places


def array_item(target: LiftedArray, index: Any) -> Any:
    """`target[index]`, of an array."""
    part, mask = _masked_part(target, index)
    if mask is not None:
        return Masked(part, mask)
    if in_index(index) is not None:
        return at_places(target, index)
    if (row := _loop_row(target, index)) is not None:
        return row
    parts, _ = resolve_index(target, index)
    if not all(map(is_basic, index_parts(index))):
        return wrap(_reader(parts)(target.data))
    get, put = _reader(parts), _writer(parts)
    data = get(target.data)
    # x[0, 1] is a scalar, x[0, 1, ...] an array without axes: a view, which can be written.
    if data.ndim == 0 and not any(p is Ellipsis for p in index_parts(index)):
        return data[()] if isinstance(data, np.ndarray) else Number(data)
    return LiftedArray(base=target, get=get, put=put)


def _masked_part(target: LiftedArray, index: Any) -> tuple[LiftedArray, Any]:
    """What an unknown mask in the index selects from, and the mask: for `x[mask, 1:]` the view `x[:, 1:]`, and `mask`.

    The mask is None where the index holds none, or also holds an array, `None` or an ellipsis.
    """
    if is_mask(index, target):
        return target, index
    if not isinstance(index, tuple) or len(index) < 2 or not is_mask(index[0], target):
        return target, None
    rest = index[1:]
    if not all(isinstance(p, (slice, int, np.integer, Number)) and not isinstance(p, bool) for p in rest):
        return target, None
    return session().rules.item(target, (*[slice(None)] * index[0].ndim, *rest)), index[0]


def _loop_row(target: LiftedArray, index: Any) -> Any:
    """The row, where an enclosing loop already has it as an input of its scan; else None."""
    # Only a loop's index, perhaps shifted by a known number, has a known range.
    first, *rest = index_parts(index) or (None,)
    if not session().columns or not isinstance(first, Number) or first.span is None:
        return None
    for columns in reversed(session().columns):
        if (row := columns.row(target, first)) is not None:
            return row if not rest else session().rules.item(row, tuple(rest) if len(rest) > 1 else rest[0])
    return None


def _is_traced(parts: tuple) -> bool:
    return any(isinstance(p, jax.Array) for p in parts)


def _reader(parts: tuple) -> Callable:
    """A function that reads this part of an array's data. Known data stay NumPy arrays: they cost nothing at run time."""

    def get(data: Any) -> Any:
        if isinstance(data, np.ndarray) and not _is_traced(parts):
            return np.asarray(data[parts])
        return jnp.asarray(data).at[parts].get(mode="promise_in_bounds", wrap_negative_indices=False)

    # Whether a reshape of this view is a view depends on its strides, which are the same for every row.
    first = tuple(0 if isinstance(p, jax.Array) and not p.ndim else p for p in parts)
    get.form = lambda data: np.asarray(data[first])
    return get


def _writer(parts: tuple) -> Callable:
    """A function that puts new contents in this part of an array's data. It copies: undoing a branch needs the old data."""

    def put(data: Any, new: Any) -> Any:
        if isinstance(data, np.ndarray) and isinstance(new, np.ndarray) and not _is_traced(parts):
            changed = data.copy()
            changed[parts] = new
            return changed
        data = jnp.asarray(data)
        return data.at[parts].set(jnp.asarray(new, data.dtype), mode="promise_in_bounds", wrap_negative_indices=False)

    return put


# -- writing


def store_in_array(target: LiftedArray, index: Any, value: Any) -> None:
    """`target[index] = value`, of an array."""
    if isinstance(value, (list, tuple)):
        value = session().rules.function(np.array, (value,), {})
    if _is_everything(index):
        target.write(_fill(target, value))
        return
    part, mask = _masked_part(target, index)
    if mask is not None:
        part.write(_fill_by_mask(part, mask, value))
        return
    if in_index(index) is not None:
        store_places(target, index, value)
        return
    _store_at(target, resolve_index(target, index)[0], value)


def _is_everything(index: Any) -> bool:
    """Is it `x[...]` or `x[:]`? The class is tested first, because `==` of an array compares elements."""
    return index is Ellipsis or (isinstance(index, slice) and index == slice(None))


def _store_at(target: LiftedArray, parts: tuple, value: Any) -> None:
    if is_unknown(target) or is_unknown(value) or _is_traced(parts):
        data = as_jax(target)
        new = _cast(value, data.dtype)
        if new.ndim > 1:
            new = _of_at_most(new, _written_part(parts, data.shape).ndim)
        target.write(data.at[parts].set(new, mode="promise_in_bounds", wrap_negative_indices=False))
        return
    changed = np.array(target.data)
    changed[parts] = raw(value)
    target.write(changed)


def _cast(value: Any, dtype: Any) -> jax.Array:
    """The value in the array's dtype, as NumPy casts on writing; raises where NumPy would drop an imaginary part."""
    data = raw(value)
    if np.dtype(data.dtype if hasattr(data, "dtype") else type(data)).kind == "c" and dtype.kind != "c":
        raise TypeError("a complex number cannot be written into an array of real ones")
    return as_jax(value, dtype)


def _written_part(parts: tuple, shape: tuple) -> np.ndarray:
    """An array of the shape that is written. It takes no memory: NumPy indexes a broadcast scalar."""
    known = tuple(np.zeros(p.shape, int) if isinstance(p, jax.Array) else p for p in parts)
    return np.asarray(np.broadcast_to(False, shape)[known])


def _of_at_most(new: jax.Array, ndim: int) -> jax.Array:
    """Drops leading axes of size 1 beyond `ndim` axes: NumPy drops them on writing, JAX raises."""
    spare = max(new.ndim - ndim, 0)
    return new.reshape(new.shape[spare:]) if spare and set(new.shape[:spare]) == {1} else new


def _fill(target: LiftedArray, value: Any) -> Any:
    if is_unknown(value):
        return jnp.broadcast_to(_of_at_most(_cast(value, target.dtype), target.ndim), target.shape)
    filled = np.empty(target.shape, target.dtype)
    filled[...] = raw(value)
    return filled


def _fill_by_mask(target: LiftedArray, mask: Any, value: Any) -> Any:
    """The array with new elements where the mask holds. `where` keeps the shape, whatever the mask selects."""
    chosen = as_jax(mask)
    data = as_jax(target)
    room = data.ndim - chosen.ndim
    value = _cast(per_element(value, Masked(data, mask), room), data.dtype)
    return jnp.where(chosen.reshape(*chosen.shape, *[1] * room), value, data)
