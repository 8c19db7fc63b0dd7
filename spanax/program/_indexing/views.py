"""Functions of NumPy whose result is a view: `reshape`, `transpose`, `real` and the like. Writing the view writes the array.

Each view is a pair of functions, as in `_indexing.arrays`: one reads the view from the array's data, the other puts its new
contents back, by the inverse permutation or the old shape.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._numpy.creation import asarray, known_shape
from .._session import session, unliftable
from .._values.trees import unwrap
from .._values.values import LiftedArray, as_jax, is_unknown, wrap


def view(x: Any, get: Callable, put: Callable) -> LiftedArray:
    base = asarray(x)
    # NumPy's own error for a wrong axis or shape, at once, from an array of this shape that takes no memory.
    get(np.broadcast_to(False, base.shape))
    return LiftedArray(base=base, get=get, put=put)


def reshape(a: Any, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> LiftedArray:
    """A view where NumPy returns one, else a copy. Where that is not known, writing one makes reading the other an error."""
    # It depends on the strides alone, so an empty array with the same strides shows which it is.
    x, shape, order = asarray(a), known_shape(newshape if shape is None else shape), order or "C"
    form = _form(x)
    if form is not None and np.may_share_memory(form.reshape(shape, order=order), form):
        return flat(x, shape, order)
    copy_ = LiftedArray(x.data.reshape(shape, order=order))
    if form is None:
        copy_.stands_for = [x.root]
        x.root.stand_ins.append(copy_)
    return copy_


def _form(x: LiftedArray) -> np.ndarray | None:
    """An array with the strides that NumPy's would have; None where they are not known."""
    if x.base is None:
        return np.empty(x.shape, bool)
    base = _form(x.base)
    if base is None or x.get is None:
        return None
    form = getattr(x.get, "form", x.get)(base)
    # If `get` copies (an index by an array does), the copy's strides say nothing about the base.
    return form if isinstance(form, np.ndarray) and np.may_share_memory(form, base) else None


def flat(a: Any, shape: Any = -1, order: str = "C") -> LiftedArray:
    """`a.flat`, or the same in another shape: always a view."""
    return view(a, lambda d: d.reshape(shape, order=order), lambda d, new: new.reshape(d.shape, order=order))


def ravel(a: Any, order: str = "C") -> LiftedArray:
    return reshape(a, -1, order)


def transpose(a: Any, axes: Any = None) -> LiftedArray:
    axes = None if axes is None else known_shape(axes)
    # argsort inverts a permutation; without axes the order is reversed, which is its own inverse.
    back = None if axes is None else tuple(np.argsort(axes))
    return view(a, lambda d: d.transpose(axes), lambda d, new: new.transpose(back))


def swapaxes(a: Any, axis1: int, axis2: int) -> LiftedArray:
    return view(a, lambda d: d.swapaxes(axis1, axis2), lambda d, new: new.swapaxes(axis1, axis2))


def moveaxis(a: Any, source: Any, destination: Any) -> LiftedArray:
    def move_axes(d: Any, a: Any, b: Any) -> Any:
        return np.moveaxis(d, a, b) if isinstance(d, np.ndarray) else jnp.moveaxis(d, a, b)

    return view(a, lambda d: move_axes(d, source, destination), lambda d, new: move_axes(new, destination, source))


def squeeze(a: Any, axis: Any = None) -> LiftedArray:
    return view(a, lambda d: d.squeeze(axis), lambda d, new: new.reshape(d.shape))


def expand_dims(a: Any, axis: Any) -> LiftedArray:
    # Negative axes count from the end of the result's axes, not of a's: NumPy works out the shape.
    shape = np.expand_dims(np.empty(asarray(a).shape), axis).shape
    return reshape(a, shape)


def atleast(function: Callable) -> Callable:
    """`np.atleast_1d` and the like: views of the shape that NumPy makes."""

    def views(*arrays: Any) -> Any:
        results = [reshape(a, function(np.empty(asarray(a).shape)).shape) for a in arrays]
        return results[0] if len(results) == 1 else tuple(results)

    return views


def real(x: Any) -> Any:
    """`x.real`, a view."""
    if not isinstance(x, LiftedArray):
        return wrap(jnp.real(as_jax(x))) if is_unknown(x) else np.real(x)
    # Writing the real part of complex numbers keeps the imaginary part; of real numbers it is the array itself.
    return view(x, lambda d: d.real, lambda d, new: new + 1j * d.imag if d.dtype.kind == "c" else new)


def imag(x: Any) -> Any:
    """`x.imag`, a view for complex numbers."""
    if not isinstance(x, LiftedArray):
        return wrap(jnp.imag(as_jax(x))) if is_unknown(x) else np.imag(x)
    if x.dtype.kind != "c":
        # In NumPy a read-only array of zeros, which shares nothing with x.
        return LiftedArray(np.zeros(x.shape, x.dtype))
    return view(x, lambda d: d.imag, lambda d, new: d.real + 1j * new)


def split(function: Callable, axis: int | None = None) -> Callable:
    """`np.split` and the like: a list of views. `axis`: the fixed axis of `np.vsplit`, `np.hsplit` and `np.dsplit`."""

    def views(ary: Any, sections: Any, *along: int, **kwargs: Any) -> list:
        x = asarray(ary)
        place = kwargs.get("axis", along[0] if along else 0) if axis is None else axis if x.ndim > 1 else 0
        # NumPy splits the indices of the axis, with its own errors and its rules for sections of unequal length.
        parts = function(np.arange(x.shape[place]), unwrap(sections))
        slices = [slice(int(p[0]), int(p[-1]) + 1) if len(p) else slice(0, 0) for p in parts]
        return session().note_new([session().rules.item(x, (*[slice(None)] * (place % x.ndim), s)) for s in slices])

    return views


def rot90(m: Any, k: int = 1, axes: tuple = (0, 1)) -> LiftedArray:
    """`np.rot90`."""
    turns = k % 4
    if turns == 2:
        return flip(flip(m, axes[0]), axes[1])
    if turns == 0:
        return asarray(m)[:]
    return swapaxes(flip(m, axes[1]), *axes) if turns == 1 else flip(swapaxes(m, *axes), axes[1])


def flip(m: Any, axis: Any = None) -> LiftedArray:
    def flip_data(d: Any) -> Any:
        return np.flip(d, axis) if isinstance(d, np.ndarray) else jnp.flip(d, axis)

    return view(m, flip_data, lambda d, new: flip_data(new))  # its own inverse


def sliding_windows(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> LiftedArray:
    """`np.lib.stride_tricks.sliding_window_view`, as a copy."""
    if writeable:
        raise unliftable("sliding windows that can be written", "a loop")
    windows = known_shape(window_shape)
    windows = windows if isinstance(windows, tuple) else (windows,)
    axes = range(len(windows)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    data = as_jax(asarray(x))
    # For NumPy's errors, on an array that takes no memory.
    np.lib.stride_tricks.sliding_window_view(np.broadcast_to(False, data.shape), windows, axis)
    # An axis may have several windows, one inside the other, so each starts from the result of the one before. The axis of
    # window positions stays in place; that of offsets inside a window goes to the end.
    for place, length in zip(axes, windows, strict=True):
        count = data.shape[place] - length + 1
        data = jnp.take(data, np.arange(count)[:, None] + np.arange(length), axis=place)
        data = jnp.moveaxis(data, place % (data.ndim - 1) + 1, -1)
    return LiftedArray(data)
