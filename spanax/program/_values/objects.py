"""Objects of the program's own classes: their attributes, and new ones with given attributes."""

from __future__ import annotations

import enum
import types
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any

from .._session import MISSING
from .unsettled import Unsettled
from .values import Value

# Objects of these libraries have parts that are not attributes, or rules of their own for them.
_NATIVE = frozenset(
    "numpy scipy jax jaxlib equinox optax numpyro spanax pandas torch fractions decimal datetime".split()
)
VIEWS = (type({}.values()), type({}.items()))
_KINDS = (Value, Unsettled, type, types.ModuleType, BaseException, enum.Enum, tuple, list, dict, set, deque)


def is_plain_object(x: Any) -> bool:
    """Is it an instance of a class written in Python, whose whole state is its attributes?"""
    kind = type(x)
    if isinstance(x, _KINDS) or not (hasattr(x, "__dict__") or _slots(kind)):
        return False
    if kind is types.SimpleNamespace:
        return True
    # A class that makes its instances in `__new__` may hand out the same one twice, and an extension type has hidden parts.
    native = any(base.__module__.partition(".")[0] in _NATIVE for base in kind.__mro__)
    return not native and kind.__new__ is object.__new__ and bool(kind.__flags__ & _OF_PYTHON)


_OF_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a `class` statement


def attributes(x: Any) -> dict[str, Any]:
    """The object's own attributes, in `__dict__` and in slots."""
    # A slot may be empty, which `hasattr` and an error would tell, and a default of None would not.
    slots = {name: getattr(x, name, MISSING) for name in _slots(type(x))}
    return {**{name: value for name, value in slots.items() if value is not MISSING}, **getattr(x, "__dict__", {})}


def _slots(kind: type) -> list[str]:
    """The names of the slots, as attributes."""
    accessors = []
    for owner in kind.__mro__:
        names = vars(owner).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            private = name.startswith("__") and not name.endswith("__")
            accessors.append(f"_{owner.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in accessors if name not in ("__dict__", "__weakref__")]


def make_object(kind: Any, parts: dict[str, Any]) -> Any:
    # Without `__init__`, which would compute the attributes anew; past `__setattr__`, as frozen dataclasses forbid it.
    new = kind.__new__(kind)
    for name, value in parts.items():
        object.__setattr__(new, name, value)
    return new


def walk_parts(x: Any, *, objects: bool) -> Iterator[Any]:
    """x and everything that it holds, each once: in containers and, with `objects`, in attributes."""
    left, seen = [x], set()  # a list instead of recursion: linked lists are deeper than Python's stack
    while left:
        part = left.pop()
        inner = _inside(part, objects)
        if inner:
            if id(part) in seen:
                continue
            seen.add(id(part))
            left += inner
        yield part


def _inside(x: Any, objects: bool) -> Collection[Any]:
    if isinstance(x, dict):
        return x.values()
    if isinstance(x, (list, tuple, deque, *VIEWS)):
        return x
    if hasattr(type(x), "sources"):  # what a loop goes through
        return x.sources()
    return attributes(x).values() if objects and is_plain_object(x) else ()
