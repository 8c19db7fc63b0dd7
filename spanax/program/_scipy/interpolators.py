"""SciPy's interpolators as piecewise polynomials: at points, or through values, that are not known."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.scipy.interpolate as jsi
import numpy as np

from .._session import line, session, unliftable
from .._values.trees import has_unknown
from .._values.values import as_jax, is_unknown, raw, wrap
from .given import real
from .pieces import Grid, Piecewise, of_spline


def interpolator(function: Any) -> Callable | None:
    """What stands for an interpolator, for the class of one or for its method; None for anything else."""
    owner = getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, type) and type(owner).__module__.startswith("scipy.interpolate"):
        return _method(_made(owner), function.__name__, type(owner).__name__)
    kind = function if isinstance(function, type) else type(function)
    if getattr(function, "__module__", "").startswith("scipy.interpolate") or kind.__module__.startswith(
        "scipy.interpolate"
    ):
        if (rule := _THROUGH.get(getattr(function, "__name__", ""))) is not None:
            return rule
        made = None if isinstance(function, type) else _made(function)
        return made and made.__call__
    return None


def _method(made: Any, name: str, kind: str) -> Callable | None:
    found = getattr(made, {"integral": "integrate"}.get(name, name), None) if made is not None else None
    if found is None:
        raise unliftable(f"scipy.interpolate.{kind}.{name} at what is not known is not lifted", "its call")
    return found


def _scipy() -> Any:
    return importlib.import_module("scipy.interpolate")


def _made(known: Any) -> Any:
    """The same with arrays of JAX; None where there is nothing."""
    module = _scipy()
    if isinstance(known, module.PPoly):
        return _polynomial(known, known.extrapolate, getattr(known, "axis", 0))
    if isinstance(known, module.BSpline):
        _first_axis(known.axis)
        return of_spline(known, _outside(known.extrapolate))
    if isinstance(known, module.interp1d):
        return _known_interp1d(known)
    if isinstance(known, module.UnivariateSpline):
        return _univariate(known)
    if isinstance(known, module.RectBivariateSpline):
        (tx, ty, c), (kx, ky) = known.tck, known.degrees
        return Grid(tx, ty, np.reshape(c, (len(tx) - kx - 1, len(ty) - ky - 1)), kx, ky)
    if isinstance(known, module.RegularGridInterpolator) and known.method == "linear":
        return _Regular(known.grid, known.values, known.bounds_error, known.fill_value)
    return None


def _first_axis(axis: int) -> None:
    if axis != 0:
        raise unliftable("an interpolator along another axis than the first is not lifted", "axis=0")


def _polynomial(known: Any, extrapolate: Any, axis: int) -> Piecewise:
    _first_axis(axis)
    return Piecewise(known.x, known.c, outside=_outside(extrapolate))


def _outside(extrapolate: Any) -> str:
    return "periodic" if extrapolate == "periodic" else "go on" if extrapolate in (None, True) else "nan"


def _known_interp1d(known: Any) -> Piecewise | None:
    kind = known._kind
    if known.axis % known.y.ndim:
        return None
    if kind == "linear":
        return _linear(known.x, known.y, known.bounds_error, known.fill_value)
    if kind != "spline" or (known.fill_value != "extrapolate" and not known.bounds_error):
        return None
    made = of_spline(known._spline)
    c = made.coefficients.reshape(*made.coefficients.shape[:2], *known.y.shape[1:])
    return Piecewise(made.breaks, c, outside="raise" if known.bounds_error else "go on")


def _univariate(known: Any) -> Piecewise:
    t, c, k = known._eval_args
    ways = {0: "go on", "extrapolate": "go on", 1: "zero", "zeros": "zero", 2: "raise", "raise": "raise"}
    return of_spline(_scipy().BSpline(t, c[: len(t) - k - 1], k), ways.get(known.ext, "hold"))


# -- through values that are not known


def _places(x: Any, name: str) -> np.ndarray:
    if has_unknown(x):
        raise unliftable(f"scipy.interpolate.{name} at places that depend on the arguments", "np.interp")
    return np.asarray(raw(x) if not isinstance(x, (list, tuple)) else x, float)


def _spline(name: str) -> Callable:
    """A spline is linear in the values that it goes through."""

    def through(x: Any, y: Any, *args: Any, **kwargs: Any) -> Piecewise:
        places, values = _places(x, name), real(y, name)
        if has_unknown((args, kwargs)) or any(
            not isinstance(v, (str, int, bool, type(None))) for v in (*args, *kwargs.values())
        ):
            raise unliftable(
                f"scipy.interpolate.{name} with conditions that are not names, or not known", "its defaults"
            )
        # SciPy fits each unit vector once. The spline of any values is their combination, so its derivative by the
        # values is exact.
        unit = getattr(_scipy(), name)(places, np.eye(len(places)), *args, **kwargs)
        known = _made(unit)
        c = jnp.tensordot(jnp.asarray(known.coefficients, values.dtype), values, 1)
        return Piecewise(known.breaks, c, outside=known.outside)

    return through


def _interp1d(
    x: Any,
    y: Any,
    kind: Any = "linear",
    axis: int = -1,
    copy: Any = True,
    bounds_error: Any = None,
    fill_value: Any = np.nan,
    assume_sorted: Any = False,
) -> Piecewise:
    places, values = _places(x, "interp1d"), real(y, "interp1d")
    if values.ndim != 1 and axis % values.ndim:
        raise unliftable("scipy.interpolate.interp1d along another axis than the first is not lifted", "axis=0")
    # SciPy sorts too, unless told not to; the places are known, so sorting costs nothing when it runs.
    order = np.argsort(places, kind="stable")
    # SciPy's defaults: an error outside of the range, unless a fill value or extrapolation was asked for.
    extends = isinstance(fill_value, str) and fill_value == "extrapolate"
    raises = bounds_error if bounds_error is not None else not extends and not _is_given(fill_value)
    if kind in ("linear", 1):
        return _linear(places[order], values[order], raises, fill_value)
    degree = {"quadratic": 2, "cubic": 3, 2: 2, 3: 3}.get(kind)
    if degree is None or not (extends or raises):
        raise unliftable(f"scipy.interpolate.interp1d(kind={kind!r}) in this form is not lifted", "kind='linear'")
    made = _spline("make_interp_spline")(places[order], values[order], k=degree)
    return Piecewise(made.breaks, made.coefficients, outside="raise" if raises else "go on")


def _is_given(fill: Any) -> bool:
    return isinstance(fill, tuple) or is_unknown(fill) or not np.all(np.isnan(raw(fill)))


def _linear(x: Any, y: Any, raises: Any, fill: Any) -> Piecewise:
    widths = np.diff(x).reshape(-1, *[1] * (np.ndim(y) - 1))
    module = np if isinstance(y, np.ndarray) else jnp
    coefficients = module.stack([(y[1:] - y[:-1]) / widths, y[:-1]])
    if isinstance(fill, str):
        return Piecewise(x, coefficients, outside="go on")
    ends = tuple(fill) if isinstance(fill, tuple) else (fill, fill)
    return Piecewise(x, coefficients, outside="raise") if raises else Piecewise(x, coefficients, fill=ends)


def _rect(x: Any, y: Any, z: Any, bbox: Any = None, kx: int = 3, ky: int = 3, s: Any = 0, maxit: int = 20) -> Grid:
    """The coefficients are linear in the values, where nothing is smoothed."""
    if bbox is not None or raw(s) != 0:
        raise unliftable("scipy.interpolate.RectBivariateSpline(bbox=, s=) of unknown values is not lifted", "s=0")
    first, second = _places(x, "RectBivariateSpline"), _places(y, "RectBivariateSpline")
    known = _scipy().RectBivariateSpline(first, second, np.zeros((len(first), len(second))), kx=kx, ky=ky)
    tx, ty, _ = known.tck
    values = real(z, "RectBivariateSpline")
    left, right = (
        jnp.asarray(np.linalg.inv(_at(t, k, p)), values.dtype) for t, k, p in ((tx, kx, first), (ty, ky, second))
    )
    return Grid(tx, ty, left @ values @ right.T, kx, ky)


def _at(knots: np.ndarray, degree: int, places: np.ndarray) -> np.ndarray:
    return _scipy().BSpline.design_matrix(places, knots, degree).toarray()


class _Regular:
    """`RegularGridInterpolator`, linear."""

    def __init__(self, points: Any, values: Any, bounds_error: Any = True, fill_value: Any = np.nan):
        self.points = [np.asarray(raw(p), float) for p in points]
        self.raises = bounds_error
        self.rule = jsi.RegularGridInterpolator(
            tuple(map(jnp.asarray, self.points)), values, bounds_error=False, fill_value=fill_value
        )

    def __call__(self, xi: Any, method: Any = None) -> Any:
        if method not in (None, "linear"):
            raise unliftable(f"RegularGridInterpolator(method={method!r}) is not lifted", "method='linear'")
        given = tuple(as_jax(x) for x in xi) if isinstance(xi, tuple) else as_jax(xi)
        columns = given if isinstance(given, tuple) else [given[..., i] for i in range(len(self.points))]
        if self.raises:
            outside = [jnp.any((x < p[0]) | (x > p[-1])) for x, p in zip(columns, self.points, strict=True)]
            session().check(
                jnp.any(jnp.stack(outside)),
                "scipy.interpolate.RegularGridInterpolator: a point is out of bounds",
                line(),
                "bounds_error=False",
            )
        return wrap(self.rule(given))


def _regular(
    points: Any, values: Any, method: str = "linear", bounds_error: Any = True, fill_value: Any = np.nan
) -> Any:
    if method != "linear" or has_unknown(points):
        raise unliftable("scipy.interpolate.RegularGridInterpolator in this form is not lifted", "method='linear'")
    return _Regular(points, real(values, "RegularGridInterpolator"), bounds_error, fill_value)


_THROUGH: dict[str, Callable] = {
    "CubicSpline": _spline("CubicSpline"),
    "make_interp_spline": _spline("make_interp_spline"),
    "interp1d": _interp1d,
    "RectBivariateSpline": _rect,
    "RegularGridInterpolator": _regular,
}
