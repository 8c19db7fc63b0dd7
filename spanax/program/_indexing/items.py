"""`x[i]` and `x[i] = value` of anything that a lifted program holds: arrays, selections, sequences, dictionaries and objects.

Each kind has its own file (`arrays`, `selections`, `elements`, `grids`). This one tells the kinds apart, and reads and writes
Python's sequences at a number that is not known while the program is traced.
"""

from __future__ import annotations

import operator
from collections import defaultdict, deque
from typing import Any

import jax
import numpy as np

from .._numpy.errors import with_numpys_errors
from .._session import LiftError, session, unliftable
from .._values.cells import note_write
from .._values.constants import refuse_writing
from .._values.matrices import Matrix
from .._values.protocols import own_method
from .._values.values import LiftedArray, Number, Value, is_unknown, raw, wrap
from .arrays import array_item, store_in_array
from .elements import element, with_element
from .grids import MAKERS
from .indices import check_bounds, has_unknown_part, known_index, resolve_index, resolve_part
from .masked import Masked
from .selections import masked_item, masked_store

_SEQUENCES = (list, tuple, str, range)


def item(target: Any, index: Any) -> Any:
    """`target[index]`."""
    if isinstance(target, Masked):
        return masked_item(target, index)
    if isinstance(target, LiftedArray):
        return with_numpys_errors(lambda: array_item(target, index), operator.getitem, (target, index), {})
    if isinstance(target, (np.ndarray, jax.Array)) and not isinstance(target, Value):
        return _outside_item(target, index)
    if isinstance(target, Matrix):
        return target[index]
    if type(target) in MAKERS:
        return MAKERS[type(target)](target, index)
    if isinstance(target, _SEQUENCES) and isinstance(index, Value):
        return _sequence_item(target, index)
    return _plain_item(target, index)


def _outside_item(target: Any, index: Any) -> Any:
    """Of an array made outside the program: NumPy itself reads at a known index, at no cost when the program runs."""
    if not isinstance(target, jax.Array) and not has_unknown_part(index):
        return wrap(target[known_index(index)])
    return item(LiftedArray(target), index)


def _plain_item(target: Any, index: Any) -> Any:
    # Reading a missing key of a defaultdict adds it, which a branch must be able to undo.
    if isinstance(target, defaultdict) and index not in target:
        note_write(target)
    method = own_method(target, "__getitem__")
    return target[index] if method is None else session().rules.call(method, target, index)


def _sequence_item(target: Any, index: Value) -> Any:
    """An element of a sequence at an index that is not known. Numbers are stacked into an array and read there."""
    if not isinstance(index, Number):
        # An array of one known number is an index, as in NumPy.
        return _plain_item(target, index.__index__() if index.size == 1 else index)
    if isinstance(target, range):
        check_bounds(index, len(target))
        return target.start + index * target.step
    # np.array decides whether the elements are numbers, or arrays of one shape.
    try:
        stacked = session().rules.function(np.array, (list(target),), {})
    except (TypeError, ValueError, LiftError):
        stacked = None
    if not isinstance(stacked, LiftedArray):
        raise unliftable(
            f"an element of a {type(target).__name__} is chosen by {index.description}, and they are not all numbers",
            "an array of numbers",
            "the index as a static argument",
        )
    if stacked.ndim == 1:
        return array_item(stacked, index)
    # If the elements are lists or tuples, the result must be one as well, not a row of the stack.
    (place,), _ = resolve_index(stacked, index)
    row = element(target, place)
    return array_item(stacked, index) if row is None else row


# -- writing


def store(target: Any, index: Any, value: Any) -> None:
    """`target[index] = value`."""
    if isinstance(target, Masked):
        masked_store(target, index, value)
    elif isinstance(target, LiftedArray):
        with_numpys_errors(lambda: store_in_array(target, index, value), operator.setitem, (target, index, value), {})
    elif isinstance(target, Matrix):
        target[index] = value
    elif (method := own_method(target, "__setitem__")) is not None:
        session().rules.call(method, target, index, value)
    elif isinstance(target, (list, dict, deque)):
        _store_in_container(target, index, value)
    else:
        _store_outside(target, index, value)


def _store_in_container(target: Any, index: Any, value: Any) -> None:
    if isinstance(index, Number) and is_unknown(index) and not isinstance(target, dict):
        _store_in_sequence(target, index, value)
        return
    if isinstance(index, Value):
        # For an unknown value, both raise the error that says what to do instead.
        index = hash(index) if isinstance(target, dict) else index.__index__()
    note_write(target)
    target[index] = value


def _store_outside(target: Any, index: Any, value: Any) -> None:
    """Into an array made outside the program, or an object of a class that is not the program's."""
    refuse_writing(target)
    if isinstance(target, np.ndarray) and (has_unknown_part(index) or is_unknown(value) or isinstance(value, Value)):
        raise unliftable(
            "a NumPy array of the world outside is written with a value that depends on the arguments",
            "the array made inside the program, or given to it as an argument",
        )
    if isinstance(target, jax.Array):
        raise TypeError("JAX arrays cannot be written in place: x = x.at[i].set(v)")
    target[known_index(index)] = raw(value)


def _store_in_sequence(target: Any, index: Number, value: Any) -> None:
    """Writes a list at an index that is not known: each element becomes `where(place == i, new, old)`."""
    if index.dtype.kind not in "iub":
        raise TypeError("list indices must be integers or slices, not float")
    elements = with_element(target, resolve_part(index, len(target)), value)
    if elements is None:
        raise unliftable(
            f"an element of a list is written at {index.description}, and its elements are not all of the kind of the new one",
            "an array of numbers",
            "the index as a static argument",
        )
    note_write(target)
    for i, x in enumerate(elements):
        target[i] = x
