"""The hooks that a rewritten function calls: `_sx_.call(f, x)` and the like.

Names, attributes and items may be None, or have no value, on some branches of the program (`Unsettled`). Expressions that compute
with a value settle it first (`ld`, `call`, `item`). Those that only pass it on do not (`pass_on`, `call_unread`, `item_unread`),
so that a function may return early or without a value, as long as its caller tests the result before it uses it.
"""

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
    COMPARISONS,
    compare_pair as compare_pair,
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
from .._values.cells import Variable, check_usable, note_write, possible_aliases, read, set_attribute
from .._values.constants import refuse_writing
from .._values.matrices import Matrix
from .._values.protocols import (
    binary as binary,
    in_place,
    manage_context as manage_context,
    own_method,
    read_property,
    setter,
    unary as unary,
)
from .._values.settling import settle as settle, settle_parts, settle_within
from .._values.unsettled import Partial, Undefined as Undefined, Unsettled, may_be_none
from .._values.values import Composite, LiftedArray, Number
from . import calls, libraries
from .numbers import list_items

if_, choose, while_, for_ = conditionals.if_, conditionals.choose, loops.while_, loops.for_
call, call_unread, store = calls.call, calls.call_unread, _indexing.store
slice = builtins.slice


def ld(value: Any) -> Any:
    """A name that is read."""
    value = settle(value)
    return Poly1d(value) if isinstance(value, np.poly1d) else read(value)


def pass_on(value: Any) -> Any:
    """A name that is only passed on, to another name, a container or a function: it may be None on some branches."""
    return value if may_be_none(value) else ld(value)


# The code of the frames from which hooks call lifted functions.
_CALLERS = {calls.program_function.__code__, calls.start.__code__}


def hand_back(value: Any) -> Any:
    """What a function returns: None on some branches only if its caller is lifted, and settles it."""
    return _to_caller(value, sys._getframe(1))


def _to_caller(value: Any, frame: Any) -> Any:
    """The value for a caller that may not be lifted. `frame`: that of the function."""
    # Hooks settle a value when it is used. Python's own code (`sorted`, a generator) does not, and only the stack shows which of
    # them is the caller.
    looks = frame.f_back is not None and frame.f_back.f_code in _CALLERS
    return value if looks or not isinstance(value, Unsettled) else settle(value)


def attribute(owner: Any, name: str, *default: Any) -> Any:
    """`owner.name`."""
    return ld(attribute_unread(owner, name, *default))


def attribute_passed(owner: Any, name: str, *default: Any) -> Any:
    return pass_on(attribute_unread(owner, name, *default))


def attribute_unread(owner: Any, name: str, *default: Any) -> Any:
    if isinstance(owner, _text.Text):
        _text.refuse_number(owner)
    owner = settle(owner)
    # The object is a merged copy, whose dictionary is not that of any of the objects it stands for.
    if name == "__dict__" and possible_aliases(owner):
        raise unliftable(
            "the attributes of an object are read as a dictionary, and which object it is depends on the arguments",
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
    """`target[index]`, which may be None on some branches."""
    # x[-1] reads only the end of a list: a loop that appends to it need not carry all of it.
    if type(target) is list and type(index) is int and -len(target) <= index < 0:
        session().reads_end(target, len(target) + index)
        check_usable(target)
        return target[index]
    target = ld(target)
    if isinstance(target, Items):
        return target.item_at(index)
    return _indexing.item(target, index)


def result(value: Any, returned: Any, always: bool) -> Any:
    """What a function returns that has several `return`s. `always`: does each path through it end in `return`?"""
    if isinstance(value, Undefined):
        return None
    # If each path returns, the value is assigned whatever its traced condition says.
    if isinstance(value, Partial):
        value = value.value if always and value.absent is not None else value.or_none()
    return _to_caller(value if may_be_none(value) else ld(value), sys._getframe(1))


def final_result(value: Any) -> Any:
    """The program's result, each part of which must have a value."""
    value = ld(value)
    if isinstance(value, _text.Text):
        _text.refuse_number(value)
    if isinstance(value, Matrix):
        return value.A
    if isinstance(value, Composite):
        raise value.refusal()
    if isinstance(value, Items):
        return list(map(final_result, value))
    if isinstance(value, (list, tuple)):
        parts = list(map(final_result, value))
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)  # a named tuple
    return {key: final_result(part) for key, part in value.items()} if isinstance(value, dict) else value


# -- truth
#
# `a and b` has two forms: in a condition only its truth matters (all_of, any_of); elsewhere its value is one of the operands.


def all_of(first: Any, *others: Callable[[], Any]) -> Any:
    """`first and others[0]() and ...` as a condition: a bool."""
    return choose(first, lambda: all_of(others[0](), *others[1:]), lambda: False) if others else _truth_value(first)


def any_of(first: Any, *others: Callable[[], Any]) -> Any:
    """`first or others[0]() or ...` as a condition: a bool."""
    return choose(first, lambda: True, lambda: any_of(others[0](), *others[1:])) if others else _truth_value(first)


def _truth_value(value: Any) -> Any:
    chosen = truth(value)
    return chosen if isinstance(chosen, bool) else Number(chosen, bool)


def and_(first: Any, *others: Callable[[], Any]) -> Any:
    """`first and others[0]() and ...`."""
    return choose(first, lambda: and_(others[0](), *others[1:]), lambda: first) if others else first


def or_(first: Any, *others: Callable[[], Any]) -> Any:
    """`first or others[0]() or ...`."""
    return choose(first, lambda: _there(first), lambda: or_(others[0](), *others[1:])) if others else first


def _there(value: Any) -> Any:
    """The value of an operand that is true, and so is not None."""
    return value.value if may_be_none(value) else value


