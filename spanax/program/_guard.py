"""What a program reads beside its arguments: globals, closures, attributes. If it changes, the program is traced again.

A compiled program has their values in it. Python's functions see changes of them at the next call, and so must a gradient: a
stale one would be wrong without a sign. So each call compares the state with that of the tracing.
"""

from __future__ import annotations

import functools
import types
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import jax
import numpy as np

from .._jaxprs import is_traced

_PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
_LIBRARIES = ("numpy", "scipy", "jax", "jaxlib", "math", "builtins")
_DEPTH = 200  # of objects that hold objects: what is deeper is not told apart from what has changed


class UnknownStateError(Exception):
    """The state cannot be compared."""


def state_of(functions: Iterable[types.FunctionType], objects: Iterable[Any] = (), *, keep: bool = False) -> list:
    """A list that stays equal as long as what the functions read stays the same: globals, closures, defaults, attributes
    of modules and classes that they name, and the given objects. `keep`: copies arrays, to be compared with later."""
    # Attributes by name, whatever object they are of: which object an expression gives is not known without running it.
    functions = list(functions)
    names = {name for function in functions for name in _names(function.__code__)}
    reader = _Reader(names, keep)
    for function in functions:
        scope = function.__globals__
        reader.read_all(scope[n] for n in _names(function.__code__) if n in scope)
        reader.read_all(map(_contents, function.__closure__ or ()))
        reader.read_all((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()))
    reader.read_all(objects)
    return reader.state


_NAMES: dict[types.CodeType, tuple[str, ...]] = {}


def _names(code: types.CodeType) -> tuple[str, ...]:
    """The names of globals and attributes that the code mentions, also in functions inside it."""
    # Kept for each code object, since each call asks, and code does not change.
    if code not in _NAMES:
        inside = [n for c in code.co_consts if isinstance(c, types.CodeType) for n in _names(c)]
        _NAMES[code] = tuple(dict.fromkeys([*code.co_names, *inside]))
    return _NAMES[code]


def _contents(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # empty
        return None


class _Reader:
    def __init__(self, names: set[str], keep: bool):
        self.names, self.keep = names, keep
        self.state: list = []
        self.seen: set[int] = set()

    def read_all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.read(value, _DEPTH)

    def read(self, x: Any, depth: int) -> None:
        if isinstance(x, _PLAIN):
            # With its type, as 1 == 1.0 == True; and NaN, which is not equal to itself, as a word.
            self.state.append((type(x), x if x == x else "nan"))
        elif isinstance(x, np.ndarray):
            self.state.append(_Contents(x, self.keep))
        elif is_traced(x):  # it belongs to a program around, and says nothing about the next call
            raise UnknownStateError
        else:
            self.state.append(_Same(x))
            # Each object once: structures may hold themselves.
            if id(x) not in self.seen:
                self.seen.add(id(x))
                if not depth:
                    raise UnknownStateError
                for part in self.parts(x):
                    self.read(part, depth - 1)

    def members(self, x: Any) -> Iterable[Any]:
        """What a module or a class holds under the names that the functions mention: all that it holds would be too much."""
        owners = x.__mro__ if isinstance(x, type) else (x,)
        return [vars(o)[n] for o in owners if not _is_library(o) for n in sorted(self.names & vars(o).keys())]

    def parts(self, x: Any) -> Iterable[Any]:
        """What an object holds, as far as a program may read it."""
        for kinds, parts in _PARTS:
            if isinstance(x, kinds):
                return parts(x)
        if _is_library(x):
            return []
        if isinstance(x, (types.ModuleType, type)):
            return self.members(x)
        slots = [getattr(x, n, None) for kind in type(x).__mro__ for n in _slots(kind)]
        return [*getattr(x, "__dict__", {}).values(), *slots, type(x)]


# The lengths come first, so that two sequences of which one continues the other are told apart. What a function reads is
# found by its code (`state_of`), and arrays of JAX's never change: neither has parts here.
_PARTS: tuple[tuple[Any, Callable[[Any], Iterable[Any]]], ...] = (
    ((list, tuple, set, frozenset, deque), lambda x: [len(x), *x]),
    (dict, lambda x: [len(x), *x.keys(), *x.values()]),
    (types.MethodType, lambda x: [x.__func__, x.__self__]),
    (functools.partial, lambda x: [x.func, *x.args, *x.keywords.values()]),
    ((types.FunctionType, types.BuiltinFunctionType, jax.Array), lambda x: []),
)


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_library(x: Any) -> bool:
    # Libraries do not change while a program runs, and hold too much to look through at each call.
    owner = (
        x.__name__ if isinstance(x, types.ModuleType) else x.__module__ if isinstance(x, type) else type(x).__module__
    )
    return str(owner).partition(".")[0] in _LIBRARIES


class _Same:
    """Equal to another of the same object, which it keeps alive."""

    def __init__(self, x: Any):
        self.x = x

    def __eq__(self, other):
        return isinstance(other, _Same) and self.x is other.x

    __hash__ = object.__hash__


class _Contents:
    """Equal to another of an array with the same contents."""

    def __init__(self, array: np.ndarray, keep: bool):
        # The tracing keeps a copy to compare with; each later call only looks at the array as it is.
        self.array = array.copy() if keep else array

    def __eq__(self, other):
        same_form = isinstance(other, _Contents) and self.array.dtype == other.array.dtype
        return (
            same_form
            and self.array.shape == other.array.shape
            and np.array_equal(self.array, other.array, equal_nan=self.array.dtype.kind in "fc")
        )

    __hash__ = object.__hash__
