"""Python's built-in functions and the math module on values of a lifted program."""

from __future__ import annotations

import builtins
import cmath
import copy
import dataclasses
import functools
import math
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.special
import numpy as np

from .._flow.conditionals import choose, truth
from .._flow.consuming import CHANGING, consumed
from .._flow.iterables import Items, backwards, counted, enumerated, items_of, zipped
from .._indexing.masked import Masked
from .._numpy.creation import asarray
from .._session import line, session, unliftable
from .._values.cells import set_attribute, set_plainly
from .._values.objects import is_plain_object
from .._values.protocols import compared, deep_copy, own_method, replaced
from .._values.text import Text, deferred, text_of
from .._values.trees import has_unknown, unwrapped
from .._values.values import SCALARS, Array, Composite, Number, Value, as_jax, canonical, is_unknown, wrapped
from .bisecting import BISECTING


def listed(iterable: Any) -> list:
    """The items of anything iterable."""
    items = items_of(iterable)
    if items is None:
        consumed(iterable)
    return list(items if isinstance(items, Items) else iterable)


def _number(x: Any, kind: type) -> Any:
    """`float(x)`, `int(x)`, `bool(x)`, `complex(x)`."""
    if isinstance(x, Text):
        raise unliftable("a number read from text that depends on the arguments", "the number itself")
    if (method := own_method(x, f"__{kind.__name__}__")) is not None:
        return session().rules.call(method, x)
    if not is_unknown(x):
        return kind(unwrapped(x))
    data = as_jax(x)
    if data.size != 1:
        raise TypeError("only arrays of one element can be made into a number")
    data = data.reshape(())
    if kind is bool:
        return Number(data != 0, bool)
    if kind is int:
        data = jnp.trunc(data) if data.dtype.kind == "f" else data
    if data.dtype.kind == "c" and kind is not complex:
        raise TypeError("a complex number cannot be made into a real one: take its real part")
    return Number(data.astype(canonical(kind)), kind)


def _float(x: Any = 0.0) -> Any:
    return _number(x, float)


def _int(x: Any = 0, *base: Any) -> Any:
    return int(x, *base) if base else _number(x, int)


def _bool(x: Any = False) -> Any:
    chosen = truth(x)
    return chosen if isinstance(chosen, bool) else Number(chosen, bool)


def _complex(x: Any = 0, y: Any = 0) -> Any:
    return _number(x, complex) if not has_unknown(y) and y == 0 else _number(x, complex) + 1j * _number(y, complex)


def _extreme(known: Callable, better: Callable) -> Callable:
    """`max` and `min`: of equals, the first."""

    def extreme(*args: Any, key: Callable | None = None, **kwargs: Any) -> Any:
        if len(args) == 1 and isinstance(args[0], Masked) and key is None and not kwargs and args[0].ndim == 1:
            return args[0].reduced(known.__name__)
        values = listed(args[0]) if len(args) == 1 else list(args)
        if not has_unknown(values) and key is None and not any(map(is_plain_object, values)):
            return known(values, **kwargs)
        if not values and "default" in kwargs:
            return kwargs["default"]
        call = session().rules.call
        best = values[0]
        for value in values[1:]:
            one, other = (value, best) if key is None else (call(key, value), call(key, best))
            best = choose(better(one, other), lambda v=value: v, lambda b=best: b)
        return best

    return extreme


def _sum(iterable: Any, start: Any = 0) -> Any:
    if isinstance(iterable, Masked):
        return start + iterable.reduced("sum", 0)
    if (
        isinstance(iterable, Array)
        and iterable.ndim == 1
        and is_unknown(iterable)
        and not has_unknown(start)
        and start == 0
    ):
        return np.sum(iterable)
    return functools.reduce(operator.add, listed(iterable), start)


def _any(iterable: Any) -> Any:
    if isinstance(iterable, Masked) and iterable.ndim == 1:
        return iterable.reduced("any")
    values = [truth(x) for x in listed(iterable)]
    known = [v for v in values if isinstance(v, bool)]
    unknown = [v for v in values if not isinstance(v, bool)]
    return True if any(known) else Number(functools.reduce(jnp.logical_or, unknown), bool) if unknown else False


def _all(iterable: Any) -> Any:
    if isinstance(iterable, Masked) and iterable.ndim == 1:
        return iterable.reduced("all")
    values = [truth(x) for x in listed(iterable)]
    known = [v for v in values if isinstance(v, bool)]
    unknown = [v for v in values if not isinstance(v, bool)]
    return False if not all(known) else Number(functools.reduce(jnp.logical_and, unknown), bool) if unknown else True


def _abs(x: Any) -> Any:
    method = own_method(x, "__abs__")
    return abs(x) if method is None else session().rules.call(method, x)


def _round(x: Any, digits: Any = None) -> Any:
    return round(x, digits) if digits is not None else round(x)


def _pow(x: Any, y: Any, *mod: Any) -> Any:
    if mod and has_unknown((x, y, mod)):
        return x**y % mod[0]
    return pow(x, y, *mod) if mod else x**y


