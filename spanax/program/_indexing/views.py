"""Views of arrays: writing them writes the array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._numpy.creation import asarray, known_shape
from .._session import session, unliftable
from .._values.trees import unwrapped
from .._values.values import Array, as_jax, is_unknown, wrapped


def view(x: Any, get: Callable, put: Callable) -> Array:
    base = asarray(x)
    get(np.broadcast_to(False, base.shape))  # NumPy's own error, now
    return Array(base=base, get=get, put=put)


def reshape(a: Any, shape: Any = None, order: Any = "C", *, newshape: Any = None, copy: Any = None) -> Array:
    """A view where NumPy has one; a copy elsewhere. Where that is not known, writing one makes reading the other an error."""
    x, shape, order = asarray(a), known_shape(newshape if shape is None else shape), order or "C"
    form = _form(x)
    if form is not None and np.may_share_memory(form.reshape(shape, order=order), form):
        return flat(x, shape, order)
    made = Array(x.data.reshape(shape, order=order))
    if form is None:
        made.stands_for = [x.root]
        x.root.stand_ins.append(made)
    return made


def _form(x: Array) -> np.ndarray | None:
    """Something with the strides of NumPy's array; None where they are not known."""
    if x.base is None:
        return np.empty(x.shape, bool)
    base = _form(x.base)
    if base is None or x.get is None:
        return None
    form = getattr(x.get, "form", x.get)(base)
    return form if isinstance(form, np.ndarray) and np.may_share_memory(form, base) else None


def flat(a: Any, shape: Any = -1, order: str = "C") -> Array:
    """`a.flat`, or in another shape: in any case a view."""
    return view(a, lambda d: d.reshape(shape, order=order), lambda d, new: new.reshape(d.shape, order=order))


def ravel(a: Any, order: str = "C") -> Array:
    return reshape(a, -1, order)


def transpose(a: Any, axes: Any = None) -> Array:
    axes = None if axes is None else known_shape(axes)
    back = None if axes is None else tuple(np.argsort(axes))
    return view(a, lambda d: d.transpose(axes), lambda d, new: new.transpose(back))


def swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    return view(a, lambda d: d.swapaxes(axis1, axis2), lambda d, new: new.swapaxes(axis1, axis2))


def moveaxis(a: Any, source: Any, destination: Any) -> Array:
    def moved(d: Any, a: Any, b: Any) -> Any:
        return np.moveaxis(d, a, b) if isinstance(d, np.ndarray) else jnp.moveaxis(d, a, b)

    return view(a, lambda d: moved(d, source, destination), lambda d, new: moved(new, destination, source))


def squeeze(a: Any, axis: Any = None) -> Array:
    return view(a, lambda d: d.squeeze(axis), lambda d, new: new.reshape(d.shape))


def expand_dims(a: Any, axis: Any) -> Array:
    shape = np.expand_dims(np.empty(asarray(a).shape), axis).shape
    return reshape(a, shape)


def atleast(function: Callable) -> Callable:
    def made(*arrays: Any) -> Any:
        done = [reshape(a, function(np.empty(asarray(a).shape)).shape) for a in arrays]
        return done[0] if len(done) == 1 else tuple(done)

    return made


def real(x: Any) -> Any:
    """`x.real`, a view."""
    if not isinstance(x, Array):
        return wrapped(jnp.real(as_jax(x))) if is_unknown(x) else np.real(x)
    return view(x, lambda d: d.real, lambda d, new: new + 1j * d.imag if d.dtype.kind == "c" else new)


def imag(x: Any) -> Any:
    """`x.imag`: of complex numbers a view."""
    if not isinstance(x, Array):
        return wrapped(jnp.imag(as_jax(x))) if is_unknown(x) else np.imag(x)
    return (
        view(x, lambda d: d.imag, lambda d, new: d.real + 1j * new)
        if x.dtype.kind == "c"
        else Array(np.zeros(x.shape, x.dtype))
    )


def split(function: Callable, axis: int | None = None) -> Callable:
    """`np.split` and the like: a list of views."""

    def made(ary: Any, sections: Any, *along: int, **kwargs: Any) -> list:
        x = asarray(ary)
        place = kwargs.get("axis", along[0] if along else 0) if axis is None else axis if x.ndim > 1 else 0
        parts = function(np.arange(x.shape[place]), unwrapped(sections))
        slices = [slice(int(p[0]), int(p[-1]) + 1) if len(p) else slice(0, 0) for p in parts]
        return session().born([session().rules.item(x, (*[slice(None)] * (place % x.ndim), s)) for s in slices])

    return made


def rotated(m: Any, k: int = 1, axes: tuple = (0, 1)) -> Array:
    """`np.rot90`."""
    turns = k % 4
    if turns == 2:
        return flip(flip(m, axes[0]), axes[1])
    if turns == 0:
        return asarray(m)[:]
    return swapaxes(flip(m, axes[1]), *axes) if turns == 1 else flip(swapaxes(m, *axes), axes[1])


def flip(m: Any, axis: Any = None) -> Array:
    def flipped(d: Any) -> Any:
        return np.flip(d, axis) if isinstance(d, np.ndarray) else jnp.flip(d, axis)

    return view(m, flipped, lambda d, new: flipped(new))


def sliding_windows(
    x: Any, window_shape: Any, axis: Any = None, *, subok: bool = False, writeable: bool = False
) -> Array:
    """`np.lib.stride_tricks.sliding_window_view`, as a copy."""
    if writeable:
        raise unliftable("sliding windows that can be written", "a loop")
    windows = known_shape(window_shape)
    windows = windows if isinstance(windows, tuple) else (windows,)
    axes = range(len(windows)) if axis is None else axis if isinstance(axis, tuple) else (axis,)
    data = as_jax(asarray(x))
    np.lib.stride_tricks.sliding_window_view(np.broadcast_to(False, data.shape), windows, axis)  # with NumPy's errors
    for place, length in zip(axes, windows, strict=True):
        count = data.shape[place] - length + 1
        data = jnp.take(data, np.arange(count)[:, None] + np.arange(length), axis=place)
        data = jnp.moveaxis(data, place % (data.ndim - 1) + 1, -1)
    return Array(data)
