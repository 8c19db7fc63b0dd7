"""Methods that Python calls by itself, of the program's own classes: operators, items, properties. They are lifted, too."""

from __future__ import annotations

import copy
import dataclasses
import functools
import operator
import types
from collections.abc import Callable
from typing import Any

from .._session import session
from .values import SCALARS, Array, Composite, Value

_PLAIN = (Value, *SCALARS, str, list, tuple, dict, set, type(None))
_NATIVE = frozenset(
    "numpy scipy jax jaxlib equinox optax numpyro spanax pandas torch fractions decimal datetime".split()
)

# By the name in a syntax tree: the function, and the special methods of the left, the right and, in place, the left operand.
_BINARY: dict[str, tuple[Callable, str, str]] = {
    "Add": (operator.add, "add", "iadd"),
    "Sub": (operator.sub, "sub", "isub"),
    "Mult": (operator.mul, "mul", "imul"),
    "Div": (operator.truediv, "truediv", "itruediv"),
    "FloorDiv": (operator.floordiv, "floordiv", "ifloordiv"),
    "Mod": (operator.mod, "mod", "imod"),
    "Pow": (operator.pow, "pow", "ipow"),
    "MatMult": (operator.matmul, "matmul", "imatmul"),
    "BitAnd": (operator.and_, "and", "iand"),
    "BitOr": (operator.or_, "or", "ior"),
    "BitXor": (operator.xor, "xor", "ixor"),
    "LShift": (operator.lshift, "lshift", "ilshift"),
    "RShift": (operator.rshift, "rshift", "irshift"),
}
_COMPARED: dict[str, tuple[Callable, str, str]] = {
    "Eq": (operator.eq, "__eq__", "__eq__"),
    "NotEq": (operator.ne, "__ne__", "__ne__"),
    "Lt": (operator.lt, "__lt__", "__gt__"),
    "LtE": (operator.le, "__le__", "__ge__"),
    "Gt": (operator.gt, "__gt__", "__lt__"),
    "GtE": (operator.ge, "__ge__", "__le__"),
}
_UNARY: dict[str, tuple[Callable, str]] = {
    "USub": (operator.neg, "__neg__"),
    "UAdd": (operator.pos, "__pos__"),
    "Invert": (operator.invert, "__invert__"),
}


def own_method(x: Any, name: str) -> types.FunctionType | None:
    """That of x's class, where it is written in Python and has a text: those that dataclasses write have none."""
    module = type(x).__module__
    if isinstance(x, _PLAIN) and module == "builtins":
        return None
    if module.partition(".")[0] in _NATIVE and not module.startswith("numpy.polynomial."):
        return None
    found = getattr(type(x), name, None)
    return found if isinstance(found, types.FunctionType) and not found.__code__.co_filename.startswith("<") else None


def binary(op: str, left: Any, right: Any) -> Any:
    """`left op right`."""
    function, name, _ = _BINARY[op]
    return _either(function, f"__{name}__", f"__r{name}__", left, right)


def compared(op: str, left: Any, right: Any) -> Any:
    """`left op right`, of a comparison."""
    return _either(*_COMPARED[op], left, right)


def unary(op: str, operand: Any) -> Any:
    function, name = _UNARY[op]
    method = own_method(operand, name)
    return function(operand) if method is None else _call(method, operand)


def in_place(op: str, target: Any, value: Any) -> Any:
    """`target op= value`, where the target's class is the program's; NotImplemented elsewhere."""
    name = f"__{_BINARY[op][2]}__"
    if (method := own_method(target, name)) is not None:
        return _call(method, target, value)
    is_ours = isinstance(target, Composite) and hasattr(target, name)
    if is_ours or (isinstance(target, _PLAIN) and isinstance(value, _PLAIN)):
        return NotImplemented
    return binary(op, target, value)


def _either(function: Callable, forward: str, backward: str, left: Any, right: Any) -> Any:
    """By the method of one operand or the other, in Python's order."""
    if isinstance(left, _PLAIN) and isinstance(right, _PLAIN):
        return function(left, right)
    ways = [(left, forward, right), (right, backward, left)]
    if type(right) is not type(left) and issubclass(type(right), type(left)):
        ways.reverse()
    if not any(own_method(x, name) for x, name, _ in ways):
        return function(left, right)
    for x, name, other in ways:
        method = own_method(x, name) or getattr(type(x), name, None)
        result = NotImplemented if method is None else _call(method, x, other)
        if result is not NotImplemented:
            return result
    return function(left, right)  # the error, or the comparison by identity


def read_property(owner: Any, name: str) -> Callable[[], Any] | None:
    """How to compute it, where the attribute is a property of the owner's class that is written in Python."""
    if isinstance(owner, (*_PLAIN, types.ModuleType, type)) or type(owner).__module__.partition(".")[0] in _NATIVE:
        return None
    found = getattr(type(owner), name, None)
    if isinstance(found, property) and isinstance(found.fget, types.FunctionType):
        return functools.partial(session().rules.called, found.fget, owner)
    if isinstance(found, functools.cached_property) and name not in vars(owner):
        return functools.partial(session().rules.called, found.func, owner)
    return None


def setter(owner: Any, name: str) -> Callable | None:
    """What gives the attribute a value, where the owner's class says how."""
    found = getattr(type(owner), name, None)
    if isinstance(found, property) and isinstance(found.fset, types.FunctionType):
        return functools.partial(_call, found.fset, owner)
    method = own_method(owner, "__setattr__")
    return functools.partial(_call, method, owner, name) if method is not None else None


def _call(method: Callable, *args: Any, **kwargs: Any) -> Any:
    return session().rules.call(method, *args, **kwargs)


def deep_copy(x: Any, memo: dict | None = None) -> Any:
    """`copy.deepcopy`, of arrays as the program has written them."""
    adopted = session().adopted.values()
    return session().born(
        copy.deepcopy(x, {id(array): Array(stand_in.data) for array, stand_in in adopted} | (memo or {}))
    )


def replaced(old: Any, /, **changes: Any) -> Any:
    """`dataclasses.replace`."""
    given = {f.name: getattr(old, f.name) for f in dataclasses.fields(old) if f.init}
    return _call(type(old), **(given | changes))


class _Managed:
    """A context manager of the program's."""

    def __init__(self, manager: Any):
        self.manager = manager

    def __enter__(self) -> Any:
        return _call(self.manager.__enter__)

    def __exit__(self, *error: Any) -> Any:
        return _call(self.manager.__exit__, *error)


def managed(manager: Any) -> Any:
    """That of a `with` statement."""
    return manager if own_method(manager, "__enter__") is None else _Managed(manager)


def made_dataclass(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance whose `__post_init__` is lifted; None where it has none."""
    finish = getattr(kind, "__post_init__", None)
    if not dataclasses.is_dataclass(kind) or not isinstance(finish, types.FunctionType) or "__slots__" in vars(kind):
        return None
    given: list = []
    quiet = type(kind.__name__, (kind,), {"__post_init__": lambda self, *values: given.extend(values)})
    instance = quiet(*args, **kwargs)
    object.__setattr__(instance, "__class__", kind)
    session().born(instance)
    _call(finish, instance, *given)
    return instance
