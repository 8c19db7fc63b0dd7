"""Reading and writing `x[i]`: NumPy's views stay views, and an index that is not known until the program runs is checked then."""

from __future__ import annotations

import operator
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._numpy.errors import translated
from .._session import LiftError, line, session, unliftable
from .._values.cells import changing
from .._values.constants import refuse_writing
from .._values.matrices import Matrix
from .._values.protocols import own_method
from .._values.values import Array, Number, Value, as_jax, canonical, is_unknown, raw, wrapped
from .elements import element, with_element
from .grids import MAKERS
from .masked import Masked, is_mask
from .selections import at_places, in_index, masked_item, masked_store, per_element, store_places


def item(target: Any, index: Any) -> Any:
    """`target[index]`."""
    if isinstance(target, Masked):
        return masked_item(target, index)
    if isinstance(target, (np.ndarray, jax.Array)) and not isinstance(target, Value):
        if not _has_unknown(index) and not isinstance(target, jax.Array):
            return wrapped(target[_known_index(index)])
        target = Array(target)
    if isinstance(target, Array):
        return translated(lambda: _array_item(target, index), operator.getitem, (target, index), {})
    if isinstance(target, Matrix):
        return target[index]
    if type(target) in MAKERS:
        return MAKERS[type(target)](target, index)
    if isinstance(target, (list, tuple, str, range)) and isinstance(index, Number):
        return _sequence_item(target, index)
    if isinstance(index, Array) and index.size == 1 and isinstance(target, (list, tuple, str, range)):
        index = index.__index__()
    if isinstance(target, defaultdict) and index not in target:
        changing(target)
    method = own_method(target, "__getitem__")
    return target[index] if method is None else session().rules.call(method, target, index)


def _sequence_item(target: Any, index: Number) -> Any:
    """An element of a list whose number is not known: of stacked numbers."""
    if isinstance(target, range):
        _check_bounds(index, len(target))
        return target.start + index * target.step
    try:
        stacked = session().rules.function(np.array, (list(target),), {})
    except (TypeError, ValueError, LiftError):
        stacked = None
    if not isinstance(stacked, Array):
        raise unliftable(
            f"an element of a {type(target).__name__} is chosen by {index.described}, and they are not all numbers",
            "an array of numbers",
            "the index as a static argument",
        )
    if stacked.ndim == 1:
        return _array_item(stacked, index)
    (place,), _ = resolved(stacked, index)
    found = element(target, place)
    return _array_item(stacked, index) if found is None else found


def _parts(index: Any) -> tuple:
    return index if isinstance(index, tuple) else (index,)


def _has_unknown(index: Any) -> bool:
    if isinstance(index, slice):
        return any(map(is_unknown, (index.start, index.stop, index.step)))
    if isinstance(index, (tuple, list)):
        return any(map(_has_unknown, index))
    return is_unknown(index) or isinstance(index, Masked)


def _known_index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_known_index, index))
    if isinstance(index, list):
        return list(map(_known_index, index))
    if isinstance(index, slice):
        return slice(*map(raw, (index.start, index.stop, index.step)))
    return raw(index)


def _is_basic(part: Any) -> bool:
    if isinstance(part, (Array, np.ndarray, jax.Array)):
        return part.ndim == 0 and part.dtype.kind in "iu"
    if isinstance(part, Number):
        return part.dtype.kind in "iu"
    return (
        part is None or part is Ellipsis or (isinstance(part, (slice, int, np.integer)) and not isinstance(part, bool))
    )


def _array_item(target: Array, index: Any) -> Any:
    if is_mask(index, target):
        return Masked(target, index)
    if (beside := _beside_a_mask(target, index)) is not None:
        return Masked(beside, index[0])
    if in_index(index) is not None:
        return at_places(target, index)
    if (found := _row(target, index)) is not None:
        return found
    parts, _ = resolved(target, index)
    if all(map(_is_basic, _parts(index))):
        get, put = _reader(parts), _writer(parts)
        data = get(target.data)
        if data.ndim == 0 and Ellipsis not in [p for p in _parts(index) if p is Ellipsis]:
            return data[()] if isinstance(data, np.ndarray) else _scalar(data)
        return Array(base=target, get=get, put=put)
    data = _reader(parts)(target.data)
    return wrapped(data)


def _beside_a_mask(target: Array, index: Any) -> Array | None:
    """`x[mask, 1:]`: what `mask` chooses from, a view; None where there is no mask, or something else beside it."""
    if not isinstance(index, tuple) or len(index) < 2 or not is_mask(index[0], target):
        return None
    rest = index[1:]
    if not all(isinstance(p, (slice, int, np.integer, Number)) and not isinstance(p, bool) for p in rest):
        return None
    return item(target, (*[slice(None)] * index[0].ndim, *rest))


