"""SciPy's functions by their namesakes in jax.scipy, and its interpolators by their own coefficients."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ._interpolators import interpolator
from ._session import session, unliftable
from ._trees import has_unknown, rewrapped, unwrapped
from ._values import as_jax, raw

_LIFTED = ("integrate", "special")  # their functions in Python are lifted
_MODULES = ("special", "linalg", "stats", "integrate", "signal", "fft", "interpolate", "cluster")


def apply(function: Any, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`."""
    if not has_unknown((args, kwargs)):
        return rewrapped(function(*unwrapped(args), **unwrapped(kwargs)))
    if type(function).__module__.startswith("scipy.stats") and _family(function):
        return Frozen(function, args, kwargs)
    if (rule := interpolator(function)) is not None:
        return rule(*args, **kwargs)
    namesake = _namesake(function)
    if namesake is None and isinstance(function, types.FunctionType) and function.__module__.split(".")[1] in _LIFTED:
        return session().rules.source(function)(*args, **kwargs)
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


def _family(distribution: Any) -> str:
    """The name of a distribution, such as norm; "" for anything else."""
    kind = type(distribution).__name__
    return getattr(distribution, "name", None) or (kind.removesuffix("_gen") if kind.endswith("_gen") else "")


class Frozen:
    """A distribution with given parameters, such as norm(loc, scale)."""

    def __init__(self, family: Any, args: tuple, kwargs: dict):
        self.family, self.args, self.kwargs = family, args, kwargs

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda *given, **named: apply(getattr(self.family, name), (*given, *self.args), {**self.kwargs, **named})


def _namesake(function: Any) -> Callable | None:
    owner = getattr(function, "__self__", None)
    if owner is not None and type(owner).__module__.startswith("scipy.stats"):
        return getattr(getattr(jax.scipy.stats, _family(owner), None), function.__name__, None)
    parts = (getattr(function, "__module__", None) or "").split(".")
    name = _RENAMED.get(getattr(function, "__name__", ""), getattr(function, "__name__", ""))
    if len(parts) < 2 or parts[0] != "scipy" or parts[1] not in _MODULES:
        return None
    module = getattr(jax.scipy, parts[1], None)
    found = getattr(module, name, None) if module is not None else None
    if found is None and parts[1] == "fft":
        found = getattr(jnp.fft, name, None)
    if found is None and parts[1] == "linalg":
        found = getattr(jnp.linalg, name, None)
    return found


_RENAMED = {"psi": "digamma"}
