"""Views of arrays: writing them writes the array."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ._making import asarray, known_shape
from ._values import Array


def view(x: Any, get: Callable, put: Callable) -> Array:
    return Array(base=asarray(x), get=get, put=put)


def reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Array:
    shape = known_shape(newshape if shape is None else shape)
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


def flip(m: Any, axis: Any = None) -> Array:
    def flipped(d: Any) -> Any:
        return np.flip(d, axis) if isinstance(d, np.ndarray) else jnp.flip(d, axis)

    return view(m, flipped, lambda d, new: flipped(new))
