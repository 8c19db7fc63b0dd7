"""NumPy's functions by the functions of jax.numpy with the same names, whose arguments differ; and functions without one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import unliftable
from .._values.trees import has_unknown, unwrap
from .._values.values import LiftedArray, as_jax, canonical, is_unknown, raw
from .creation import array


def call_namesake(function: Callable, args: tuple, kwargs: dict) -> Any:
    """Calls a function of jax.numpy. Lists of known numbers are axes or shapes, or arrays where it rejects lists."""
    # Options that affect neither values nor shapes, and that jax.numpy lacks.
    named = {
        name: _array_like(value)
        for name, value in kwargs.items()
        if name not in ("kind", "order", "subok", "like") and value is not np._NoValue
    }
    placed = tuple(map(_array_like, args))
    try:
        return function(*placed, **named)
    except TypeError as error:
        # jax.numpy rejects a list only where it expects an array, so its error shows that this is one.
        if not re.search("got <class '(list|tuple)'>", str(error)):
            raise
        named = {name: _list_to_array(value) for name, value in named.items()}
        return function(*map(_list_to_array, placed), **named)


def _list_to_array(x: Any) -> Any:
    return as_jax(x) if isinstance(x, list) or (isinstance(x, tuple) and has_unknown(x)) else x


def _array_like(x: Any) -> Any:
    """An argument as jax.numpy takes it."""
    if isinstance(x, list) and has_unknown(x):
        return [_array_like(part) for part in x] if any(map(_is_array, x)) else as_jax(array(x))
    if isinstance(x, tuple):
        return tuple(map(_array_like, x))
    if isinstance(x, LiftedArray) and is_unknown(x):
        return x.data
    # In JAX's own dtype: if x64 is off, JAX warns about float64 arrays.
    if isinstance(x, (np.ndarray, LiftedArray)):
        return np.asarray(raw(x), canonical(raw(x).dtype)) if raw(x).dtype.kind in "biufc" else x
    return unwrap(x)


def _is_array(x: Any) -> bool:
    return isinstance(x, (LiftedArray, np.ndarray, jax.Array, list))


_MODULES = {"numpy": jnp, "numpy.linalg": jnp.linalg, "numpy.fft": jnp.fft}


def namesake_of(function: Callable) -> Callable | None:
    """The function of jax.numpy with the same name; None if there is none."""
    # jax.numpy has most of these, but needs `size=`, which NumPy's do not have.
    if function in UNSIZED:
        raise no_counterpart(function)
    module = _MODULES.get(getattr(function, "__module__", "") or "")
    return getattr(module, function.__name__, None) if module else None


def no_counterpart(function: Callable) -> Exception:
    """The error of a function that cannot be lifted."""
    name = f"{getattr(function, '__module__', None) or 'numpy'}.{getattr(function, '__name__', function)}"
    if function in UNSIZED:
        return unliftable(
            f"{name}: the shape of its result depends on the arguments' values",
            "a mask and np.where, which keep the shape",
            "sx.blackbox around it, with a bridge",
        )
    return unliftable(f"{name} has no counterpart in JAX", "sx.blackbox around it, with a bridge", "other functions")


# Functions whose result has a shape that depends on values.
UNSIZED = {
    np.unique,
    np.setdiff1d,
    np.union1d,
    np.intersect1d,
    np.setxor1d,
    np.trim_zeros,
}