def _sorted(iterable: Any, *, key: Any = None, reverse: bool = False) -> list:
    values = listed(iterable)
    call = session().rules.call
    keys = values if key is None else [call(key, v) for v in values]
    if not has_unknown(keys):
        order = sorted(range(len(values)), key=lambda i: unwrapped(keys[i]), reverse=reverse)
        return session().born([values[i] for i in order])
    if key is not None and not all(_is_number(v) for v in values):
        raise unliftable(
            "sorted() by keys that depend on the arguments, of things that are no numbers", "np.argsort on an array"
        )
    order = np.argsort(asarray(list(keys[::-1] if reverse else keys)), kind="stable")
    order = np.flip(len(keys) - 1 - order) if reverse else order  # of equals, the first stays first
    return session().born(list(np.take(asarray(values), order)))


def _is_number(x: Any) -> bool:
    return isinstance(x, (Number, *SCALARS))


def type_of(x: Any) -> type:
    """The class of what a value stands for."""
    if isinstance(x, (Array, Composite)):
        return getattr(x, "kind", np.ndarray)
    if isinstance(x, Number):
        return x.declared or x.python or x.dtype.type
    return str if isinstance(x, Text) else type(x)


def _isinstance(x: Any, kinds: Any) -> bool:
    return issubclass(type_of(x), kinds) if isinstance(x, (Value, Composite, Text)) else isinstance(x, kinds)


def _type(*args: Any) -> Any:
    return type_of(*args) if len(args) == 1 else type(*args)


def _print(*args: Any, **kwargs: Any) -> None:
    deferred(print, args, kwargs)


def _list(iterable: Any = ()) -> list:
    return session().born(listed(iterable))


def _tuple(iterable: Any = ()) -> tuple:
    return tuple(listed(iterable))


def _set(iterable: Any = ()) -> set:
    return session().born(set(listed(iterable)))


def _dict(*args: Any, **kwargs: Any) -> dict:
    return session().born(dict(*args, **kwargs))


def _map(function: Callable, *iterables: Any) -> list:
    call = session().rules.call
    return session().born([call(function, *items) for items in zip(*map(listed, iterables), strict=False)])


def _filter(function: Callable | None, iterable: Any) -> list:
    call = session().rules.call
    kept = []
    for value in listed(iterable):
        chosen = truth(value if function is None else call(function, value))
        if not isinstance(chosen, bool):
            raise unliftable("filter() by a condition that depends on the arguments", "sums by weights, or np.where")
        if chosen:
            kept.append(value)
    return session().born(kept)


def _reduce(function: Callable, iterable: Any, *initial: Any) -> Any:
    call = session().rules.call
    return functools.reduce(lambda x, y: call(function, x, y), listed(iterable), *initial)


def _len(x: Any) -> Any:
    if (method := own_method(x, "__len__")) is not None:
        return session().rules.call(method, x)
    return x.length if isinstance(x, Masked) else len(x)


def _getattr(owner: Any, name: str, *default: Any) -> Any:
    return session().rules.attribute(owner, name, *default)


def _iter(x: Any, *sentinel: Any) -> Any:
    return session().born(iter(listed(x)) if not sentinel and items_of(x) is not None else iter(x, *sentinel))


def _callable(x: Any) -> bool:
    return callable(x)


def _str(x: Any = "") -> Any:
    return text_of(x)


def _hasattr(owner: Any, name: str) -> bool:
    if not isinstance(owner, Value):
        return hasattr(owner, name)
    return hasattr(np.ndarray if isinstance(owner, Array) else type_of(owner), name)


def _divmod(x: Any, y: Any) -> tuple:
    return x // y, x % y


def _settled_range(*bounds: Any) -> Any:
    return counted(*bounds)


# -- math

