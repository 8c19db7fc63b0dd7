"""Lists and tuples where NumPy takes an array: which arguments those are, NumPy's own protocol shows (NEP 18).

A function of NumPy's looks for `__array_function__` among the arguments that it takes for arrays, and nowhere else: axes, shapes
and sections are not asked. So a probe stands in for an argument, and NumPy's call shows whether it was asked. A list that is not
asked itself, such as that of `np.concatenate`, is tried part by part.
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
    """The arguments, with an array for each sequence that the function would make one of."""
    # Almost every call has no sequence among its arguments, and pays nothing.
    arguments = (*args, *kwargs.values())
    if (
        type(function) is not _ASKING
        or function in _AS_THEY_ARE
        or not any(isinstance(x, SEQUENCES) for x in arguments)
    ):
        return args, kwargs
    # Each question is a call of NumPy's function with stand-ins for all other values: it computes nothing.
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
    """Stands for a value while a function is asked. The first value that NumPy finds learns the classes of all of them."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> bool:
        return _Probe in types


class _Probe(_Silent):
    """Stands for the argument in question: NumPy collects the classes of what it asks, and its own shows among them."""


def _never(*args: Any, **kwargs: Any) -> Any:
    raise TypeError("a function of the program is not called while one of NumPy's is asked")


def _takes_array(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Does the function take for an array what the probe stands for?"""
    try:
        return function(*args, **kwargs) is True
    except Exception:  # there is no value at all, and it has met with something that it cannot compute with
        return False


def _stand_in(x: Any) -> Any:
    """What stands for an argument while a function is asked: known numbers and texts, such as axes, for themselves."""
    parts: Any = x
    if isinstance(x, (Value, Composite, np.ndarray)):
        return _Silent()
    if callable(x) and not isinstance(x, type):
        return _never
    return _like(x, map(_stand_in, parts)) if type(x) in (list, tuple) else x


def _like(sequence: Any, parts: Iterable) -> Any:
    return list(parts) if type(sequence) is list else tuple(parts)


def _to_arrays(x: Any, takes_array: Callable[[Any], bool]) -> Any:
    """The argument, with an array for it, or for each part of it that the function takes for one."""
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
    # The same object where nothing changed: the program may ask for its identity, and a branch for its history.
    if all(new is old for new, old in zip(parts, x, strict=True)):
        return x
    return session().note_new(parts) if type(x) is list else tuple(parts)


# For these a list of arrays differs from the array of them, or they look at it themselves.
_AS_THEY_ARE = {np.block, np.einsum, np.einsum_path, np.histogramdd, np.shape, np.size, np.ndim}
