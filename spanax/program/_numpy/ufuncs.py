"""NumPy's universal functions on values of a lifted program, with NumPy's own rules of promotion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .._indexing.masked import Masked
from .._scipy.special import ufunc as special
from .._session import session, unliftable
from .._values.integers import check_whole, whole_power
from .._values.matrices import Matrix
from .._values.values import PYTHON, Number, as_jax, canonical, is_unknown, raw, wrapped
from .array_likes import SEQUENCES
from .errors import translated
from .steady import steady
from .ufunc_methods import METHODS, at

_ARITHMETIC = {np.add, np.subtract, np.multiply, np.floor_divide, np.remainder, np.power, np.negative, np.positive}
_ARITHMETIC |= {np.absolute, np.invert, np.left_shift, np.right_shift}


def apply(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """`method` is that of NumPy's protocol, or "operator" where Python's operator was used on Python's numbers, perhaps."""
    chosen = next((x for x in inputs if isinstance(x, (Masked, Matrix))), None)
    if chosen is not None:
        return chosen.ufunc(ufunc, method, inputs, kwargs)
    function = ufunc if method in ("__call__", "operator") else getattr(ufunc, method)
    return translated(lambda: _applied(ufunc, method, inputs, dict(kwargs)), function, inputs, kwargs)


