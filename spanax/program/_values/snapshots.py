"""What a value was when a block ended: its numbers become outputs of the block's traced program, the rest is kept as it is.

A traced block is undone after it was traced, so what it left behind is written down first: numbers by their places among the
outputs, containers and objects as trees of such, and everything else by identity, as it cannot differ when the program runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from .._session import session
from .constants import is_constant_array, same_constants
from .objects import attributes, is_plain_object
from .unsettled import Partial, Undefined
from .values import SCALARS, Composite, LiftedArray, Number, is_unknown, raw, stand_in_of


@dataclass(frozen=True)
class Leaf:
    """A number or an array. `output`: its place among the outputs of the block, None where `known` holds it."""

    value: Any
    output: int | None
    known: Any
    shape: tuple[int, ...]
    dtype: np.dtype
    python: type | None
    array: bool


@dataclass(frozen=True)
class Node:
    """A tuple, a list, a dict or an object made by the block, with its parts."""

    value: Any
    kind: type
    keys: tuple
    parts: tuple


@dataclass(frozen=True)
class Sometimes:
    """A value that is missing on some paths (`Partial`)."""

    value: Partial
    part: Any
    defined: Leaf


@dataclass(frozen=True)
class Fixed:
    """Anything else: the arguments cannot change it."""

    value: Any


@dataclass(frozen=True)
class Around(Fixed):
    """An object inside itself, such as the parent of a node."""


def snapshot(value: Any, outputs: list, since: int, opened: Collection[int] = (), path: tuple[int, ...] = ()) -> Any:
    """A snapshot of the value; adds its unknown numbers to `outputs`. What was made after `since` belongs to the block.

    `opened`: older objects, by `id`, that are taken by their attributes as well. `path`: what the value is part of.
    """
    if type(value) is np.ndarray:
        value = stand_in_of(value)
    if _is_leaf(value):
        return _leaf(value, outputs)
    # Its flag is a number of the block's as well.
    if isinstance(value, Partial):
        part = snapshot(value.value, outputs, since, opened, path)
        return Sometimes(value, part, _leaf(value.defined, outputs))
    parts = _parts_of(value, since, opened)
    if parts is None:
        return Fixed(value)
    if id(value) in path:  # a cycle: the inner one is the outer one, which is made first
        return Around(value)
    path = (*path, id(value))
    return Node(
        value, type(value), tuple(parts), tuple(snapshot(p, outputs, since, opened, path) for p in parts.values())
    )


def _is_leaf(value: Any) -> bool:
    """A number, or an array of numbers; a structured scalar is neither."""
    if isinstance(value, (Number, LiftedArray)):
        return True
    if isinstance(value, SCALARS):
        return not isinstance(value, np.void)
    return isinstance(value, (jax.Array, np.ndarray)) and np.dtype(value.dtype).kind in "biufc"


def _leaf(value: Any, outputs: list) -> Leaf:
    # A known number is no output: it may differ between two branches and still be known in each.
    data = raw(value)
    unknown = is_unknown(value)
    if unknown:
        outputs.append(data)
    dtype = np.dtype(data.dtype) if hasattr(data, "dtype") else np.dtype(type(data))
    is_array = isinstance(value, (LiftedArray, np.ndarray)) or (isinstance(value, jax.Array) and value.ndim > 0)
    output, known = (len(outputs) - 1, None) if unknown else (None, data)
    return Leaf(value, output, known, np.shape(data), dtype, _python_type(value), is_array)


def _python_type(value: Any) -> type | None:
    """The Python type that a number stands for; None for NumPy's, which keep their dtype where Python's numbers adapt."""
    if isinstance(value, Number):
        return value.python
    return type(value) if type(value) in (bool, int, float, complex) else None


def _parts_of(value: Any, since: int, opened: Collection[int]) -> dict | None:
    """The parts of a container, or of an object that the block has made or that is opened; else None."""
    # A deque with a bound drops elements by itself, and sets and subclasses of dict have orders or rules of their own: these
    # are fixed.
    if isinstance(value, (tuple, list)) or (type(value) is deque and value.maxlen is None):
        return dict(enumerate(value))
    if type(value) is dict:
        return value
    if isinstance(value, Composite):
        return vars(value)
    # An older object keeps its identity: its attributes are cells of their own, which the block records when it writes them.
    if is_plain_object(value) and (session().age(value) > since or id(value) in opened):
        return dict(sorted(attributes(value).items()))
    return None


# -- comparing them


def is_absent(shot: Any) -> bool:
    """Is it None, or not assigned?"""
    return isinstance(shot, Fixed) and (shot.value is None or isinstance(shot.value, Undefined))


def may_be_absent(shot: Any) -> bool:
    return isinstance(shot, Sometimes) or is_absent(shot)


def varies(shot: Any) -> bool:
    """Does it hold a number that is not known?"""
    if isinstance(shot, Leaf):
        return shot.output is not None
    if isinstance(shot, Node):
        return any(map(varies, shot.parts))
    return not isinstance(shot, Fixed)


def is_unchanged(before: Any, after: Any, value: Any) -> bool:
    """Does the block hand on the `value` that it was given?"""
    if after.value is value:
        return True
    if isinstance(before, Leaf) and isinstance(after, Leaf):
        # Arrays are told apart by identity: an equal array may still be written later, and the other one not.
        return not (after.array or before.array) and _are_same_known(before, after)
    return isinstance(before, Fixed) and isinstance(after, Fixed) and is_equal(before.value, after.value)


def _are_same_known(x: Leaf, y: Leaf) -> bool:
    known = x.output is None and y.output is None and type(x.known) is type(y.known)
    return known and bool(x.known == y.known)


def is_equal(x: Any, y: Any) -> bool:
    """Are two known things of the same type and value?"""
    if isinstance(x, Undefined):
        return isinstance(y, Undefined) and x.name == y.name
    if is_constant_array(x):
        return is_constant_array(y) and same_constants(x, y)
    try:
        return x is y or (type(x) is type(y) and bool(x == y))
    except Exception:  # whatever a user's `__eq__` raises: then they are not known to be equal
        return False
