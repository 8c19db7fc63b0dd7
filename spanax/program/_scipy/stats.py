"""`scipy.stats`: distributions by SciPy's own formulas, lifted from their source, inside their support."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._session import LiftError, in_library, session, unliftable
from .._values.values import as_jax, is_unknown, raw, wrap
from .distributions import ALLOWED
from .multivariate import density_of

_BOUNDED = {"pdf": 0.0, "logpdf": -np.inf, "pmf": 0.0, "logpmf": -np.inf}  # outside of the support
_CUMULATED = {"cdf": (0.0, 1.0), "logcdf": (-np.inf, 0.0), "sf": (1.0, 0.0), "logsf": (0.0, -np.inf)}  # below, above


def family(x: Any) -> str:
    """The name of a distribution, such as norm; "" for anything else."""
    if not type(x).__module__.startswith("scipy.stats") or isinstance(x, type) or not callable(x):
        return ""
    name = getattr(x, "name", None) or type(x).__name__.removesuffix("_gen")
    return name if isinstance(name, str) and hasattr(x, "rvs") else ""


class Frozen:
    """A distribution with given parameters, such as norm(loc, scale)."""

    def __init__(self, owner: Any, args: tuple, kwargs: dict):
        self.owner, self.args, self.kwargs = owner, args, kwargs

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: session().rules.call(
            getattr(self.owner, name), *given, *self.args, **{**self.kwargs, **named}
        )


def method_of(function: Any) -> Callable | None:
    """What stands for a distribution's method; None for anything else."""
    owner = getattr(function, "__self__", None)
    if owner is None or not type(owner).__module__.startswith("scipy.stats"):
        return None
    name = function.__name__
    if (density := density_of(owner)) is not None:
        return density.method(name)
    if hasattr(owner, "dist") and hasattr(owner, "kwds"):  # a frozen one
        return lambda *args, **kwargs: session().rules.call(
            getattr(owner.dist, name), *args, *owner.args, **{**owner.kwds, **kwargs}
        )
    if not family(owner):
        return None
    # SciPy's own code calls private methods of its distributions, which are then lifted as they stand.
    if name.startswith("_") and in_library():
        return lambda *args, **kwargs: session().rules.source(function.__func__)(owner, *args, **kwargs)
    return lambda *args, **kwargs: _method(owner, name, args, kwargs)


def _method(dist: Any, name: str, args: tuple, kwargs: dict) -> Any:
    if name not in ALLOWED.get(family(dist), "").split():
        raise unliftable(
            f"scipy.stats.{family(dist)}.{name} is not lifted",
            "its logpdf, pdf or cdf" if name not in ("pdf", "cdf", "logpdf") else "another distribution",
            "sx.blackbox around it, with a bridge",
        )
    if name == "std":
        return np.sqrt(_method(dist, "var", args, kwargs))
    if name == "median":
        return _method(dist, "ppf", (0.5, *args), kwargs)
    if name in ("mean", "var", "entropy"):
        return _moment(dist, name, args, kwargs)
    return _function(dist, name, args, kwargs)


