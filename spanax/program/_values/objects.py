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

_NATIVE = frozenset(
    "numpy scipy jax jaxlib equinox optax numpyro spanax pandas torch fractions decimal datetime".split()
)
VIEWS = (type({}.values()), type({}.items()))
_KINDS = (Value, Unsettled, type, types.ModuleType, BaseException, enum.Enum, tuple, list, dict, set, deque)


def is_plain_object(x: Any) -> bool:
    """Is it an instance of a class that is written in Python, which nothing but its attributes tells apart from others?"""
    kind = type(x)
    if isinstance(x, _KINDS) or not (hasattr(x, "__dict__") or _slots(kind)):
        return False
    if kind is types.SimpleNamespace:
        return True
    native = any(base.__module__.partition(".")[0] in _NATIVE for base in kind.__mro__)
    return not native and kind.__new__ is object.__new__ and bool(kind.__flags__ & _OF_PYTHON)


_OF_PYTHON = 1 << 9  # Py_TPFLAGS_HEAPTYPE: the class was made by a `class` statement


def attributes(x: Any) -> dict[str, Any]:
    """Its own, in `__dict__` and in slots."""
    slots = {name: getattr(x, name, MISSING) for name in _slots(type(x))}
    return {**{name: value for name, value in slots.items() if value is not MISSING}, **getattr(x, "__dict__", {})}


def _slots(kind: type) -> list[str]:
    """The names that give access to them."""
    found = []
    for owner in kind.__mro__:
        names = vars(owner).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            private = name.startswith("__") and not name.endswith("__")
            found.append(f"_{owner.__name__.lstrip('_')}{name}" if private else name)
    return [name for name in found if name not in ("__dict__", "__weakref__")]


def made_object(kind: Any, given: dict[str, Any]) -> Any:
    new = kind.__new__(kind)
    for name, value in given.items():
        object.__setattr__(new, name, value)
    return new


def held(x: Any, *, objects: bool) -> Iterator[Any]:
    """x and all that it holds, each once: in containers and, with `objects`, in attributes."""
    left, seen = [x], set()
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
