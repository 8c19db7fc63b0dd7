"""What the hooks in a rewritten function do: `_sx_.call(f, x)` and the like."""

from __future__ import annotations

import builtins
import contextlib
import operator
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..._errors import SpanaxError
from .._flow import conditionals, loops
from .._flow.comparisons import (
    COMPARED,
    compared as compared,
    differs_from_none as differs_from_none,
    equals_none as equals_none,
    is_none as is_none,
    not_ as not_,
    same as same,
)
from .._flow.conditionals import truth
from .._flow.iterables import Items, items_of
from .._indexing import items as _indexing
from .._indexing.masked import Masked
from .._numpy import functions, methods, ufuncs
from .._numpy.polynomials import Poly1d
from .._session import RaisedError, line, session, unliftable
from .._values import text as _text
from .._values.cells import Variable, changing, linked, read, set_attribute, usable
from .._values.constants import refuse_writing
from .._values.matrices import Matrix
from .._values.protocols import (
    binary as binary,
    in_place,
    managed as managed,
    own_method,
    read_property,
    setter,
    unary as unary,
)
from .._values.settling import settle as settle, settled_parts, settled_within
from .._values.unsettled import Partial, Undefined as Undefined, Unsettled, may_be_none
from .._values.values import Array, Composite, Number
from . import calls
from .builtins import listed

if_, choose, while_, for_ = conditionals.if_, conditionals.choose, loops.while_, loops.for_
call, called, store = calls.call, calls.called, _indexing.store
slice = builtins.slice


def ld(value: Any) -> Any:
    """A name that is read."""
    value = settle(value)
    return Poly1d(value) if isinstance(value, np.poly1d) else read(value)


def passed(value: Any) -> Any:
    """A name that is only handed on, to another name, a container or a function: it may be None on some ways."""
    return value if may_be_none(value) else ld(value)


_CALLERS = {calls.program_function.__code__, calls.start.__code__}


def handed(value: Any) -> Any:
    """What a function returns: None on some ways only to those who look, the functions that are lifted."""
    return _to_caller(value, sys._getframe(1))


def _to_caller(value: Any, frame: Any) -> Any:
    """`frame`: that of the function. Who calls it by a hook asks for the value when it is used; others do not know how to."""
    looks = frame.f_back is not None and frame.f_back.f_code in _CALLERS
    return value if looks or not isinstance(value, Unsettled) else settle(value)


def attribute(owner: Any, name: str, *default: Any) -> Any:
    """`owner.name`."""
    return ld(attribute_unread(owner, name, *default))


def attribute_passed(owner: Any, name: str, *default: Any) -> Any:
    return passed(attribute_unread(owner, name, *default))


def attribute_unread(owner: Any, name: str, *default: Any) -> Any:
    if isinstance(owner, _text.Text):
        _text.refuse_number(owner)
    owner = settle(owner)
    if name == "__dict__" and linked(owner):
        raise unliftable(
            "the attributes of an object that is one or another, as the arguments decide, are read as a dictionary",
            "the attributes by their names",
        )
    if isinstance(owner, Composite) and not hasattr(owner.kind, name):
        raise AttributeError(f"{owner.kind.__name__!r} object has no attribute {name!r}")
    computed = read_property(owner, name)
    return getattr(owner, name, *default) if computed is None else computed()


def item(target: Any, index: Any) -> Any:
    """`target[index]`."""
    return ld(item_unread(target, index))


def item_unread(target: Any, index: Any) -> Any:
    if type(target) is list and type(index) is int and -len(target) <= index < 0:
        session().reads_end(target, len(target) + index)
        usable(target)
        return target[index]
    target = ld(target)
    if isinstance(target, Items):
        return target.known(index)
    return _indexing.item(target, index)