_RENAMED = {
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
_DOMAINS: dict[str, Callable] = {
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
    """Of the math module: numbers only, and an error outside of the domain."""

    def apply(*args: Any) -> Any:
        if not has_unknown(args):
            return function(*unwrapped(args))
        data = [as_jax(_float(x)) for x in args]
        if name in _DOMAINS:
            session().check(
                _DOMAINS[name](*data),
                f"math.{name} outside of its domain",
                line(),
                f"np.{_RENAMED.get(name, name)}, which gives NaN",
            )
        return Number(
            _SPECIAL[name](*data) if name in _SPECIAL else getattr(jnp, _RENAMED.get(name, name))(*data), _kind(name)
        )

    return apply


def _kind(name: str) -> type:
    return bool if name.startswith("is") else float


def _complex_function(name: str) -> Callable:
    """Of the cmath module."""

    def apply(x: Any) -> Any:
        if not has_unknown(x):
            return getattr(cmath, name)(unwrapped(x))
        return wrapped(getattr(jnp, name)(as_jax(x, complex)))

    return apply


def _whole(name: str) -> Callable:
    def apply(x: Any) -> Any:
        if not has_unknown(x):
            return getattr(math, name)(unwrapped(x))
        return Number(getattr(jnp, name)(as_jax(_float(x))).astype(canonical(int)), int)

    return apply


def _log(x: Any, base: Any = None) -> Any:
    natural = _mathematical("log", math.log)
    return natural(x) if base is None else natural(x) / natural(base)


def _fsum(values: Any) -> Any:
    return _sum(values, 0.0)


def _math_prod(values: Any, *, start: Any = 1) -> Any:
    return functools.reduce(operator.mul, listed(values), start)


def _hypot(*coordinates: Any) -> Any:
    if not has_unknown(coordinates):
        return math.hypot(*unwrapped(coordinates))
    return Number(jnp.sqrt(sum(as_jax(_float(c)) ** 2 for c in coordinates)), float)


def _dist(p: Any, q: Any) -> Any:
    return _hypot(*(a - b for a, b in zip(listed(p), listed(q), strict=True)))


def _of_math(function: Callable, rule: Callable) -> Callable:
    """`rule` where something is not known."""
    return lambda *args: rule(*args) if has_unknown(args) else function(*unwrapped(args))


def _remainder(x: Any, y: Any) -> Number:
    """To the nearest multiple, of two equally near ones to the even one."""
    a, b = as_jax(_float(x)), as_jax(_float(y))
    return Number(a - b * jnp.round(a / b), float)


def _modf(x: Any) -> tuple:
    data = as_jax(_float(x))
    return Number(data - jnp.trunc(data), float), Number(jnp.trunc(data), float)


def _frexp(x: Any) -> tuple:
    data = as_jax(_float(x))
    exponent = jnp.frexp(jax.lax.stop_gradient(data))[1]
    return Number(data * jnp.exp2(-exponent.astype(data.dtype)), float), Number(exponent.astype(canonical(int)), int)


def _isclose(a: Any, b: Any, *, rel_tol: float = 1e-9, abs_tol: float = 0.0) -> Any:
    if not has_unknown((a, b)):
        return math.isclose(a, b, rel_tol=rel_tol, abs_tol=abs_tol)
    x, y = as_jax(a), as_jax(b)
    return Number(jnp.abs(x - y) <= jnp.maximum(rel_tol * jnp.maximum(jnp.abs(x), jnp.abs(y)), abs_tol), bool)


_WHOLE = {"gcd": math.gcd, "lcm": math.lcm}


def _whole_numbers(name: str, *args: Any) -> Number:
    return Number(getattr(jnp, name)(*map(as_jax, args)), int)


CALLS: dict[Any, Callable] = {
    float: _float,
    int: _int,
    bool: _bool,
    complex: _complex,
    str: _str,
    max: _extreme(max, functools.partial(compared, "Gt")),
    min: _extreme(min, functools.partial(compared, "Lt")),
    sum: _sum,
    any: _any,
    all: _all,
    abs: _abs,
    round: _round,
    pow: _pow,
    divmod: _divmod,
    sorted: _sorted,
    isinstance: _isinstance,
    type: _type,
    print: _print,
    list: _list,
    tuple: _tuple,
    set: _set,
    dict: _dict,
    map: _map,
    filter: _filter,
    functools.reduce: _reduce,
    len: _len,
    range: counted,
    enumerate: enumerated,
    zip: zipped,
    reversed: backwards,
    iter: _iter,
    getattr: _getattr,
    setattr: set_attribute,
    copy.deepcopy: deep_copy,
    dataclasses.replace: replaced,
    **CHANGING,
    **BISECTING,
    object.__setattr__: set_plainly,
    hasattr: _hasattr,
    math.log: _log,
    math.fsum: _fsum,
    math.prod: _math_prod,
    math.hypot: _hypot,
    math.dist: _dist,
    math.isclose: _isclose,
    math.remainder: _of_math(math.remainder, _remainder),
    math.modf: _of_math(math.modf, _modf),
    math.frexp: _of_math(math.frexp, _frexp),
    math.ldexp: _of_math(math.ldexp, lambda x, n: Number(as_jax(_float(x)) * jnp.exp2(as_jax(_float(n))), float)),
    **{f: _of_math(f, functools.partial(_whole_numbers, n)) for n, f in _WHOLE.items()},
    **{getattr(math, name): _whole(name) for name in ("floor", "ceil", "trunc")},
}
# They hand the items of what they are given on, or ask for them one by one: an item may be None on some ways.
PASSING = {
    *(list, tuple, dict, zip, enumerate, reversed, iter, len, map, filter, any, all, type, isinstance, callable),
    *(getattr, setattr, hasattr, object.__setattr__, functools.reduce, copy.deepcopy, dataclasses.replace, *CHANGING),
}
for _name in dir(math):
    _function = getattr(math, _name)
    if (
        callable(_function)
        and _function not in CALLS
        and (_name in _SPECIAL or hasattr(jnp, _RENAMED.get(_name, _name)))
    ):
        CALLS[_function] = _mathematical(_name, _function)
for _name in "exp log sqrt sin cos".split():
    CALLS[getattr(cmath, _name)] = _complex_function(_name)
REFUSED: dict[Any, str] = {
    **dict.fromkeys((np.loadtxt, np.genfromtxt, np.load, np.fromfile), "reads a file"),
    **dict.fromkeys((np.save, np.savez, np.savetxt), "writes a file"),
    open: "opens a file",
    input: "reads from the terminal",
    builtins.compile: "compiles code",
}
