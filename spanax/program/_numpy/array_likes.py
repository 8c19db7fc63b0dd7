"""Lists and tuples where NumPy takes an array: which arguments those are, NumPy's own protocol tells.

A function of NumPy's looks for `__array_function__` among the arguments that it takes for arrays, and nowhere else: axes, shapes
and sections are not asked. So an argument is tried with a probe in its place, which hears whether it is asked. A list that is not
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
    given = (*args, *kwargs.values())
    if type(function) is not _ASKING or function in _AS_THEY_ARE or not any(isinstance(x, SEQUENCES) for x in given):
        return args, kwargs
    silent = tuple(map(_silenced, args)), {name: _silenced(x) for name, x in kwargs.items()}

    def asks(place: Any) -> Callable[[Any], bool]:
        def is_asked(probe: Any) -> bool:
            given, named = silent
            if isinstance(place, int):
                return _asked(function, (*given[:place], probe, *given[place + 1 :]), named)
            return _asked(function, given, {**named, place: probe})

        return is_asked

    return (
        tuple(_resolved(x, asks(i)) for i, x in enumerate(args)),
        {name: _resolved(x, asks(name)) for name, x in kwargs.items()},
    )


class _Silent:
    """Stands for a value while a function is asked. The first value that NumPy finds learns the classes of all of them."""

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> bool:
        return _Probe in types


class _Probe(_Silent):
    pass


def _never(*args: Any, **kwargs: Any) -> Any:
    raise TypeError("a function of the program is not called while one of NumPy's is asked")


def _asked(function: Callable, args: tuple, kwargs: dict) -> bool:
    """Does the function take for an array what the probe stands for?"""
    try:
        return function(*args, **kwargs) is True
    except Exception:  # there is no value at all, and it has met with something that it cannot compute with
        return False


def _silenced(x: Any) -> Any:
    parts: Any = x
    if isinstance(x, (Value, Composite, np.ndarray)):
        return _Silent()
    if callable(x) and not isinstance(x, type):
        return _never
    return _like(x, map(_silenced, parts)) if type(x) in (list, tuple) else x


def _like(sequence: Any, parts: Iterable) -> Any:
    return list(parts) if type(sequence) is list else tuple(parts)


def _resolved(x: Any, is_asked: Callable[[Any], bool]) -> Any:
    if not isinstance(x, SEQUENCES):
        return x
    if is_asked(_Probe()):
        return array(x)
    if type(x) not in (list, tuple):
        return x

    given: Any = x

    def part(i: int) -> Callable[[Any], bool]:
        return lambda probe: is_asked(_like(x, [*map(_silenced, given[:i]), probe, *map(_silenced, given[i + 1 :])]))

    parts = [_resolved(one, part(i)) for i, one in enumerate(x)]
    if all(new is old for new, old in zip(parts, x, strict=True)):
        return x
    return session().born(parts) if type(x) is list else tuple(parts)


# For these a list of arrays differs from the array of them, or they look at it themselves.
_AS_THEY_ARE = {np.block, np.einsum, np.einsum_path, np.histogramdd, np.shape, np.size, np.ndim}