def _applied(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    out = kwargs.pop("out", None)
    inputs = tuple(session().rules.function(np.array, (x,), {}) if isinstance(x, SEQUENCES) else x for x in inputs)
    if method == "at":
        return at(ufunc, *inputs)
    where = kwargs.pop("where", True) if method in ("__call__", "operator") else True
    if method == "operator" and ufunc in _ARITHMETIC:
        inputs = tuple(map(_counted, inputs)) if all(map(weak_type, inputs)) else inputs
    if any(map(is_unknown, (*inputs, where, *kwargs.values()))):
        if session().guarded:
            raise unliftable(
                "a `try` statement around arithmetic on values that depend on the arguments: which handler runs is not known",
                "a test before it: if x == 0: ...",
                "sx.blackbox around the function, with a bridge",
            )
        _refuse_objects(ufunc, inputs)
        run = METHODS.get(method)
        result = _call(ufunc, inputs, kwargs) if run is None else run(ufunc, *inputs, **kwargs)
        result = _python_kind(ufunc, result, inputs) if method == "operator" else result
    else:
        given = {name: raw(value) for name, value in kwargs.items()}
        name = "__call__" if method == "operator" else method
        result = _each(wrapped, getattr(ufunc, name)(*map(raw, inputs), **given))
    return _written(result, out, where)


def _each(function: Callable, result: Any) -> Any:
    return tuple(map(function, result)) if isinstance(result, tuple) else function(result)


def _written(result: Any, out: Any, where: Any) -> Any:
    """Into `out=`, and only `where=`."""
    targets = out if isinstance(out, tuple) else (out,)
    if targets[0] is None:
        if where is True:
            return result
        raise unliftable("where= without out= leaves numbers that nobody has set", "out=np.zeros_like(x)")
    for target, one in zip(targets, result if isinstance(result, tuple) else (result,), strict=True):
        store = session().rules.store
        if where is True:
            store(target, Ellipsis, one)
        else:
            store(target, Ellipsis, session().rules.function(np.where, (where, one, target), {}))
    return out if isinstance(out, tuple) and len(out) > 1 else targets[0]


def _refuse_objects(ufunc: np.ufunc, inputs: tuple) -> None:
    if any(isinstance(x, np.ndarray) and x.dtype == object for x in inputs):
        raise unliftable(f"np.{ufunc.__name__} on an array of objects", "an array of numbers")


# -- dtypes


def weak_type(x: Any) -> type | None:
    """The Python type that a Python scalar, known or not, has in promotion."""
    if isinstance(x, Number):
        return x.python
    return type(x) if type(x) in (bool, int, float, complex) else None


def dtypes(ufunc: np.ufunc, inputs: tuple) -> tuple[np.dtype, ...]:
    """Those of the inputs and results, as NumPy has them."""
    given = []
    for x in inputs:
        kind = weak_type(x)
        given.append(np.dtype(bool) if kind is bool else kind or np.dtype(raw(x).dtype))
    if all(kind is int for kind in given):  # for comparisons of Python's integers NumPy has objects
        given = [np.dtype(int)] * len(given)
    try:
        return ufunc.resolve_dtypes((*given, *[None] * ufunc.nout))
    except TypeError as error:
        raise TypeError(f"np.{ufunc.__name__}: {error}") from None


def _python_kind(ufunc: np.ufunc, result: Any, inputs: tuple) -> Any:
    """What an operator makes of Python's numbers is one of them."""
    if isinstance(result, Number) and all(weak_type(x) for x in inputs):
        result.python = PYTHON[result.dtype.kind]
        check_whole(ufunc, inputs, result)
    return result


def _counted(x: Any) -> Any:
    """Python's own booleans are the numbers 0 and 1 in arithmetic."""
    if weak_type(x) is not bool:
        return x
    return Number(as_jax(x, int), int) if isinstance(x, Number) else int(x)


# -- the methods


def _call(ufunc: np.ufunc, inputs: tuple, kwargs: dict) -> Any:
    rule = _RULES.get(ufunc.__name__)
    types = dtypes(ufunc, inputs)
    if (dtype := kwargs.pop("dtype", None)) is not None:
        types = (*[np.dtype(dtype)] * len(inputs), *types[len(inputs) :])
    for name in ("casting", "order", "subok"):
        kwargs.pop(name, None)
    if kwargs:
        raise unliftable(f"np.{ufunc.__name__}({', '.join(kwargs)}=...) is not lifted", "the same without it")
    if rule is not None and dtype is None and (done := rule(*inputs)) is not None:
        return done if isinstance(done, Number) else wrapped(done)
    function = _careful(ufunc, inputs, types) or _namesake(ufunc, inputs)
    return _each(wrapped, function(*(as_jax(x, t) for x, t in zip(inputs, types, strict=False))))


def _careful(ufunc: np.ufunc, inputs: tuple, types: tuple) -> Callable | None:
    """A function with a domain, whose derivative outside of it is not to spoil others."""
    name = ufunc.__name__
    if types[0].kind != "f" or (name == "divide" and _is_safe(inputs[1])):
        return None
    return steady(name)


def _is_safe(divisor: Any) -> bool:
    return not is_unknown(divisor) and bool(np.all(raw(divisor) != 0))


def _namesake(ufunc: np.ufunc, inputs: tuple) -> Callable:
    if ufunc is np.hypot:
        return _hypot
    name = ufunc.__name__
    of_numpy = getattr(np, name, None) is ufunc or name in _PRIVATE
    function = getattr(jnp, name, None) if of_numpy else special(ufunc, inputs)
    if function is None:
        raise unliftable(f"{name} has no counterpart in JAX", "sx.blackbox around it, with a bridge", "other functions")
    return function


_PRIVATE = {"clip", "_ones_like"}


# -- functions that differ from their namesakes, or may be cheaper


def _power(x: Any, n: Any) -> Any:
    """A known whole exponent: a product of factors, whose derivative is exact everywhere."""
    if is_unknown(n) and weak_type(x) is int and weak_type(n) is int:
        return whole_power(x, n)
    if not is_unknown(n) and np.ndim(raw(n)) == 0 and is_unknown(x):
        exponent = raw(n)
        if not isinstance(exponent, complex) and float(exponent).is_integer() and abs(exponent) <= 64:
            dtype = dtypes(np.power, (x, n))[-1]
            if dtype.kind in "fc" or exponent >= 0:
                return lax.integer_pow(as_jax(x, dtype), int(exponent))
            if weak_type(x) and weak_type(n):
                return lax.integer_pow(as_jax(x, canonical(float)), int(exponent))
    return None


def _matmul(x: Any, y: Any) -> Any:
    dtype = dtypes(np.matmul, (x, y))[-1]
    return jnp.matmul(as_jax(x, dtype), as_jax(y, dtype), precision=lax.Precision.HIGHEST)


def _span(sign: int) -> Callable:
    """The range of an index stays known when a known int is added to it."""

    def shifted(x: Any, y: Any) -> Any:
        if isinstance(x, Number) and x.span and type(y) is int:
            known, index, span = sign * y, x, x.span
        elif isinstance(y, Number) and y.span and type(x) is int and sign > 0:
            known, index, span = x, y, y.span
        else:
            return _ranged(np.add if sign > 0 else np.subtract)(x, y)
        low, high = span
        result = Number(as_jax(index) + canonical(int).type(known), int, (low + known, high + known))
        result.origin = index.source
        return result

    return shifted


def _ranged(ufunc: np.ufunc) -> Callable:
    """The range of an index stays known when it is combined with known ints and other indices."""

    def combined(x: Any, y: Any) -> Number | None:
        first, second = (p.span if isinstance(p, Number) else (p, p) if type(p) is int else None for p in (x, y))
        if first is None or second is None:
            return None
        ends = [int(ufunc(a, b)) for a in first for b in second if abs(a) < 2**31 and abs(b) < 2**31]
        if len(ends) < 4 or max(map(abs, ends)) > np.iinfo(canonical(int)).max:
            return None
        return Number(getattr(jnp, ufunc.__name__)(as_jax(x), as_jax(y)), int, (min(ends), max(ends)))

    return combined


def _square(x: Any) -> Any:
    return lax.integer_pow(as_jax(x), 2) if raw(x).dtype.kind in "fc" else None


def _hypot(x: jax.Array, y: jax.Array) -> jax.Array:
    """A root of squares, which is known to have a kink at 0; by a power of 2 where these would overflow or vanish."""
    most, info = jnp.maximum(jnp.abs(x), jnp.abs(y)), jnp.finfo(x.dtype)
    far = 2.0 ** int(0.6 * info.maxexp)
    is_large, is_small = most >= float(info.max) ** 0.5 / 2, most <= float(info.tiny) ** 0.5 / float(info.eps)
    unit = jnp.where(is_large, far, jnp.where(is_small, 1 / far, 1.0)).astype(x.dtype)
    return unit * jnp.sqrt(lax.integer_pow(x / unit, 2) + lax.integer_pow(y / unit, 2))


_RULES: dict[str, Callable] = {
    "power": _power,
    "square": _square,
    "matmul": _matmul,
    "add": _span(1),
    "subtract": _span(-1),
    "multiply": _ranged(np.multiply),
}