def result(value: Any, returned: Any, always: bool) -> Any:
    """What a function returns that may end early, or without a value. `always`: does each way through it end in `return`?"""
    if isinstance(value, Undefined):
        return None
    if isinstance(value, Partial):
        value = value.value if always and value.absent is not None else value.or_none()
    return _to_caller(value if may_be_none(value) else ld(value), sys._getframe(1))


def returned(value: Any) -> Any:
    """The program's result, once each part of it has a value."""
    value = ld(value)
    if isinstance(value, _text.Text):
        _text.refuse_number(value)
    if isinstance(value, Matrix):
        return value.A
    if isinstance(value, Composite):
        raise value.refused()
    if isinstance(value, Items):
        return [returned(part) for part in value]
    if isinstance(value, (list, tuple)):
        parts = [returned(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return {key: returned(part) for key, part in value.items()} if isinstance(value, dict) else value


# -- truth


def all_of(first: Any, *others: Callable[[], Any]) -> Any:
    """`first and others[0]() and ...`, of a condition: whether it holds."""
    return choose(first, lambda: all_of(others[0](), *others[1:]), lambda: False) if others else _held(first)


def any_of(first: Any, *others: Callable[[], Any]) -> Any:
    """`first or others[0]() or ...`, of a condition."""
    return choose(first, lambda: True, lambda: any_of(others[0](), *others[1:])) if others else _held(first)


def _held(value: Any) -> Any:
    chosen = truth(value)
    return chosen if isinstance(chosen, bool) else Number(chosen, bool)


def and_(first: Any, *others: Callable[[], Any]) -> Any:
    """`first and others[0]() and ...`."""
    return choose(first, lambda: and_(others[0](), *others[1:]), lambda: first) if others else first


def or_(first: Any, *others: Callable[[], Any]) -> Any:
    """`first or others[0]() or ...`."""
    return choose(first, lambda: _there(first), lambda: or_(others[0](), *others[1:])) if others else first


def _there(value: Any) -> Any:
    """Where it holds it is not None."""
    return value.value if may_be_none(value) else value


def compare(left: Any, *pairs: Any) -> Any:
    """`left < a() < b()`: pairs of an operator's name and a function."""
    name, other = pairs[0], pairs[1]()
    result = COMPARED[name](left, other)
    return result if len(pairs) == 2 else and_(result, lambda: compare(other, *pairs[2:]))


# -- writing

_AUGMENTED: dict[str, Callable] = {
    "Add": operator.iadd,
    "Sub": operator.isub,
    "Mult": operator.imul,
    "Div": operator.itruediv,
    "FloorDiv": operator.ifloordiv,
    "Mod": operator.imod,
    "Pow": operator.ipow,
    "MatMult": operator.imatmul,
    "BitAnd": operator.iand,
    "BitOr": operator.ior,
    "BitXor": operator.ixor,
    "LShift": operator.ilshift,
    "RShift": operator.irshift,
}


def augment(op: str, target: Any, value: Any) -> Any:
    """`target op= value`: the new value, which is the old object where it can be written in place."""
    refuse_writing(target)
    if isinstance(target, (list, dict, set, deque)):
        changing(target)
        value = listed(value) if isinstance(target, list) and op == "Add" else value
    done = in_place(op, target, value)
    return _AUGMENTED[op](target, value) if done is NotImplemented else done


def assign_item(value: Any, target: Any, index: Any) -> None:
    """`target[index] = value`, in Python's order: the value comes first."""
    holds = isinstance(target, (list, dict, deque)) or own_method(target, "__setitem__") is not None
    store(target, index, value if holds else settled_parts(value))


def assign_attribute(value: Any, owner: Any, name: str) -> None:
    set_attribute(owner, name, value)


def item_place(target: Any, index: Any) -> tuple:
    """What `target[index] += ...` adds to is read before what is added."""
    return target, index, item(target, index)


def attribute_place(owner: Any, name: str) -> tuple:
    return owner, name, attribute(owner, name)


def augment_item(op: str, place: tuple, value: Any) -> None:
    target, index, old = place
    new = _OPERATED[op](old, value) if isinstance(target, (Array, Masked)) else augment(op, old, value)
    if new is not old or own_method(target, "__setitem__"):
        store(target, index, new)


_OPERATED = {
    name: getattr(operator, f.__name__.replace("i", "", 1) + ("_" if name in ("BitAnd", "BitOr") else ""))
    for name, f in _AUGMENTED.items()
}


def augment_attribute(op: str, place: tuple, value: Any) -> None:
    owner, name, old = place
    new = augment(op, old, value)
    if new is not old or setter(owner, name):  # else it was written in place
        set_attribute(owner, name, new)


def append(target: Any, value: Any) -> Any:
    """`target.append(value)`."""
    target = settle(target)
    if isinstance(target, list):
        changing(target)
        if id(target) not in session().broken:
            target.append(value)
        return None
    return call(target.append, value)


def delete(target: Any, index: Any) -> None:
    """`del target[index]`."""
    if isinstance(target, (list, dict, deque)):
        changing(target)
    if (method := own_method(target, "__delitem__")) is not None:
        call(method, target, index)
    else:
        del target[index]


def rebinding(name: str, get: Callable, set_: Callable) -> None:
    """A function inside is about to give a name of the function around a new value."""
    session().record(Variable(name, get, set_), 0)


def fresh(container: Any) -> Any:
    """A list, a dict or a set that the program has just made."""
    return session().born(container)


def iterate(iterable: Any, unpacked: bool) -> Any:
    """For a comprehension: items that are known, one by one. `unpacked`: are they?"""
    items = listed(iterable) if items_of(iterable) is not None else iterable
    return map(settle, items) if unpacked else items


# -- text


def joined(*parts: Any) -> Any:
    """An f-string."""
    return _text.joined(*map(_written, parts))


def _written(part: Any) -> Any:
    """Of a text: what an object's `__str__` reads is settled, too."""
    return settled_within(settled_parts(part))


def percent(left: Any, right: Any) -> Any:
    """`left % right`, which may be a text."""
    return _text.percent(left, _written(right))


# -- errors


def assert_(test: Any, message: Callable[[], Any] | None) -> None:
    """`assert test, message()`."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        if not chosen:
            raise raised(AssertionError(*([message()] if message else [])))
        return
    text = f": {_text.message(message())}" if message else ""
    session().check(~chosen, f"an assertion does not hold{text}", line())


def raised(error: Any) -> BaseException:
    """What `raise error` raises: in a branch that the arguments decide on, a note for whoever traces it."""
    if isinstance(error, type):
        error = error()
    return RaisedError(error, line()) if session().staged else error


@contextlib.contextmanager
def trying(*kinds: Any):
    """The body of a `try` with handlers: an error that depends on values cannot be caught there."""
    flat = [k for kind in kinds for k in (kind if isinstance(kind, tuple) else (kind,))]
    matters = any(issubclass(e, k) or issubclass(k, e) for k in flat for e in _ARITHMETIC)
    now = session()
    now.guarded += matters
    try:
        yield
    finally:
        now.guarded -= matters


_ARITHMETIC = (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError, AssertionError)


passing = (SpanaxError, RaisedError)  # no handler of the program's catches these


def _ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    return ufuncs.apply(ufunc, method, settled_parts(inputs), settled_parts(kwargs))


def _function(function: Callable, args: tuple, kwargs: dict) -> Any:
    return functions.apply(function, settled_parts(args), settled_parts(kwargs))


class Rules:
    """What values ask for: see `_session.Rules`."""

    ufunc = staticmethod(_ufunc)
    function = staticmethod(_function)
    item = staticmethod(_indexing.item)
    store = staticmethod(_indexing.store)
    method = staticmethod(methods.method)
    call = staticmethod(calls.call)
    called = staticmethod(calls.called)
    attribute = staticmethod(attribute_passed)
    source = staticmethod(calls.source)
    hooks = sys.modules[__name__]