def compare(left: Any, *pairs: Any) -> Any:
    """`left < a() < b()`: pairs of an operator's name and a function."""
    name, other = pairs[0], pairs[1]()  # evaluated once, although it stands in two comparisons
    result = COMPARISONS[name](left, other)
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
    """`target op= value`. Returns the new value, which is the old object if that can be written in place."""
    refuse_writing(target)
    if isinstance(target, (list, dict, set, deque)):
        note_write(target)
        # `list += iterable` takes any iterable, including stacked items, which only `list_items` knows.
        value = list_items(value) if isinstance(target, list) and op == "Add" else value
    new = in_place(op, target, value)
    return _AUGMENTED[op](target, value) if new is NotImplemented else new


def assign_item(value: Any, target: Any, index: Any) -> None:
    """`target[index] = value`, in Python's order of evaluation: the value comes first."""
    # A container may store what is None on some branches; an array needs a value.
    holds = isinstance(target, (list, dict, deque)) or own_method(target, "__setitem__") is not None
    store(target, index, value if holds else settle_parts(value))


def assign_attribute(value: Any, owner: Any, name: str) -> None:
    set_attribute(owner, name, value)


def item_place(target: Any, index: Any) -> tuple:
    """Reads the item of `target[index] += value`, before Python evaluates the value."""
    return target, index, item(target, index)


def attribute_place(owner: Any, name: str) -> tuple:
    return owner, name, attribute(owner, name)


def augment_item(op: str, place: tuple, value: Any) -> None:
    target, index, old = place
    # A row of an array is a view: `augment` would write it in place, and the store would write it again.
    new = _OPERATED[op](old, value) if isinstance(target, (LiftedArray, Masked)) else augment(op, old, value)
    if new is not old or own_method(target, "__setitem__"):
        store(target, index, new)


# The operators that return a new value: operator.iadd -> operator.add. `and` and `or` are keywords, hence `and_` and `or_`.
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
    """`target.append(value)`, by a shortcut, as it is the most common call of a method."""
    target = settle(target)
    if isinstance(target, list):
        note_write(target)
        # A list whose structure differs between branches is unusable. Reading it raises; appending to it is allowed.
        if id(target) not in session().broken:
            target.append(value)
        return None
    return call(target.append, value)


def delete(target: Any, index: Any) -> None:
    """`del target[index]`."""
    if isinstance(target, (list, dict, deque)):
        note_write(target)
    if (method := own_method(target, "__delitem__")) is not None:
        call(method, target, index)
    else:
        del target[index]


def rebind(name: str, get: Callable, set_: Callable) -> None:
    """Records that an inner function is about to assign to a name of the enclosing one."""
    session().record(Variable(name, get, set_), 0)


def fresh(container: Any) -> Any:
    """A list, a dict or a set that the program has just made."""
    return session().note_new(container)


def iterate(iterable: Any, unpacked: bool) -> Any:
    """The items for a comprehension, which Python runs. `unpacked`: does its target unpack them?"""
    items = list_items(iterable) if items_of(iterable) is not None else iterable
    return map(settle, items) if unpacked else items


# -- text


def format_fstring(*parts: Any) -> Any:
    """An f-string."""
    return _text.format_fstring(*map(_as_text, parts))


def _as_text(part: Any) -> Any:
    """A part of a text, settled with all that an object's `__str__` may read."""
    return settle_within(settle_parts(part))


def percent(left: Any, right: Any) -> Any:
    """`left % right`, which may be a text."""
    return _text.percent(left, _as_text(right))


# -- errors


def assert_(test: Any, message: Callable[[], Any] | None) -> None:
    """`assert test, message()`."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        # Python evaluates the message only if the assertion fails.
        if not chosen:
            raise error_to_raise(AssertionError(*([message()] if message else [])))
        return
    text = f": {_text.message(message())}" if message else ""
    session().check(~chosen, f"an assertion does not hold{text}", line())


def error_to_raise(error: Any) -> BaseException:
    """The exception of `raise error`. In a traced branch it is wrapped, and becomes a check when the program runs."""
    if isinstance(error, type):
        error = error()
    return RaisedError(error, line()) if session().staged else error


@contextlib.contextmanager
def try_block(*kinds: Any):
    """The body of a `try` with handlers. Errors that depend on values cannot be caught."""
    # Arithmetic raises these depending on values. Whether it does is known only when the program runs, too late for a handler.
    flat = [k for kind in kinds for k in (kind if isinstance(kind, tuple) else (kind,))]
    matters = any(issubclass(e, k) or issubclass(k, e) for k in flat for e in _ARITHMETIC)
    now = session()
    now.guarded += matters
    try:
        yield
    finally:
        now.guarded -= matters


_ARITHMETIC = (ArithmeticError, ValueError, IndexError, np.linalg.LinAlgError, AssertionError)


# These are not errors of the program, and its `except Exception` must not hide them.
passing = (SpanaxError, RaisedError)


def _ufunc(ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
    return ufuncs.apply(ufunc, method, settle_parts(inputs), settle_parts(kwargs))


def _function(function: Callable, args: tuple, kwargs: dict) -> Any:
    return functions.apply(function, settle_parts(args), settle_parts(kwargs))


class LiftRules:
    """The rules that values of the program use: see `_session.Rules`."""

    ufunc = staticmethod(_ufunc)
    function = staticmethod(_function)
    item = staticmethod(_indexing.item)
    store = staticmethod(_indexing.store)
    method = staticmethod(methods.method)
    call = staticmethod(calls.call)
    call_unread = staticmethod(calls.call_unread)
    attribute = staticmethod(attribute_passed)
    source = staticmethod(libraries.source)
    hooks = sys.modules[__name__]
