"""NumPy's universal functions on values of a lifted program, with NumPy's own rules of promotion.

JAX promotes in another way (an int32 and a float32 make a float32 there, a float64 in NumPy). So NumPy itself says which dtypes
a call has (`ufunc.resolve_dtypes`), and jax.numpy's function gets arguments of these. Python's own scalars are weak in NumPy: a
`Number` remembers which type it stands for. The range of an index is kept through its arithmetic (`Number.span`), so that
x[i + 1] in a loop over known bounds needs no check when the program runs.
"""

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
from .._values.values import PYTHON, Number, as_jax, canonical, is_unknown, raw, wrap
from .array_likes import SEQUENCES
from .errors import with_numpys_errors
from .steady import steady
from .ufunc_methods import METHODS, at

_ARITHMETIC = {np.add, np.subtract, np.multiply, np.floor_divide, np.remainder, np.power, np.negative, np.positive}
_ARITHMETIC |= {np.absolute, np.invert, np.left_shift, np.right_shift}


def apply(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    """`method`: that of NumPy's protocol, or "operator" for Python's operators, whose operands may be Python numbers."""
    chosen = next((x for x in inputs if isinstance(x, (Masked, Matrix))), None)
    if chosen is not None:
        return chosen.ufunc(ufunc, method, inputs, kwargs)
    function = ufunc if method in ("__call__", "operator") else getattr(ufunc, method)
    return with_numpys_errors(lambda: _apply(ufunc, method, inputs, dict(kwargs)), function, inputs, kwargs)


def _apply(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    out = kwargs.pop("out", None)
    inputs = tuple(_array_of_sequence(x) for x in inputs)
    if method == "at":
        return at(ufunc, *inputs)
    is_call = method in ("__call__", "operator")
    # For a call `where` says which results are written; for a method such as reduce, which elements take part.
    where = kwargs.pop("where", True) if is_call else True
    if method == "operator" and ufunc in _ARITHMETIC and all(map(weak_type, inputs)):
        inputs = tuple(map(_bool_to_int, inputs))
    if any(map(is_unknown, (*inputs, where, *kwargs.values()))):
        result = _apply_to_unknown(ufunc, method, inputs, kwargs)
    else:
        function = ufunc if is_call else getattr(ufunc, method)
        known = {name: raw(value) for name, value in kwargs.items()}
        result = _each(wrap, function(*map(raw, inputs), **known))
    return _store_out(result, out, where)


def _array_of_sequence(x: Any) -> Any:
    return session().rules.function(np.array, (x,), {}) if isinstance(x, SEQUENCES) else x


def _apply_to_unknown(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    # Arithmetic may raise depending on values, and the handler would have to be chosen before they are known.
    if session().guarded:
        raise unliftable(
            "a `try` statement around arithmetic on values that depend on the arguments: which handler runs is not known",
            "a test before it: if x == 0: ...",
            "sx.blackbox around the function, with a bridge",
        )
    _refuse_objects(ufunc, inputs)
    rule = METHODS.get(method)
    result = _call(ufunc, inputs, kwargs) if rule is None else rule(ufunc, *inputs, **kwargs)
    return _python_kind(ufunc, result, inputs) if method == "operator" else result


def _each(function: Callable, result: Any) -> Any:
    return tuple(map(function, result)) if isinstance(result, tuple) else function(result)


def _store_out(result: Any, out: Any, where: Any) -> Any:
    """The result, written into `out=`, where `where=` holds."""
    targets = out if isinstance(out, tuple) else (out,)
    if targets[0] is None:
        if where is True:
            return result
        # In NumPy these are uninitialized memory.
        raise unliftable("where= without out= leaves numbers that nobody has set", "out=np.zeros_like(x)")
    for target, one in zip(targets, result if isinstance(result, tuple) else (result,), strict=True):
        store = session().rules.store
        if where is True:
            store(target, Ellipsis, one)
        else:
            store(target, Ellipsis, session().rules.function(np.where, (where, one, target), {}))
    return out if isinstance(out, tuple) and len(out) > 1 else targets[0]


def _refuse_objects(ufunc: np.ufunc, inputs: tuple) -> None:
    # The conversion to JAX would raise as well, but could not name the function.
    if any(isinstance(x, np.ndarray) and x.dtype == object for x in inputs):
        raise unliftable(f"np.{ufunc.__name__} on an array of objects", "an array of numbers")


# -- dtypes


def weak_type(x: Any) -> type | None:
    """The type of a Python scalar, known or not, which is weak in promotion; None for anything else."""
    if isinstance(x, Number):
        return x.python
    return type(x) if type(x) in (bool, int, float, complex) else None


def dtypes(ufunc: np.ufunc, inputs: tuple) -> tuple[np.dtype, ...]:
    """The dtypes of the inputs and results, by NumPy's rules."""
    kinds = []
    for x in inputs:
        kind = weak_type(x)
        # NumPy's resolver accepts the classes int, float and complex for weak scalars, but not bool.
        kinds.append(np.dtype(bool) if kind is bool else kind or np.dtype(raw(x).dtype))
    # For comparisons of two Python integers, which have any size, NumPy would choose objects.
    if all(kind is int for kind in kinds):
        kinds = [np.dtype(int)] * len(kinds)
    try:
        return ufunc.resolve_dtypes((*kinds, *[None] * ufunc.nout))
    except TypeError as error:
        raise TypeError(f"np.{ufunc.__name__}: {error}") from None


def _python_kind(ufunc: np.ufunc, result: Any, inputs: tuple) -> Any:
    """The result of an operator, which is a Python number if all operands are."""
    if isinstance(result, Number) and all(weak_type(x) for x in inputs):
        result.python = PYTHON[result.dtype.kind]
        check_whole(ufunc, inputs, result)
    return result


def _bool_to_int(x: Any) -> Any:
    """A Python bool as an int for arithmetic."""
    # True + True is 2 in Python; of NumPy's booleans it is True.
    if weak_type(x) is not bool:
        return x
    return Number(as_jax(x, int), int) if isinstance(x, Number) else int(x)


# -- the methods


def _call(ufunc: np.ufunc, inputs: tuple, kwargs: dict) -> Any:
    rule = _RULES.get(ufunc.__name__)
    types = dtypes(ufunc, inputs)
    # The inputs are cast to `dtype=` first. Special rules, which look at their types, do not apply then.
    if (dtype := kwargs.pop("dtype", None)) is not None:
        types = (*[np.dtype(dtype)] * len(inputs), *types[len(inputs) :])
    # These do not affect values. Any other option might, so it must not be ignored.
    for name in ("casting", "order", "subok"):
        kwargs.pop(name, None)
    if kwargs:
        raise unliftable(f"np.{ufunc.__name__}({', '.join(kwargs)}=...) is not lifted", "the same without it")
    if rule is not None and dtype is None and (result := rule(*inputs)) is not None:
        return result if isinstance(result, Number) else wrap(result)
    function = _careful(ufunc, inputs, types) or _namesake(ufunc, inputs)
    return _each(wrap, function(*(as_jax(x, t) for x, t in zip(inputs, types, strict=False))))


def _careful(ufunc: np.ufunc, inputs: tuple, types: tuple) -> Callable | None:
    """The version of a function with a domain whose derivative is 0, not NaN, outside of it (`steady`); else None."""
    name = ufunc.__name__
    # Integers have no derivative, and for complex numbers these functions are defined everywhere.
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
    """For a known integer exponent, a product of factors, whose derivatives of every order are right everywhere."""
    if is_unknown(n):
        return whole_power(x, n) if weak_type(x) is int and weak_type(n) is int else None
    exponent = raw(n)
    if not is_unknown(x) or not _is_small_whole(exponent):
        return None
    dtype = dtypes(np.power, (x, n))[-1]
    if dtype.kind in "fc" or exponent >= 0:
        return lax.integer_pow(as_jax(x, dtype), int(exponent))
    # Python's 2 ** -1 is a float. With NumPy's integers it is an error, which is left to NumPy.
    return lax.integer_pow(as_jax(x, canonical(float)), int(exponent)) if weak_type(x) and weak_type(n) else None


def _is_small_whole(exponent: Any) -> bool:
    """Is it a single integer, so small that repeated squaring takes few multiplications (at most 11)?"""
    if np.ndim(exponent) or isinstance(exponent, complex):
        return False
    return float(exponent).is_integer() and abs(exponent) <= 64


def _matmul(x: Any, y: Any) -> Any:
    dtype = dtypes(np.matmul, (x, y))[-1]
    # By default accelerators round float32 to fewer bits before they multiply.
    return jnp.matmul(as_jax(x, dtype), as_jax(y, dtype), precision=lax.Precision.HIGHEST)


def _span(sign: int) -> Callable:
    """The rule for adding or subtracting integers whose ranges are known: that of the result is known as well."""

    def shift(x: Any, y: Any) -> Any:
        if isinstance(x, Number) and x.span and type(y) is int:
            return _shifted_index(x, sign * y)
        if isinstance(y, Number) and y.span and type(x) is int and sign > 0:
            return _shifted_index(y, x)
        return _interval_rule(np.add if sign > 0 else np.subtract)(x, y)

    return shift


def _shifted_index(index: Number, known: int) -> Number:
    """`index + known`, which keeps its origin, so that x[i : i + 3] has a known length."""
    assert index.span is not None
    low, high = index.span
    result = Number(as_jax(index) + canonical(int).type(known), int, (low + known, high + known))
    result.origin = index.source
    return result


def _interval_rule(ufunc: np.ufunc) -> Callable:
    """Interval arithmetic: the range of the result for two integers whose ranges are known."""

    def combine(x: Any, y: Any) -> Number | None:
        first, second = map(_interval, (x, y))
        if first is None or second is None:
            return None
        # Sums, differences and products have their extremes at the ends of the intervals. Products of numbers below 2^31 fit
        # into an int64; larger ones would wrap around.
        ends = [int(ufunc(a, b)) for a in first for b in second if max(abs(a), abs(b)) < 2**31]
        if len(ends) < 4 or max(map(abs, ends)) > np.iinfo(canonical(int)).max:
            return None
        return Number(getattr(jnp, ufunc.__name__)(as_jax(x), as_jax(y)), int, (min(ends), max(ends)))

    return combine


def _interval(x: Any) -> tuple[int, int] | None:
    """The smallest and the largest value of an int, if they are known."""
    if isinstance(x, Number):
        return x.span
    return (x, x) if type(x) is int else None


def _square(x: Any) -> Any:
    # For integers jnp.square wraps around as NumPy does.
    return lax.integer_pow(as_jax(x), 2) if raw(x).dtype.kind in "fc" else None


def _hypot(x: jax.Array, y: jax.Array) -> jax.Array:
    """The root of a sum of squares, whose kink at 0 is known; scaled where the squares would overflow or vanish."""
    # By a power of 2, which does not round, and which cancels in the result and so needs no derivative.
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
    "multiply": _interval_rule(np.multiply),
}
