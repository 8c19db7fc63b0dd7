"""Polynomials on pieces, of one variable and, as products, of two."""

from __future__ import annotations

import importlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import line, session, unliftable
from .._values.values import as_jax, raw, wrap


class Piecewise:
    """`outside` of the pieces: "go on", "nan", "zero", "hold" the ends, "periodic" or "raise"; or `fill` gives the values there,
    (left, right)."""

    def __init__(self, breaks: Any, coefficients: Any, fill: tuple | None = None, outside: str = "go on"):
        self.breaks, self.coefficients, self.fill, self.outside = breaks, coefficients, fill, outside

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unliftable(
            f".{name} of an interpolator through what is not known is not lifted", "its call, or derivative"
        )

    def derivative(self, nu: int = 1) -> Piecewise:
        c = self.coefficients
        for _ in range(nu):
            degree = len(c) - 1
            c = c[:-1] * np.arange(degree, 0, -1).reshape(-1, *[1] * (c.ndim - 1)) if degree else 0 * c
        return Piecewise(self.breaks, c, outside=self.outside)

    def antiderivative(self, nu: int = 1) -> Piecewise:
        c = self.coefficients
        for _ in range(nu):
            degree = len(c)
            module = np if isinstance(c, np.ndarray) else jnp
            raised = c / np.arange(degree, 0, -1).reshape(-1, *[1] * (c.ndim - 1))
            widths = np.diff(self.breaks).reshape(-1, *[1] * (c.ndim - 2))
            pieces: Any = sum(row * widths ** (degree - i) for i, row in enumerate(raised))
            start = module.concatenate([0 * pieces[:1], module.cumsum(pieces, axis=0)[:-1]])
            c = module.concatenate([raised, start[None]])
        return Piecewise(self.breaks, c, outside="go on")

    def integrate(self, a: Any, b: Any, extrapolate: Any = None) -> Any:
        if self.outside not in ("go on", "raise") or extrapolate not in (None, True):
            raise unliftable(
                "the integral of an interpolator that does not go on outside is not lifted", "extrapolate=True"
            )
        whole = self.antiderivative()
        return whole(b) - whole(a)

    def __call__(self, x: Any, nu: int = 0, extrapolate: Any = None, ext: Any = None) -> Any:
        """Of the piece that x lies in, by Horner's rule."""
        if extrapolate is not None or ext is not None:
            raise unliftable("an interpolator's extrapolate= and ext= in its call are not lifted", "in its constructor")
        if nu:
            return self.derivative(nu)(x)
        data = as_jax(x)
        return wrap(self.at(data if jnp.issubdtype(data.dtype, jnp.floating) else data.astype(float)))

    def at(self, data: jax.Array) -> jax.Array:
        breaks, coefficients = (jnp.asarray(v, data.dtype) for v in (self.breaks, self.coefficients))
        low, high = breaks[0], breaks[-1]
        beyond = (data < low) | (data > high)
        if self.outside == "periodic":
            data = low + jnp.mod(data - low, high - low)
        elif self.outside == "hold":
            data = jnp.clip(data, low, high)
        elif self.outside == "raise":
            session().check(
                jnp.any(beyond), "an interpolator is asked outside of its range", line(), "fill_value='extrapolate'"
            )
        # Which piece a point lies in is a step of it; the derivative is that of the polynomial there.
        piece = jnp.clip(jnp.searchsorted(breaks, jax.lax.stop_gradient(data), side="right") - 1, 0, len(breaks) - 2)
        trailing = (1,) * (coefficients.ndim - 2)
        offset = (data - breaks[piece]).reshape(*data.shape, *trailing)
        value = jnp.zeros((*data.shape, *coefficients.shape[2:]), data.dtype)
        # Horner's rule, highest power first, in the distance from the piece's left end.
        for row in coefficients:
            value = value * offset + row[piece]
        # Not `beyond`: which side it is decides the fill value.
        left, right = ((x < e).reshape(*data.shape, *trailing) for x, e in ((data, low), (-data, -high)))
        return self._beyond(value, left, right)

    def _beyond(self, value: jax.Array, left: jax.Array, right: jax.Array) -> jax.Array:
        """The value where the range ends: as the polynomials go on, a given number, NaN or 0."""
        if self.fill is not None:
            below, above = (jnp.asarray(raw(f), value.dtype) for f in self.fill)
            value = jnp.where(left, below, jnp.where(right, above, value))
        if self.outside in ("nan", "zero"):
            value = jnp.where(left | right, jnp.nan if self.outside == "nan" else 0, value)
        return value


def of_spline(spline: Any, outside: str = "go on") -> Piecewise:
    """A known `BSpline` on its pieces."""
    knots, degree = spline.t, spline.k
    breaks = np.unique(knots[degree : len(knots) - degree])
    # Taylor coefficients at the left ends: a B-spline is a polynomial of its degree on each piece.
    rows = [spline(breaks[:-1], nu=m) / math.factorial(m) for m in range(degree, -1, -1)]
    return Piecewise(breaks, np.stack(rows), outside=outside)


def bases(knots: np.ndarray, degree: int, outside: str = "go on") -> Piecewise:
    """All B-splines of these knots, along a last axis."""
    count = len(knots) - degree - 1
    return of_spline(importlib.import_module("scipy.interpolate").BSpline(knots, np.eye(count), degree), outside)


class Grid:
    """`RectBivariateSpline`: outside of its rectangle it is what it is at the edge."""

    def __init__(self, tx: Any, ty: Any, c: Any, kx: int, ky: int):
        self.c = c
        self.parts = [bases(knots, degree, "hold") for knots, degree in ((tx, kx), (ty, ky))]

    def __call__(self, x: Any, y: Any, dx: int = 0, dy: int = 0, grid: bool = True) -> Any:
        first, second = (
            (part.derivative(d) if d else part).at(jnp.asarray(as_jax(v), float))
            for part, v, d in zip(self.parts, (x, y), (dx, dy), strict=True)
        )
        c = jnp.asarray(self.c, first.dtype)
        if not grid:
            return wrap(jnp.einsum("...i,ij,...j->...", first, c, second))
        first, second = (jnp.atleast_2d(v) for v in (first, second))
        return wrap(first @ c @ second.T)

    def ev(self, xi: Any, yi: Any, dx: int = 0, dy: int = 0) -> Any:
        return self(xi, yi, dx, dy, grid=False)
