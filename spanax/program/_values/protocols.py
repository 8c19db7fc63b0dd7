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
from .values import SCALARS, Composite, LiftedArray, Value

# Operands whose operators Python or `Value` knows: the common case, which is asked first.
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
_COMPARISONS: dict[str, tuple[Callable, str, str]] = {
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
    """The method of x's class, if it is written in Python and has a source text: those that dataclasses write have none."""
    # Python's and the libraries' own classes have methods in C, or in Python that must see values as they are.
    module = type(x).__module__
    if isinstance(x, _PLAIN) and module == "builtins":
        return None
    if module.partition(".")[0] in _NATIVE and not module.startswith("numpy.polynomial."):
        return None
    method = getattr(type(x), name, None)
    return (
        method if isinstance(method, types.FunctionType) and not method.__code__.co_filename.startswith("<") else None
    )


def binary(op: str, left: Any, right: Any) -> Any:
    """`left op right`."""
    function, name, _ = _BINARY[op]
    return _either(function, f"__{name}__", f"__r{name}__", left, right)


def compare_operands(op: str, left: Any, right: Any) -> Any:
    """`left op right`, for a comparison operator."""
    return _either(*_COMPARISONS[op], left, right)


def unary(op: str, operand: Any) -> Any:
    function, name = _UNARY[op]
    method = own_method(operand, name)
    return function(operand) if method is None else _call(method, operand)


def in_place(op: str, target: Any, value: Any) -> Any:
    """`target op= value`, where the target's class is the program's; NotImplemented elsewhere."""
    # `x += y` is x's own method where it has one, and `x = x + y` where it has none, as in Python.
    name = f"__{_BINARY[op][2]}__"
    if (method := own_method(target, name)) is not None:
        return _call(method, target, value)
    is_ours = isinstance(target, Composite) and hasattr(target, name)
    if is_ours or (isinstance(target, _PLAIN) and isinstance(value, _PLAIN)):
        return NotImplemented
    return binary(op, target, value)


def _either(function: Callable, forward: str, backward: str, left: Any, right: Any) -> Any:
    """Asks the method of one operand, then of the other, in Python's order."""
    if isinstance(left, _PLAIN) and isinstance(right, _PLAIN):
        return function(left, right)
    operands = [(left, forward, right), (right, backward, left)]
    if _goes_first(right, left):
        operands.reverse()
    if not any(own_method(x, name) for x, name, _ in operands):
        return function(left, right)
    for x, name, other in operands:
        method = own_method(x, name) or getattr(type(x), name, None)
        result = NotImplemented if method is None else _call(method, x, other)
        if result is not NotImplemented:
            return result
    return function(left, right)  # the error, or the comparison by identity


def _goes_first(right: Any, left: Any) -> bool:
    """Is the right operand's method asked first? It is if its class is a subclass of the left one's."""
    return type(right) is not type(left) and issubclass(type(right), type(left))


def read_property(owner: Any, name: str) -> Callable[[], Any] | None:
    """How to compute the attribute, if it is a property written in Python of the owner's class."""
    if isinstance(owner, (*_PLAIN, types.ModuleType, type)) or type(owner).__module__.partition(".")[0] in _NATIVE:
        return None
    # Looked up in the class: `getattr` of the object would run the property, unlifted.
    descriptor = getattr(type(owner), name, None)
    if isinstance(descriptor, property) and isinstance(descriptor.fget, types.FunctionType):
        return functools.partial(session().rules.call_unread, descriptor.fget, owner)
    if isinstance(descriptor, functools.cached_property) and name not in vars(owner):
        return functools.partial(session().rules.call_unread, descriptor.func, owner)
    return None


def setter(owner: Any, name: str) -> Callable | None:
    """What sets the attribute, if the owner's class says how."""
    descriptor = getattr(type(owner), name, None)
    if isinstance(descriptor, property) and isinstance(descriptor.fset, types.FunctionType):
        return functools.partial(_call, descriptor.fset, owner)
    method = own_method(owner, "__setattr__")
    return functools.partial(_call, method, owner, name) if method is not None else None


def _call(method: Callable, *args: Any, **kwargs: Any) -> Any:
    return session().rules.call(method, *args, **kwargs)


def deep_copy(x: Any, memo: dict | None = None) -> Any:
    """`copy.deepcopy`, with arrays as the program has written them."""
    # An array of the world that the program has written is copied as it is now: by the memo, `deepcopy` takes it for copied.
    written = {id(array): LiftedArray(stand_in.data) for array, stand_in in session().adopted.values()}
    return session().note_new(copy.deepcopy(x, written | (memo or {})))


def replace_fields(old: Any, /, **changes: Any) -> Any:
    """`dataclasses.replace`."""
    fields = {f.name: getattr(old, f.name) for f in dataclasses.fields(old) if f.init}
    return _call(type(old), **(fields | changes))


class _Managed:
    """A context manager whose methods are lifted."""

    def __init__(self, manager: Any):
        self.manager = manager

    def __enter__(self) -> Any:
        return _call(self.manager.__enter__)

    def __exit__(self, *error: Any) -> Any:
        return _call(self.manager.__exit__, *error)


def manage_context(manager: Any) -> Any:
    """The context manager of a `with` statement."""
    return manager if own_method(manager, "__enter__") is None else _Managed(manager)


def make_dataclass(kind: type, args: tuple, kwargs: dict) -> Any:
    """An instance whose `__post_init__` is lifted; None if the class has none."""
    finish = getattr(kind, "__post_init__", None)
    if not dataclasses.is_dataclass(kind) or not isinstance(finish, types.FunctionType) or "__slots__" in vars(kind):
        return None
    # The `__init__` that dataclasses write has no text to lift, and calls `__post_init__` at its end. So it is run with
    # another one, which keeps what it is given (the `InitVar`s), and the class's own is called afterwards, lifted.
    init_vars: list = []
    quiet = type(kind.__name__, (kind,), {"__post_init__": lambda self, *values: init_vars.extend(values)})
    instance = quiet(*args, **kwargs)
    object.__setattr__(instance, "__class__", kind)
    session().note_new(instance)
    _call(finish, instance, *init_vars)
    return instance