def _row(target: Array, index: Any) -> Any:
    """What a loop around has as its input already; None for anything else."""
    first, *rest = _parts(index) or (None,)
    if not session().columns or not isinstance(first, Number) or first.span is None:
        return None
    for columns in reversed(session().columns):
        if (row := columns.row(target, first)) is not None:
            return row if not rest else item(row, tuple(rest) if len(rest) > 1 else rest[0])
    return None


def _scalar(data: Any) -> Any:
    return Number(data) if isinstance(data, jax.Array) else data


def _reader(parts: tuple) -> Callable:
    def get(data: Any) -> Any:
        if isinstance(data, np.ndarray) and not any(isinstance(p, jax.Array) for p in parts):
            return np.asarray(data[parts])
        return jnp.asarray(data).at[parts].get(mode="promise_in_bounds", wrap_negative_indices=False)

    first = tuple(0 if isinstance(p, jax.Array) and not p.ndim else p for p in parts)
    get.form = lambda data: np.asarray(data[first])  # of the same strides, whichever the index
    return get


def _writer(parts: tuple) -> Callable:
    def put(data: Any, new: Any) -> Any:
        if (
            isinstance(data, np.ndarray)
            and isinstance(new, np.ndarray)
            and not any(isinstance(p, jax.Array) for p in parts)
        ):
            changed = data.copy()
            changed[parts] = new
            return changed
        data = jnp.asarray(data)
        return data.at[parts].set(jnp.asarray(new, data.dtype), mode="promise_in_bounds", wrap_negative_indices=False)

    return put


def resolved(target: Value, index: Any) -> tuple[tuple, int]:
    """The index with known numbers as they are, and unknown ones checked and counted from the start."""
    parts, axis = [], 0
    given = _parts(index)
    used = sum(_axes_of(p) for p in given)
    for part in given:
        if part is Ellipsis:
            parts.append(part)
            axis += target.ndim - used
        elif part is None:
            parts.append(None)
        else:
            if axis >= target.ndim:
                raise IndexError(f"too many indices: the array has {target.ndim} axes")
            parts.append(_resolved_part(part, target.shape[axis]))
            axis += _axes_of(part)
    return tuple(parts), axis


