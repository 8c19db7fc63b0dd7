"""SciPy's interpolators as piecewise polynomials: at points, or through values, that are not known."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._session import unliftable
from ._values import as_jax, is_unknown, raw, wrapped


def interpolator(function: Any) -> Callable | None:
    """What stands for an interpolator, or for the class of one; None for anything else."""
    owner = function if isinstance(function, type) else type(function)
    if not owner.__module__.startswith("scipy.interpolate"):
        return None
    module = importlib.import_module("scipy.interpolate")
    if function in (module.CubicSpline, module.interp1d):
        return lambda x, y, *args, **kwargs: _through(function, x, y, args, kwargs)
    if isinstance(function, module.PPoly):
        return Piecewise(function.x, function.c)
    if isinstance(function, module.BSpline):
        polynomial = module.PPoly.from_spline(function)
        return Piecewise(polynomial.x, polynomial.c)
    if isinstance(function, module.interp1d) and function._kind == "linear" and function.y.ndim == 1:
        return _linear(function.x, function.y, function.fill_value)
    if isinstance(function, module.RegularGridInterpolator) and function.method == "linear":
        ours = jax.scipy.interpolate.RegularGridInterpolator(
            function.grid, function.values, bounds_error=False, fill_value=function.fill_value
        )
        return lambda points: wrapped(ours(as_jax(points)))
    return None


class Piecewise:
    """A polynomial on each piece; the outer pieces go on outside, or `fill` gives the values there, (left, right)."""

    def __init__(self, breaks: Any, coefficients: Any, fill: tuple | None = None):
        self.breaks, self.coefficients, self.fill = breaks, coefficients, fill

    def derivative(self, nu: int = 1) -> Piecewise:
        c = self.coefficients
        for _ in range(nu):
            degree = len(c) - 1
            c = c[:-1] * np.arange(degree, 0, -1).reshape(-1, *[1] * (c.ndim - 1)) if degree else 0 * c
        return Piecewise(self.breaks, c)

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None) -> Any:
        """Of the piece that x lies in, by Horner's rule."""
        if nu:
            return self.derivative(nu)(x)
        data = as_jax(x)
        data = data if jnp.issubdtype(data.dtype, jnp.floating) else data.astype(float)
        breaks, coefficients = (jnp.asarray(v, data.dtype) for v in (self.breaks, self.coefficients))
        piece = jnp.clip(jnp.searchsorted(breaks, jax.lax.stop_gradient(data), side="right") - 1, 0, len(breaks) - 2)
        offset = data - breaks[piece]
        value = jnp.zeros_like(data)
        for row in coefficients:
            value = value * offset + row[piece]
        if self.fill is not None:
            low, high = (jnp.asarray(f, data.dtype) for f in self.fill)
            value = jnp.where(data < breaks[0], low, jnp.where(data > breaks[-1], high, value))
        return wrapped(value)


def _linear(x: Any, y: Any, fill: Any) -> Piecewise:
    order = np.argsort(x)
    x, y = np.asarray(x)[order], y[order]
    coefficients = (np if isinstance(y, np.ndarray) else jnp).stack([(y[1:] - y[:-1]) / (x[1:] - x[:-1]), y[:-1]])
    ends = None if isinstance(fill, str) else fill if isinstance(fill, tuple) else (fill, fill)
    return Piecewise(x, coefficients, ends)


def _through(kind: Any, x: Any, y: Any, args: tuple, kwargs: dict) -> Piecewise:
    """An interpolator through values that are not known: its coefficients are linear in them."""
    if is_unknown(x):
        raise unliftable(f"scipy.interpolate.{kind.__name__} at places that depend on the arguments", "np.interp")
    places, values = np.asarray(raw(x), float), as_jax(y)
    if values.ndim != 1:
        raise unliftable(
            f"scipy.interpolate.{kind.__name__} through values of several axes", "one interpolator for each row"
        )
    if kind.__name__ == "interp1d":
        if (args and args[0] != "linear") or kwargs.get("kind", "linear") != "linear":
            raise unliftable(
                "scipy.interpolate.interp1d of another kind than 'linear'", "scipy.interpolate.CubicSpline"
            )
        fill = kwargs.get("fill_value", np.nan)
        return _linear(places, values, fill)
    unit = kind(places, np.eye(len(places)), *args, **kwargs)
    return Piecewise(unit.x, jnp.tensordot(jnp.asarray(unit.c, values.dtype), values, 1))
