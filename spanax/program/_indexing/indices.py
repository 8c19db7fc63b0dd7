"""Indices as JAX takes them: checked against their axis, and counted from its start.

NumPy raises an `IndexError` for an index out of bounds. A JAX program cannot raise: it clamps such an index when it reads and
ignores it when it writes, which gives a silent wrong value. So a known index is checked here, with NumPy's error, and one that
depends on the arguments is checked when the program runs (`Session.check`). The results are within bounds and not negative, as
the modes `promise_in_bounds` and `wrap_negative_indices=False` of `jax.numpy.ndarray.at` require.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import line, session, unliftable
from .._values.values import LiftedArray, Number, Value, as_jax, canonical, is_unknown, raw
from .masked import Masked


def index_parts(index: Any) -> tuple:
    """The parts of an index, between its commas."""
    return index if isinstance(index, tuple) else (index,)


def has_unknown_part(index: Any) -> bool:
    """Does an index hold a value that is not known while the program is traced?"""
    if isinstance(index, slice):
        return any(map(is_unknown, (index.start, index.stop, index.step)))
    if isinstance(index, (tuple, list)):
        return any(map(has_unknown_part, index))
    return is_unknown(index) or isinstance(index, Masked)


def known_index(index: Any) -> Any:
    """A known index as NumPy takes it."""
    if isinstance(index, tuple):
        return tuple(map(known_index, index))
    if isinstance(index, list):
        return list(map(known_index, index))
    if isinstance(index, slice):
        return slice(*map(raw, (index.start, index.stop, index.step)))
    return raw(index)


def is_basic(part: Any) -> bool:
    """Is it a part of NumPy's basic indexing, which gives a view? An array with axes gives a copy."""
    if isinstance(part, (LiftedArray, np.ndarray, jax.Array)):
        return part.ndim == 0 and part.dtype.kind in "iu"
    if isinstance(part, Number):
        return part.dtype.kind in "iu"
    # A bool is an int in Python, but as an index it is a mask without axes.
    return (
        part is None or part is Ellipsis or (isinstance(part, (slice, int, np.integer)) and not isinstance(part, bool))
    )


def resolve_index(target: Value, index: Any) -> tuple[tuple, int]:
    """The index, checked and counted from the start of each axis, and how many axes it uses."""
    resolved, axis = [], 0
    parts = index_parts(index)
    used = sum(map(_axes_of, parts))
    for part in parts:
        if part is Ellipsis:
            resolved.append(part)
            axis += target.ndim - used
        elif part is None:
            resolved.append(None)
        else:
            if axis >= target.ndim:
                raise IndexError(f"too many indices: the array has {target.ndim} axes")
            resolved.append(resolve_part(part, target.shape[axis]))
            axis += _axes_of(part)
    return tuple(resolved), axis


def _axes_of(part: Any) -> int:
    """How many axes of the array a part of the index consumes: a mask as many as it has, anything else one."""
    if part is None or part is Ellipsis:
        return 0
    dtype = getattr(part, "dtype", None)
    return part.ndim if dtype is not None and np.dtype(dtype).kind == "b" else 1


def resolve_part(part: Any, size: int) -> Any:
    """One part of an index, for an axis of this size."""
    if isinstance(part, slice):
        return _resolve_slice(part, size)
    if isinstance(part, list):
        part = _array_of_list(part)
    return _resolve_unknown(part, size) if is_unknown(part) else _resolve_known(raw(part), size)


def _array_of_list(part: list) -> Any:
    array = session().rules.function(np.array, (part,), {}) if has_unknown_part(part) else np.asarray(known_index(part))
    # An empty list is a valid index, but makes an array of floats, which is not.
    return array.astype(int) if isinstance(array, np.ndarray) and not array.size else array


def _resolve_known(part: Any, size: int) -> Any:
    if isinstance(part, np.ndarray):
        if part.dtype.kind not in "biu":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
        return np.where(part < 0, part + size, part) if part.dtype.kind in "iu" else part
    if not isinstance(part, (int, np.integer)):
        return part
    if not -size <= part < size:
        raise IndexError(f"index {part} is out of bounds for an axis of size {size}")
    return part + size if part < 0 else part


def _resolve_unknown(part: Value, size: int) -> jax.Array:
    if part.dtype.kind == "b":
        raise unliftable(
            "a selection by a mask whose number of elements is not known while the program is traced",
            "np.where(mask, x, other)",
            "sums by weights: (mask * x).sum()",
        )
    if part.dtype.kind not in "iu":
        raise IndexError("only integers, slices, and integer or boolean arrays are valid indices")
    check_bounds(part, size)
    data = as_jax(part)
    # A loop's index is often known not to be negative: this saves an operation for each element that the loop reads.
    if isinstance(part, Number) and part.span and part.span[0] >= 0:
        return data
    return jnp.where(data < 0, data + size, data)


def check_bounds(part: Value, size: int) -> None:
    """Checks an index when the program runs, unless its range is known to fit the axis."""
    if isinstance(part, Number) and part.span and -size <= part.span[0] and part.span[1] < size:
        return
    data = as_jax(part)
    outside = jnp.any((data < -size) | (data >= size))
    session().check(outside, f"an index is out of bounds for an axis of size {size}", line(), "a check before it")


def _resolve_slice(part: slice, size: int) -> Any:
    start, stop, step = part.start, part.stop, part.step
    if not any(map(is_unknown, (start, stop, step))):
        return slice(*map(raw, (start, stop, step)))
    # x[i : i + 3]: its start is not known, but its length is, and tracing needs only the shape.
    if step is None and isinstance(start, Number) and (length := _distance(start, stop)) is not None:
        data = jnp.clip(as_jax(start, canonical(int)), 0, size)
        # NumPy shortens a slice that goes past the end. Here that would change a shape, so it is an error.
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
    """`stop - start`, where both are the same unknown number plus known ones; else None."""
    if not isinstance(stop, Number) or not start.span or not stop.span or start.source is not stop.source:
        return None
    # Adding a known int shifts both ends of the range, so the two ranges have the same width.
    if start.span[1] - start.span[0] != stop.span[1] - stop.span[0]:
        return None
    return stop.span[0] - start.span[0]