def _axes_of(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    dtype = getattr(part, "dtype", None)
    return part.ndim if dtype is not None and np.dtype(dtype).kind == "b" else 1


def _resolved_part(part: Any, size: int) -> Any:
    if isinstance(part, slice):
        return _resolved_slice(part, size)
    if isinstance(part, list):
        part = session().rules.function(np.array, (part,), {}) if _has_unknown(part) else np.asarray(_known_index(part))
        part = part.astype(int) if isinstance(part, np.ndarray) and not part.size else part
    if not is_unknown(part):
        known = raw(part)
        if isinstance(known, np.ndarray) and known.dtype.kind not in "biu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        if isinstance(known, (int, np.integer)) and not -size <= known < size:
            raise IndexError(f"index {known} is out of bounds for an axis of size {size}")
        if isinstance(known, np.ndarray) and known.dtype.kind in "iu":
            return np.where(known < 0, known + size, known)  # JAX counts from the end in this mode no more
        return (
            known + size
            if isinstance(known, (int, np.integer)) and not isinstance(known, bool) and known < 0
            else known
        )
    if part.dtype.kind == "b":
        raise unliftable(
            "a selection by a mask whose number of elements is not known while the program is traced",
            "np.where(mask, x, other)",
            "sums by weights: (mask * x).sum()",
        )
    if part.dtype.kind not in "iu":
        raise IndexError("only integers, slices, and integer or boolean arrays are valid indices")
    _check_bounds(part, size)
    data = as_jax(part)
    if isinstance(part, Number) and part.span and part.span[0] >= 0:
        return data
    return jnp.where(data < 0, data + size, data)


def _check_bounds(part: Value, size: int) -> None:
    if isinstance(part, Number) and part.span and -size <= part.span[0] and part.span[1] < size:
        return
    data = as_jax(part)
    outside = jnp.any((data < -size) | (data >= size))
    session().check(outside, f"an index is out of bounds for an axis of size {size}", line(), "a check before it")


def _resolved_slice(part: slice, size: int) -> Any:
    start, stop, step = part.start, part.stop, part.step
    if not any(map(is_unknown, (start, stop, step))):
        return slice(*map(raw, (start, stop, step)))
    if step is None and isinstance(start, Number) and (length := _distance(start, stop)) is not None:
        data = jnp.clip(as_jax(start, canonical(int)), 0, size)
        session().check(
            (data != as_jax(start)) | (data + length > size), f"a slice reaches beyond an axis of size {size}", line()
        )
        return data + np.arange(max(length, 0))
    raise unliftable(
        "a slice whose length is not known while the program is traced",
        "a mask: np.where(np.arange(n) < k, x, 0)",
        "the bound as a static argument",
    )


def _distance(start: Number, stop: Any) -> int | None:
    """How far apart two bounds are that are the same unknown number, shifted."""
    if (
        isinstance(stop, Number)
        and start.span
        and stop.span
        and start.span[1] - start.span[0] == stop.span[1] - stop.span[0]
    ):
        return stop.span[0] - start.span[0] if _same_origin(start, stop) else None
    return None


def _same_origin(x: Number, y: Number) -> bool:
    return x.source is y.source


# -- writing


def store(target: Any, index: Any, value: Any) -> None:
    """`target[index] = value`."""
    if isinstance(target, Masked):
        masked_store(target, index, value)
        return
    if isinstance(target, Array):
        translated(lambda: _array_store(target, index, value), operator.setitem, (target, index, value), {})
        return
    if isinstance(target, Matrix):
        target[index] = value
        return
    if (method := own_method(target, "__setitem__")) is not None:
        session().rules.call(method, target, index, value)
        return
    if isinstance(target, (list, dict, deque)):
        if isinstance(index, Number) and is_unknown(index) and not isinstance(target, dict):
            _sequence_store(target, index, value)
            return
        if isinstance(index, Value):
            index = hash(index) if isinstance(target, dict) else index.__index__()
        changing(target)
        target[index] = value
        return
    refuse_writing(target)
    if isinstance(target, np.ndarray) and (_has_unknown(index) or is_unknown(value) or isinstance(value, Value)):
        raise unliftable(
            "a NumPy array of the world outside is written with a value that depends on the arguments",
            "the array made inside the program, or given to it as an argument",
        )
    if isinstance(target, jax.Array):
        raise TypeError("JAX arrays cannot be written in place: x = x.at[i].set(v)")
    target[_known_index(index)] = raw(value)


def _sequence_store(target: Any, index: Number, value: Any) -> None:
    """An element of a list whose number is not known: each is the new one or the old one."""
    if index.dtype.kind not in "iub":
        raise TypeError("list indices must be integers or slices, not float")
    made = with_element(target, _resolved_part(index, len(target)), value)
    if made is None:
        raise unliftable(
            f"an element of a list is written at {index.described}, and its elements are not all of the kind of the new one",
            "an array of numbers",
            "the index as a static argument",
        )
    changing(target)
    for i, x in enumerate(made):
        target[i] = x


def _array_store(target: Array, index: Any, value: Any) -> None:
    if isinstance(value, (list, tuple)):
        value = session().rules.function(np.array, (value,), {})
    if index is Ellipsis or index == slice(None) if isinstance(index, slice) else index is Ellipsis:
        target.write(_filled(target, value))
        return
    if is_mask(index, target):
        target.write(_mask_filled(target, index, value))
        return
    if (beside := _beside_a_mask(target, index)) is not None:
        beside.write(_mask_filled(beside, index[0], value))  # type: ignore[index]
        return
    if in_index(index) is not None:
        store_places(target, index, value, resolved)
        return
    parts, _ = resolved(target, index)
    if is_unknown(target) or is_unknown(value) or any(isinstance(p, jax.Array) for p in parts):
        data = as_jax(target)
        new = _cast(value, data.dtype)
        if new.ndim > 1:
            new = _of_at_most(new, _places(parts, data.shape).ndim)
        target.write(data.at[parts].set(new, mode="promise_in_bounds", wrap_negative_indices=False))
        return
    changed = np.array(target.data)
    changed[parts] = raw(value)
    target.write(changed)


def _cast(value: Any, dtype: Any) -> jax.Array:
    if (
        np.dtype(raw(value).dtype if hasattr(raw(value), "dtype") else type(raw(value))).kind == "c"
        and dtype.kind != "c"
    ):
        raise TypeError("a complex number cannot be written into an array of real ones")
    return as_jax(value, dtype)


def _places(parts: tuple, shape: tuple) -> np.ndarray:
    """Of the shape of what is written."""
    known = tuple(np.zeros(p.shape, int) if isinstance(p, jax.Array) else p for p in parts)
    return np.asarray(np.broadcast_to(False, shape)[known])


def _of_at_most(new: jax.Array, ndim: int) -> jax.Array:
    """Without leading axes of one element that what is written has not: NumPy takes them off."""
    spare = max(new.ndim - ndim, 0)
    return new.reshape(new.shape[spare:]) if spare and set(new.shape[:spare]) == {1} else new


def _filled(target: Array, value: Any) -> Any:
    if is_unknown(value):
        return jnp.broadcast_to(_of_at_most(_cast(value, target.dtype), target.ndim), target.shape)
    filled = np.empty(target.shape, target.dtype)
    filled[...] = raw(value)
    return filled


def _mask_filled(target: Array, mask: Any, value: Any) -> Any:
    chosen = as_jax(mask)
    data = as_jax(target)
    chosen = chosen.reshape(*chosen.shape, *[1] * (data.ndim - chosen.ndim))
    value = _cast(per_element(value, Masked(data, mask), data.ndim - as_jax(mask).ndim), data.dtype)
    return jnp.where(chosen, value, data)
