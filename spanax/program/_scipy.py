"""SciPy's functions by their namesakes in jax.scipy, and its interpolators by their own coefficients."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._session import unliftable
from ._values import Number, as_jax, raw, wrapped
from .numpy_calls import has_unknown, rewrapped, unwrapped

_MODULES = ("special", "linalg", "stats", "integrate", "signal", "fft", "interpolate", "cluster")


def apply(function: Any, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`."""
    if not has_unknown((args, kwargs)):
        return rewrapped(function(*unwrapped(args), **unwrapped(kwargs)))
    if (rule := _interpolator(function)) is not None:
        return rule(*args, **kwargs)
    namesake = _namesake(function)
    if namesake is None:
        name = getattr(function, "__qualname__", type(function).__name__)
        raise unliftable(
            f"{getattr(function, '__module__', 'scipy')}.{name} is compiled code, or has no counterpart in JAX",
            "sx.blackbox around it, with a bridge",
            "the same by a loop, which is lifted",
        )
    result = namesake(*_arrays(args), **{k: _array(v) for k, v in kwargs.items()})
    return rewrapped(result)


def _arrays(args: tuple) -> list:
    return [_array(a) for a in args]


def _array(x: Any) -> Any:
    if isinstance(x, (bool, int, str, type(None), tuple)):
        return unwrapped(x)
    return as_jax(x) if not isinstance(raw(x), np.ndarray) or raw(x).dtype.kind in "biufc" else raw(x)


def _namesake(function: Any) -> Callable | None:
    owner = getattr(function, "__self__", None)
    if owner is not None and type(owner).__module__.startswith("scipy.stats") and hasattr(owner, "name"):
        return getattr(getattr(jax.scipy.stats, owner.name, None), function.__name__, None)
    parts = (getattr(function, "__module__", None) or "").split(".")
    name = getattr(function, "__name__", "")
    if len(parts) < 2 or parts[0] != "scipy" or parts[1] not in _MODULES:
        return None
    module = getattr(jax.scipy, parts[1], None)
    found = getattr(module, name, None) if module is not None else None
    if found is None and parts[1] == "fft":
        found = getattr(jnp.fft, name, None)
    if found is None and parts[1] == "linalg":
        found = getattr(jnp.linalg, name, None)
    return found


def _interpolator(function: Any) -> Callable | None:
    kind = type(function)
    if not kind.__module__.startswith("scipy.interpolate"):
        return None
    module = importlib.import_module("scipy.interpolate")
    if isinstance(function, module.PPoly):
        return lambda x, nu=0, extrapolate=None: _piecewise(function.derivative(nu) if nu else function, x)
    if isinstance(function, module.BSpline):
        return lambda x, nu=0, extrapolate=None: _piecewise(module.PPoly.from_spline(function.derivative(nu) if nu else function), x)
    if isinstance(function, module.interp1d) and function._kind == "linear" and function.y.ndim == 1:
        return lambda x: _linear(function, x)
    return None


def _piecewise(polynomial: Any, x: Any) -> Any:
    """Of the piece that x lies in, by Horner's rule; the outer pieces go on outside."""
    data = as_jax(x, np.result_type(as_jax(x).dtype, float))
    breaks, coefficients = (jnp.asarray(v, data.dtype) for v in (polynomial.x, polynomial.c))
    piece = jnp.clip(jnp.searchsorted(breaks, jax.lax.stop_gradient(data), side="right") - 1, 0, len(breaks) - 2)
    offset = data - breaks[piece]
    value = jnp.zeros_like(data)
    for row in coefficients:
        value = value * offset + row[piece]
    return wrapped(value) if value.ndim else Number(value)


def _linear(function: Any, x: Any) -> Any:
    data = as_jax(x, np.result_type(as_jax(x).dtype, float))
    xs, ys = jnp.asarray(function.x, data.dtype), jnp.asarray(function.y, data.dtype)
    piece = jnp.clip(jnp.searchsorted(xs, jax.lax.stop_gradient(data), side="right") - 1, 0, len(xs) - 2)
    slope = (ys[piece + 1] - ys[piece]) / (xs[piece + 1] - xs[piece])
    value = ys[piece] + slope * (data - xs[piece])
    outside = (data < xs[0]) | (data > xs[-1])
    fill = function.fill_value
    if isinstance(fill, str) and fill == "extrapolate":
        return wrapped(value)
    low, high = fill if isinstance(fill, tuple) else (fill, fill)
    filled = jnp.where(data < xs[0], jnp.asarray(low, data.dtype), jnp.asarray(high, data.dtype))
    return wrapped(jnp.where(outside, filled, value))
