"""Python's functions of numbers (`float`, `max`, `sum` and the like) for numbers that are not known while the program is traced.

Known numbers go to Python's own functions.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._flow.conditionals import choose, truth
from .._flow.consuming import check_consumable
from .._flow.iterables import Items, items_of
from .._indexing.masked import Masked
from .._numpy.creation import asarray
from .._session import session, unliftable
from .._values.objects import is_plain_object
from .._values.protocols import compare_operands, own_method
from .._values.text import Text
from .._values.trees import has_unknown, unwrap
from .._values.values import SCALARS, LiftedArray, Number, as_jax, canonical, is_unknown


def list_items(iterable: Any) -> list:
    """The items of any iterable."""
    items = items_of(iterable)
    # This exhausts a Python iterator, which an enclosing branch or loop could not undo.
    if items is None:
        check_consumable(iterable)
    return list(items if isinstance(items, Items) else iterable)


def _number(x: Any, kind: type) -> Any:
    """`float(x)`, `int(x)`, `bool(x)`, `complex(x)`."""
    if isinstance(x, Text):
        raise unliftable("a number read from text that depends on the arguments", "the number itself")
    if (method := own_method(x, f"__{kind.__name__}__")) is not None:
        return session().rules.call(method, x)
    if not is_unknown(x):
        return kind(unwrap(x))
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


def to_float(x: Any = 0.0) -> Any:
    return _number(x, float)


def _int(x: Any = 0, *base: Any) -> Any:
    return int(x, *base) if base else _number(x, int)


def _bool(x: Any = False) -> Any:
    # Any object has a truth value, not only numbers.
    chosen = truth(x)
    return chosen if isinstance(chosen, bool) else Number(chosen, bool)


def _complex(x: Any = 0, y: Any = 0) -> Any:
    return _number(x, complex) if not has_unknown(y) and y == 0 else _number(x, complex) + 1j * _number(y, complex)


# -- of several numbers


def _extreme(known: Callable, better: Callable) -> Callable:
    """`max` and `min`: of equals, the first."""

    def extreme(*args: Any, key: Callable | None = None, **kwargs: Any) -> Any:
        if key is None and not kwargs and len(args) == 1 and _is_selection(args[0]):
            return args[0].reduce(known.__name__)
        values = list_items(args[0]) if len(args) == 1 else list(args)
        if key is None and _are_known(values):
            return known(values, **kwargs)
        if not values and "default" in kwargs:
            return kwargs["default"]
        return _best(values, better, key)

    return extreme


def _are_known(values: list) -> bool:
    """Can Python compare them? Objects may hold unknown values, and compare by a method that must be lifted."""
    return not has_unknown(values) and not any(map(is_plain_object, values))


def _best(values: list, better: Callable, key: Callable | None) -> Any:
    call = session().rules.call
    best = values[0]
    # Not by `jnp.max`: the values may be tuples or objects, and if some are equal, Python returns the first of them, which gets
    # the whole derivative; `jnp.max` divides it among them.
    for value in values[1:]:
        one, other = (value, best) if key is None else (call(key, value), call(key, best))
        best = choose(better(one, other), lambda v=value: v, lambda b=best: b)
    return best


def _is_selection(x: Any) -> bool:
    """Is it a selection of numbers by an unknown mask?"""
    return isinstance(x, Masked) and x.ndim == 1


def add_up(iterable: Any, start: Any = 0) -> Any:
    """`sum(iterable, start)`."""
    if isinstance(iterable, Masked):
        return start + iterable.reduce("sum", 0)
    is_row = isinstance(iterable, LiftedArray) and iterable.ndim == 1 and is_unknown(iterable)
    # One operation instead of one for each element; it rounds in another order than Python does.
    if is_row and not has_unknown(start) and start == 0:
        return np.sum(iterable)
    return functools.reduce(operator.add, list_items(iterable), start)


def _any(iterable: Any) -> Any:
    if _is_selection(iterable):
        return iterable.reduce("any")
    known, unknown = _truths(iterable)
    return True if any(known) else Number(functools.reduce(jnp.logical_or, unknown), bool) if unknown else False


def _all(iterable: Any) -> Any:
    if _is_selection(iterable):
        return iterable.reduce("all")
    known, unknown = _truths(iterable)
    return False if not all(known) else Number(functools.reduce(jnp.logical_and, unknown), bool) if unknown else True


def _truths(iterable: Any) -> tuple[list, list]:
    """The truth of all items: of those that are known while the program is traced, and of the others."""
    # Python stops at the first item that decides. Here all are looked at, which matters only if a later one raises.
    truths = [truth(x) for x in list_items(iterable)]
    return [t for t in truths if isinstance(t, bool)], [t for t in truths if not isinstance(t, bool)]


def _sorted(iterable: Any, *, key: Any = None, reverse: bool = False) -> list:
    values = list_items(iterable)
    call = session().rules.call
    keys = values if key is None else [call(key, v) for v in values]
    if not has_unknown(keys):
        order = sorted(range(len(values)), key=lambda i: unwrap(keys[i]), reverse=reverse)
        return session().note_new([values[i] for i in order])
    if key is not None and not all(isinstance(v, (Number, *SCALARS)) for v in values):
        raise unliftable(
            "sorted() by keys that depend on the arguments, of things that are not numbers", "np.argsort on an array"
        )
    order = np.argsort(asarray(list(keys[::-1] if reverse else keys)), kind="stable")
    # Equal items keep their order, with reverse=True as well. So the reversed list is sorted stably, and the result reversed.
    order = np.flip(len(keys) - 1 - order) if reverse else order
    return session().note_new(list(np.take(asarray(values), order)))


# -- arithmetic


def _abs(x: Any) -> Any:
    method = own_method(x, "__abs__")
    return abs(x) if method is None else session().rules.call(method, x)


def _round(x: Any, digits: Any = None) -> Any:
    # A user's __round__ need not have the second argument.
    return round(x, digits) if digits is not None else round(x)


def _pow(x: Any, y: Any, *mod: Any) -> Any:
    # Python's pow(x, y, mod) has no overflow. Here x**y may not fit, which is checked when the program runs.
    if mod and has_unknown((x, y, mod)):
        return x**y % mod[0]
    return pow(x, y, *mod) if mod else x**y


def _divmod(x: Any, y: Any) -> tuple:
    return x // y, x % y


NUMBERS: dict[Any, Callable] = {
    float: to_float,
    int: _int,
    bool: _bool,
    complex: _complex,
    max: _extreme(max, functools.partial(compare_operands, "Gt")),
    min: _extreme(min, functools.partial(compare_operands, "Lt")),
    sum: add_up,
    any: _any,
    all: _all,
    sorted: _sorted,
    abs: _abs,
    round: _round,
    pow: _pow,
    divmod: _divmod,
}
