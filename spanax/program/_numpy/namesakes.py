"""NumPy's functions by those of jax.numpy that bear their names."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import unliftable
from .._values.trees import has_unknown, unwrapped
from .._values.values import Array, as_jax, canonical, is_unknown, raw
from .creation import array


def called(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A function of jax.numpy; lists of known numbers are axes, shapes or, where it says so, arrays."""
    given = {
        name: _array_like(value)
        for name, value in kwargs.items()
        if name not in ("kind", "order", "subok", "like") and value is not np._NoValue
    }
    placed = tuple(map(_array_like, args))
    try:
        return function(*placed, **given)
    except TypeError as error:
        if not re.search("got <class '(list|tuple)'>", str(error)):
            raise
        named = {name: _listed(value) for name, value in given.items()}
        return function(*map(_listed, placed), **named)


def _listed(x: Any) -> Any:
    return as_jax(x) if isinstance(x, list) or (isinstance(x, tuple) and has_unknown(x)) else x


def _array_like(x: Any) -> Any:
    """An argument for jax.numpy."""
    if isinstance(x, list) and has_unknown(x):
        return [_array_like(part) for part in x] if any(map(_is_array, x)) else as_jax(array(x))
    if isinstance(x, tuple):
        return tuple(map(_array_like, x))
    if isinstance(x, Array) and is_unknown(x):
        return x.data
    if isinstance(x, (np.ndarray, Array)):
        return np.asarray(raw(x), canonical(raw(x).dtype)) if raw(x).dtype.kind in "biufc" else x
    return unwrapped(x)


def _is_array(x: Any) -> bool:
    return isinstance(x, (Array, np.ndarray, jax.Array, list))


_MODULES = {"numpy": jnp, "numpy.linalg": jnp.linalg, "numpy.fft": jnp.fft}


def namesake_of(function: Callable) -> Callable | None:
    if function in UNSIZED:
        raise no_counterpart(function)
    module = _MODULES.get(getattr(function, "__module__", "") or "")
    return getattr(module, function.__name__, None) if module else None


def no_counterpart(function: Callable) -> Exception:
    name = f"{getattr(function, '__module__', None) or 'numpy'}.{getattr(function, '__name__', function)}"
    if function in UNSIZED:
        return unliftable(
            f"{name}: the shape of its result depends on the arguments' values",
            "a mask and np.where, which keep the shape",
            "sx.blackbox around it, with a bridge",
        )
    return unliftable(f"{name} has no counterpart in JAX", "sx.blackbox around it, with a bridge", "other functions")


UNSIZED = {
    np.unique,
    np.setdiff1d,
    np.union1d,
    np.intersect1d,
    np.setxor1d,
    np.trim_zeros,
}
