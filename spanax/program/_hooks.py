"""What the hooks in a rewritten function do: `_sx_.call(f, x)` and the like."""

from __future__ import annotations

import builtins
import contextlib
import dataclasses
import functools
import operator
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from . import _calls, _indexing, _methods, _text, _trees, _ufuncs, control_flow, loops, numpy_calls
from ._builtins import listed
from ._cells import Variable, changing, set_attribute, usable
from ._iterables import Items, items_of
from ._masked import Masked
from ._protocols import (
    binary as binary,
    compared as compared,
    in_place,
    managed as managed,
    own_method,
    read_property,
    setter,
    unary as unary,
)
from ._session import RaisedError, line, session, unliftable
from ._structure import Partial, Undefined, Unusable, settled
from ._values import Array, Number, Value, as_jax, is_unknown
from .control_flow import truth

if_, choose, while_, for_ = control_flow.if_, control_flow.choose, loops.while_, loops.for_
call, store = _calls.call, _indexing.store
joined, percent = _text.joined, _text.percent
slice = builtins.slice
_UNSETTLED = (Undefined, Unusable, Partial)


def ld(value: Any) -> Any:
    """A name that is read."""
    if isinstance(value, _UNSETTLED):
        return settled(value, line)
    if isinstance(value, (list, dict, set, deque)):
        session().reads(value)
        usable(value)
    elif isinstance(value, np.ndarray):
        return _adopted(value)
    return value


def _adopted(array: np.ndarray) -> Any:
    """What stands for an array of the world outside: the program may write it, and the world does not see it."""
    if array.dtype.kind not in "biufc":
        return array
    adopted = session().adopted
    if id(array) not in adopted:
        stand_in = Array(array.view())  # another object than the array of the world
        stand_in.born = 0
        adopted[id(array)] = array, stand_in
    return adopted[id(array)][1]


def attribute(owner: Any, name: str, *default: Any) -> Any:
    """`owner.name`."""
    return ld(attribute_unread(owner, name, *default))


def attribute_unread(owner: Any, name: str, *default: Any) -> Any:
    if isinstance(owner, _text.Text):
        _text.refuse_number(owner)
    owner = settled(owner, line) if isinstance(owner, _UNSETTLED) else owner
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
    if isinstance(target, Masked):
        return target[index]
    if isinstance(target, Items):
        return target.known(index)
    return _indexing.item(target, index)


def result(value: Any, returned: Any) -> Any:
    """What a function returns that may end early, or without a value."""
    if isinstance(value, Undefined):
        return None
    return dataclasses.replace(value, absent=None) if isinstance(value, Partial) else ld(value)


def returned(value: Any) -> Any:
    """The program's result, once each part of it has a value."""
    value = ld(value)
    if isinstance(value, _text.Text):
        _text.refuse_number(value)
    if isinstance(value, Masked):
        return value[0]
    if isinstance(value, Items):
        return [returned(part) for part in value]
    if isinstance(value, (list, tuple)):
        parts = [returned(part) for part in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return {key: returned(part) for key, part in value.items()} if isinstance(value, dict) else value


# -- truth


def is_none(value: Any) -> Any:
    """`value is None`, of a name that may be None as the arguments decide."""
    if isinstance(value, Partial) and value.absent is None:
        return Number(~as_jax(value.defined), bool)
    return ld(value) is None


def not_(value: Any) -> Any:
    chosen = truth(value)
    return not chosen if isinstance(chosen, bool) else Number(~chosen, bool)


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
    return choose(first, lambda: first, lambda: or_(others[0](), *others[1:])) if others else first


_COMPARED: dict[str, Callable] = {
    **{name: functools.partial(compared, name) for name in ("Eq", "NotEq", "Lt", "LtE", "Gt", "GtE")},
    "Is": operator.is_,
    "IsNot": operator.is_not,
    "In": lambda x, container: _contains(container, x),
    "NotIn": lambda x, container: not_(_contains(container, x)),
}


def compare(left: Any, *pairs: Any) -> Any:
    """`left < a() < b()`: pairs of an operator's name and a function."""
    name, other = pairs[0], pairs[1]()
    result = _COMPARED[name](left, other)
    return result if len(pairs) == 2 else and_(result, lambda: compare(other, *pairs[2:]))


def _contains(container: Any, x: Any) -> Any:
    if isinstance(container, Value):
        return (container == x).any()
    if (method := own_method(container, "__contains__")) is not None:
        return call(method, container, x)
    if is_unknown(x) or _trees.has_unknown(container if isinstance(container, (list, tuple)) else ()):
        if isinstance(container, (list, tuple, range)):
            values = [as_jax(x) == as_jax(v) for v in container]
            return Number(jnp.any(jnp.stack(values)), bool) if values else False
        raise unliftable(
            f"a value that depends on the arguments is looked for in a {type(container).__name__}", "an array"
        )
    return x in container


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
    if isinstance(target, (list, dict, set, deque)):
        changing(target)
        value = listed(value) if isinstance(target, list) and op == "Add" else value
    done = in_place(op, target, value)
    return _AUGMENTED[op](target, value) if done is NotImplemented else done


def assign_item(value: Any, target: Any, index: Any) -> None:
    """`target[index] = value`, in Python's order: the value comes first."""
    store(target, index, value)


def assign_attribute(value: Any, owner: Any, name: str) -> None:
    set_attribute(owner, name, value)


def item_place(target: Any, index: Any) -> tuple:
    """What `target[index] += ...` adds to is read before what is added."""
    return target, index, item(target, index)


def attribute_place(owner: Any, name: str) -> tuple:
    return owner, name, attribute(owner, name)


def augment_item(op: str, place: tuple, value: Any) -> None:
    target, index, old = place
    new = _OPERATED[op](old, value) if isinstance(target, Array) else augment(op, old, value)
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
    target = settled(target, line) if isinstance(target, _UNSETTLED) else target
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


def iterate(iterable: Any) -> Any:
    """For a comprehension: items that are known, one by one."""
    return listed(iterable) if items_of(iterable) is not None else iterable


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


class Rules:
    """What values ask for: see `_session.Rules`."""

    ufunc = staticmethod(_ufuncs.apply)
    function = staticmethod(numpy_calls.apply)
    item = staticmethod(_indexing.item)
    store = staticmethod(_indexing.store)
    method = staticmethod(_methods.method)
    call = staticmethod(_calls.call)
    attribute = staticmethod(attribute)
    source = staticmethod(_calls.source)
    hooks = sys.modules[__name__]
