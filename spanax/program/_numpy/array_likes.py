"""Lists and tuples where NumPy takes an array. NumPy's own protocol (NEP 18) shows which arguments these are.

A NumPy function looks for `__array_function__` on the arguments that it takes for arrays, and not on others, such as axes. So a
probe is passed in place of an argument, and the call shows whether NumPy looked at it. If it does not look at a list itself, as
that of `np.concatenate`, each part of the list is tried.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._session import session
from .._values.values import Composite, Value
from .creation import array

_ASKING = type(np.sum)  # the class of NumPy's functions that follow the protocol
SEQUENCES = (list, tuple, range, deque)


def with_arrays(function: Callable, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments, with an array for each sequence that the function would convert to one."""
    # Most calls have no sequence among their arguments, and cost nothing here.
    arguments = (*args, *kwargs.values())
    if (
        type(function) is not _ASKING
        or function in _AS_THEY_ARE
        or not any(isinstance(x, SEQUENCES) for x in arguments)
    ):
        return args, kwargs
    # Each test calls NumPy's function with stand-ins for all other values, so nothing is computed.
    silent = tuple(map(_stand_in, args)), {name: _stand_in(x) for name, x in kwargs.items()}

    def asks(place: Any) -> Callable[[Any], bool]:
        def takes_array(probe: Any) -> bool:
            placed, named = silent
            if isinstance(place, int):
                return _takes_array(function, (*placed[:place], probe, *placed[place + 1 :]), named)
            return _takes_array(function, placed, {**named, place: probe})

        return takes_array

    return (
        tuple(_to_arrays(x, asks(i)) for i, x in enumerate(args)),
        {name: _to_arrays(x, asks(name)) for name, x in kwargs.items()},
    )


class _Silent:
    """Stands for a value in a test. NumPy passes the classes of all arguments that it takes for arrays to the first of them."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> bool:
        return _Probe in types


class _Probe(_Silent):
    """Stands for the argument that is tested: if NumPy takes it for an array, this class is among those."""


def _never(*args: Any, **kwargs: Any) -> Any:
    raise TypeError("a function of the program is not called while NumPy's arguments are tested")


def _takes_array(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Does the function take the argument, which is a probe here, for an array?"""
    try:
        return function(*args, **kwargs) is True
    except Exception:  # it has found no array, and fails on the stand-ins
        return False


def _stand_in(x: Any) -> Any:
    """What stands for an argument in a test. Known numbers and strings, such as axes, stay as they are."""
    parts: Any = x
    if isinstance(x, (Value, Composite, np.ndarray)):
        return _Silent()
    if callable(x) and not isinstance(x, type):
        return _never
    return _like(x, map(_stand_in, parts)) if type(x) in (list, tuple) else x


def _like(sequence: Any, parts: Iterable) -> Any:
    return list(parts) if type(sequence) is list else tuple(parts)


def _to_arrays(x: Any, takes_array: Callable[[Any], bool]) -> Any:
    """The argument, as an array or with arrays in it, wherever the function takes one."""
    if not isinstance(x, SEQUENCES):
        return x
    if takes_array(_Probe()):
        return array(x)
    if type(x) not in (list, tuple):
        return x
    sequence: Any = x

    def part_takes_array(i: int) -> Callable[[Any], bool]:
        before, after = sequence[:i], sequence[i + 1 :]
        return lambda probe: takes_array(_like(x, [*map(_stand_in, before), probe, *map(_stand_in, after)]))

    parts = [_to_arrays(one, part_takes_array(i)) for i, one in enumerate(sequence)]
    # The same object if nothing changed, because branches and loops know containers by identity.
    if all(new is old for new, old in zip(parts, x, strict=True)):
        return x
    return session().note_new(parts) if type(x) is list else tuple(parts)


# Functions that treat a list of arrays differently from an array, or whose rules handle lists.
_AS_THEY_ARE = {np.block, np.einsum, np.einsum_path, np.histogramdd, np.shape, np.size, np.ndim}