def _call_lifted(dist: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return as_jax(_raw(dist, name, *args, **kwargs))


def _raw(dist: Any, name: str, *args: Any, **kwargs: Any) -> Any:
    return session().rules.source(getattr(type(dist), name))(dist, *args, **kwargs)


def _parameters(dist: Any, args: tuple, kwargs: dict) -> tuple[list, Any, Any]:
    shapes, loc, scale = dist._parse_args(*args, **kwargs)
    return list(shapes), _float(loc), _float(scale)


def _float(x: Any) -> Any:
    data = as_jax(x)
    return data if jnp.issubdtype(data.dtype, jnp.floating) else data.astype(float)


def _spread(shapes: list, shape: tuple) -> list:
    """The parameters of the form, as wide as the result; those that are known stay known: some have no derivative."""

    def one(x: Any) -> Any:
        if is_unknown(x):
            return wrap(jnp.broadcast_to(_float(x), shape))
        # Copied, because broadcast arrays cannot be written, and SciPy's code may.
        return wrap(np.array(np.broadcast_to(np.asarray(raw(x), float), shape)))

    return [one(s) for s in shapes]


def _function(dist: Any, name: str, args: tuple, kwargs: dict) -> Any:
    """At points: of the standard form, moved and scaled."""
    given = dict(kwargs)
    x, rest = (args[0], args[1:]) if args else (given.pop(next(k for k in ("x", "k", "q") if k in given)), ())
    shapes, loc, scale = _parameters(dist, rest, given)
    shape = jnp.broadcast_shapes(*(np.shape(as_jax(v)) for v in (x, loc, scale, *shapes)))
    x, loc, scale = (jnp.broadcast_to(_float(v), shape) for v in (x, loc, scale))
    arguments = _spread(shapes, shape)
    valid = (_call_lifted(dist, "_argcheck", *arguments) != 0) & (scale > 0)
    low, high = (jnp.broadcast_to(_float(e), x.shape) for e in _raw(dist, "_get_support", *arguments))
    if name in ("ppf", "isf"):
        return wrap(_quantile(dist, name, x, arguments, loc, scale, low, high, valid))
    y = (x - loc) / scale
    inside = _is_inside(dist, name, y, low, high)
    # Outside of the support the formula may be NaN, and its derivative with it: it is computed at a point inside instead.
    value = _value(dist, name, wrap(jnp.where(inside, y, _somewhere(low, high))), arguments)
    if name in ("pdf", "logpdf"):
        value = value / scale if name == "pdf" else value - jnp.log(scale)
    below, above = (_BOUNDED[name],) * 2 if name in _BOUNDED else _CUMULATED[name]
    value = jnp.where(inside, value, jnp.where(y <= low, below, above) if name in _CUMULATED else below)
    return wrap(jnp.where(valid & ~jnp.isnan(x), value, jnp.nan))


def _is_inside(dist: Any, name: str, y: Any, low: Any, high: Any) -> Any:
    """Where the formula holds: densities on the closed support, cumulated ones between its ends, masses at whole numbers."""
    if not hasattr(dist, "pmf"):
        return (y >= low) & (y <= high) if name in _BOUNDED else (y > low) & (y < high)
    inside = (y >= low) if name in _BOUNDED else (y > low)
    return inside & ((y <= high) & (jnp.floor(y) == y) if name in ("pmf", "logpmf") else y < high)


def _value(dist: Any, name: str, point: Any, arguments: list) -> Any:
    try:
        return _call_lifted(dist, f"_{name}", point, *arguments)
    except LiftError:
        if name not in ("pdf", "pmf"):
            raise
        # SciPy has the density of some distributions in compiled code, and its logarithm in Python.
        return jnp.exp(_call_lifted(dist, f"_log{name}", point, *arguments))


def _quantile(
    dist: Any, name: str, q: Any, arguments: list, loc: Any, scale: Any, low: Any, high: Any, valid: Any
) -> Any:
    inside = (q > 0) & (q < 1)
    value = _call_lifted(dist, f"_{name}", wrap(jnp.where(inside, q, 0.5)), *arguments)
    first, last = (low, high) if name == "ppf" else (high, low)
    value = jnp.where(inside, value, jnp.where(q == 0, first, jnp.where(q == 1, last, jnp.nan)))
    return jnp.where(valid, value * scale + loc, jnp.nan)


def _somewhere(low: Any, high: Any) -> Any:
    """A point inside the support."""
    down, up = jnp.isfinite(low), jnp.isfinite(high)
    zero = jnp.zeros_like(low)
    # Without infinities, whose difference would be NaN, also in a case that is not chosen.
    low_, high_ = jnp.where(down, low, zero), jnp.where(up, high, zero)
    middle = jnp.where(down & up, (low_ + high_) / 2, jnp.where(down, low_ + 1, jnp.where(up, high_ - 1, zero)))
    return jnp.where(
        low == jnp.floor(low), jnp.floor(middle) + jnp.where(down & up & (high - low <= 1), 0.5, 0), middle
    )


def _moment(dist: Any, name: str, args: tuple, kwargs: dict) -> Any:
    shapes, loc, scale = _parameters(dist, args, kwargs)
    shape = jnp.broadcast_shapes(*(np.shape(as_jax(v)) for v in (loc, scale, *shapes)))
    arguments = _spread(shapes, shape)
    valid = (_call_lifted(dist, "_argcheck", *arguments) != 0) & (scale > 0)
    if name == "entropy":
        value = _call_lifted(dist, "_entropy", *arguments)
        value = value if hasattr(dist, "pmf") else value + jnp.log(scale)
    else:
        one = _standard_moment(dist, name, arguments)
        value = loc + scale * as_jax(one) if name == "mean" else scale**2 * as_jax(one)
    return wrap(jnp.where(valid, value, jnp.nan))


def _standard_moment(dist: Any, name: str, arguments: list) -> Any:
    """The mean or the variance of the standard form, by the formula that the distribution has."""
    if not hasattr(dist, "pmf") and type(dist)._stats is importlib.import_module("scipy.stats").rv_continuous._stats:
        first, second = (_call_lifted(dist, "_munp", n, *arguments) for n in (1, 2))
        return first if name == "mean" else second - first**2
    known = {"moments": "mv"} if "moments" in inspect.signature(type(dist)._stats).parameters else {}
    return _raw(dist, "_stats", *arguments, **known)[0 if name == "mean" else 1]
