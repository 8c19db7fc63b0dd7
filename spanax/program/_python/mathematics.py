"""The modules `math` and `cmath` on numbers that are not known while the program is traced.

The functions of `jax.numpy` with the same names do the work, with two differences, as in Python: the result is a Python number,
and an argument outside the function's domain is an error when the program runs, where NumPy returns NaN.
"""

from __future__ import annotations

import cmath
import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special

from .._session import line, session
from .._values.trees import has_unknown, unwrap
from .._values.values import Number, as_jax, canonical, wrap
from .numbers import add_up, list_items, to_float

# Functions that jax.numpy has under another name.
_NAMES = {
    "asin": "arcsin",
    "acos": "arccos",
    "atan": "arctan",
    "atan2": "arctan2",
    "asinh": "arcsinh",
    "acosh": "arccosh",
    "atanh": "arctanh",
    "fmod": "fmod",
    "pow": "power",
    "fabs": "absolute",
}
_SPECIAL = {
    "erf": jax.scipy.special.erf,
    "erfc": jax.scipy.special.erfc,
    "lgamma": jax.scipy.special.gammaln,
    "gamma": jax.scipy.special.gamma,
}
# Where Python raises a ValueError: outside the domain.
_OUTSIDE: dict[str, Callable] = {
    "sqrt": lambda x: x < 0,
    "log": lambda x: x <= 0,
    "log2": lambda x: x <= 0,
    "log10": lambda x: x <= 0,
    "log1p": lambda x: x <= -1,
    "asin": lambda x: jnp.abs(x) > 1,
    "acos": lambda x: jnp.abs(x) > 1,
    "acosh": lambda x: x < 1,
    "atanh": lambda x: jnp.abs(x) >= 1,
    "fmod": lambda x, y: y == 0,
    "pow": lambda x, y: (x < 0) & (y != jnp.floor(y)) | (x == 0) & (y < 0),
}


def _mathematical(name: str, function: Callable) -> Callable:
    """A function of the math module: of numbers only, with an error outside its domain."""
    numpys = _NAMES.get(name, name)
    rule = _SPECIAL[name] if name in _SPECIAL else getattr(jnp, numpys)
    kind = bool if name.startswith("is") else float  # math.isnan and the like

    def apply(*args: Any) -> Any:
        if not has_unknown(args):
            return function(*unwrap(args))
        data = [as_jax(to_float(x)) for x in args]
        if name in _OUTSIDE:
            session().check(
                _OUTSIDE[name](*data), f"math.{name} outside of its domain", line(), f"np.{numpys}, which gives NaN"
            )
        return Number(rule(*data), kind)

    return apply


def _complex_function(name: str) -> Callable:
    """A function of the cmath module."""

    def apply(x: Any) -> Any:
        if not has_unknown(x):
            return getattr(cmath, name)(unwrap(x))
        return wrap(getattr(jnp, name)(as_jax(x, complex)))

    return apply


def _to_int(name: str) -> Callable:
    """`math.floor` and the like, which return ints, where NumPy's namesakes return floats."""

    def apply(x: Any) -> Any:
        if not has_unknown(x):
            return getattr(math, name)(unwrap(x))
        return Number(getattr(jnp, name)(as_jax(to_float(x))).astype(canonical(int)), int)

    return apply


def _if_unknown(rule: Callable, function: Callable) -> Callable:
    """`rule` if an argument is not known, else Python's own function."""
    return lambda *args: rule(*args) if has_unknown(args) else function(*unwrap(args))


def _log(x: Any, base: Any = None) -> Any:
    natural = _mathematical("log", math.log)
    return natural(x) if base is None else natural(x) / natural(base)


def _prod(values: Any, *, start: Any = 1) -> Any:
    return functools.reduce(operator.mul, list_items(values), start)


def _hypot(*coordinates: Any) -> Any:
    if not has_unknown(coordinates):
        return math.hypot(*unwrap(coordinates))
    return Number(jnp.sqrt(sum(as_jax(to_float(c)) ** 2 for c in coordinates)), float)


def _dist(p: Any, q: Any) -> Any:
    return _hypot(*(a - b for a, b in zip(list_items(p), list_items(q), strict=True)))


def _remainder(x: Any, y: Any) -> Number:
    """IEEE 754's: the distance to the nearest multiple, of two equally near ones to the even one, as jnp.round rounds."""
    a, b = as_jax(to_float(x)), as_jax(to_float(y))
    return Number(a - b * jnp.round(a / b), float)


def _modf(x: Any) -> tuple:
    data = as_jax(to_float(x))
    return Number(data - jnp.trunc(data), float), Number(jnp.trunc(data), float)


def _frexp(x: Any) -> tuple:
    data = as_jax(to_float(x))
    # The exponent is piecewise constant; the mantissa as x * 2^-exponent has the right derivative.
    exponent = jnp.frexp(jax.lax.stop_gradient(data))[1]
    return Number(data * jnp.exp2(-exponent.astype(data.dtype)), float), Number(exponent.astype(canonical(int)), int)


def _ldexp(x: Any, n: Any) -> Number:
    return Number(as_jax(to_float(x)) * jnp.exp2(as_jax(to_float(n))), float)


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    if not has_unknown((a, b)):
        return math.isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol)
    # Unlike NumPy's isclose it is symmetric in a and b, and has other tolerances.
    x, y = as_jax(a), as_jax(b)
    return Number(jnp.abs(x - y) <= jnp.maximum(rel_tol * jnp.maximum(jnp.abs(x), jnp.abs(y)), abs_tol), bool)


def _whole_numbers(name: str, *args: Any) -> Number:
    return Number(getattr(jnp, name)(*map(as_jax, args)), int)


MATHEMATICS: dict[Any, Callable] = {
    math.log: _log,
    math.fsum: lambda values: add_up(values, 0.0),
    math.prod: _prod,
    math.hypot: _hypot,
    math.dist: _dist,
    math.isclose: _isclose,
    math.remainder: _if_unknown(_remainder, math.remainder),
    math.modf: _if_unknown(_modf, math.modf),
    math.frexp: _if_unknown(_frexp, math.frexp),
    math.ldexp: _if_unknown(_ldexp, math.ldexp),
    math.gcd: _if_unknown(functools.partial(_whole_numbers, "gcd"), math.gcd),
    math.lcm: _if_unknown(functools.partial(_whole_numbers, "lcm"), math.lcm),
    **{getattr(math, name): _to_int(name) for name in ("floor", "ceil", "trunc")},
    **{getattr(cmath, name): _complex_function(name) for name in "exp log sqrt sin cos".split()},
}
# All other functions of the module that have a namesake. By search, as newer versions of Python add some.
for _name in dir(math):
    _function = getattr(math, _name)
    _has_namesake = _name in _SPECIAL or hasattr(jnp, _NAMES.get(_name, _name))
    if callable(_function) and _function not in MATHEMATICS and _has_namesake:
        MATHEMATICS[_function] = _mathematical(_name, _function)
