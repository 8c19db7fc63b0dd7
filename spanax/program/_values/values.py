"""What a lifted program computes with: traced numbers, and arrays that can be written in place.

`Number` stands for a Python or NumPy scalar whose value is not known while the program is traced; `LiftedArray` for a NumPy
array, known or not. JAX's arrays do not change, so a lifted array holds one that does: a write replaces it, and a view is a
pair of functions that read and write part of its base (PyTorch calls this functionalization).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import is_lifting, session, unliftable
from .base import (
    PYTHON as PYTHON,
    SCALARS as SCALARS,
    Slice as Slice,
    Value as Value,
    is_numeric as is_numeric,
    not_known,
)
from .constants import refuse_constants


class Number(Value):
    """A traced scalar. `python`: the Python type that it stands for, None for a NumPy scalar; `span`: an int's least and
    greatest value, where they are known; `origin`: the int that it differs from by a known number."""

    __slots__ = ("_data", "counts", "declared", "origin", "python", "span")

    def __init__(self, data: Any, python: type | None = None, span: tuple[int, int] | None = None):
        self._data, self.python, self.span = data, python, span
        # With both, x[i - 1] in a loop over i needs no check of the bounds, and can be a column of the scan.
        self.origin: Number | None = None
        self.counts: range | None = None  # of the index of a loop: all its values
        # What the program takes it for, where that differs: an int that is differentiated is computed with as a float.
        self.declared: type | None = None

    @property
    def data(self) -> Any:
        return self._data.data if isinstance(self._data, Slice) else self._data

    @property
    def form(self) -> Any:
        return self._data

    @property
    def source(self) -> Number:
        """The int that this one differs from by a known number; itself, if none."""
        return self if self.origin is None else self.origin

    # Numbers do not change, so that a copy is the number itself.
    def __deepcopy__(self, memo: dict) -> Number:
        return self

    def __copy__(self) -> Number:
        return self

    # Python asks these methods for a number of its own, which there is none of. In a lifted function the rewriting has made a
    # hook of each such use; here it is code that is not lifted that asks.
    def __bool__(self):
        raise not_known(self, "a condition, in code that is not lifted or in a comprehension's `if`")

    def __index__(self):
        raise not_known(self, "a count, a shape or an index")

    def __int__(self):
        raise not_known(self, "an int, by code that is not lifted")

    def __float__(self):
        raise not_known(self, "a float, by code that is not lifted")

    def __complex__(self):
        raise not_known(self, "a complex number, by code that is not lifted")

    def __array__(self, *args, **kwargs):
        raise not_known(self, "a NumPy array, by compiled code")

    __hash__ = Value.__hash__


class LiftedArray(Value):
    """A stand-in for `np.ndarray`; `data` is a NumPy array while no traced value has been written into it.

    A view reads and writes the array that it is a view of: `get(data of the base)`, `put(data of the base, new data)`.
    """

    __slots__ = ("_contents", "base", "born", "get", "lost", "put", "stand_ins", "stands_for", "touched")

    def __init__(
        self,
        data: Any = None,
        base: LiftedArray | None = None,
        get: Callable | None = None,
        put: Callable | None = None,
    ):
        self._contents, self.base, self.get, self.put = data, base, get, put
        self.born = session().tick()
        # A branch or a loop makes one array of several, as the arguments decide. Each side knows the other, so that a write into
        # one can make the others `lost`: they may or may not hold what was written.
        self.lost = False  # was it written under another name, whose link to this one a branch or a loop has cut?
        self.stands_for: list[LiftedArray] = []  # arrays of which it is one or another, or was one before a loop
        self.stand_ins: list[LiftedArray] = []  # the arrays that stand for it, in turn
        self.touched = False  # was it written?

    @property
    def data(self) -> Any:
        if self.lost:
            raise unliftable(
                "an array is read under one name that was written under another, which a branch or a loop had bound to it",
                "a copy: x.copy()",
                "one name for the array",
            )
        if self.base is None:
            return self._contents.data if isinstance(self._contents, Slice) else self._contents
        return self.get(self.base.data)  # type: ignore[misc]

    @property
    def form(self) -> Any:
        return self._contents if isinstance(self._contents, Slice) else self.data

    def write(self, data: Any) -> None:
        """Sets new contents, of the same shape and dtype."""
        # A write into a view goes to its base, and from there is seen by all other views of it.
        if self.base is not None:
            self.base.write(self.put(self.base.data, data))  # type: ignore[misc]
            return
        session().refuse_unknown_target(self)
        # An array that a branch or a loop has joined is one of several, as the arguments decide. After a write through this
        # name nobody can say what the other names hold, so that reading them is an error: never a stale number.
        for other in self.stands_for:
            for stale in (other.root, *other.root.stand_ins):
                if stale is not self:
                    session().lose(stale)
        for stale in self.stand_ins:
            session().lose(stale)
        session().record(Contents(self), self.born)
        self._contents, self.touched = data, True

    @property
    def root(self) -> LiftedArray:
        return self if self.base is None else self.base.root

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __iter__(self) -> Iterator:
        return iter([session().rules.item(self, i) for i in range(len(self))])

    def __getitem__(self, index):
        return session().rules.item(self, index)

    def __setitem__(self, index, value):
        session().rules.store(self, index, value)

    def __contains__(self, value):
        return bool((self == value).any())

    def _only(self, use: str):
        # NumPy converts arrays of one element, and so does this where it is known.
        if self.size == 1 and not is_unknown(self):
            return self.data.reshape(())[()]
        raise not_known(self, use)

    def __bool__(self):
        return bool(self._only("a condition, in code that is not lifted or in a comprehension's `if`"))

    def __index__(self):
        return operator.index(self._only("a count, a shape or an index"))

    def __int__(self):
        return int(self._only("an int, by code that is not lifted"))

    def __float__(self):
        return float(self._only("a float, by code that is not lifted"))

    def __complex__(self):
        return complex(self._only("a complex number, by code that is not lifted"))

    # Compiled code asks for a NumPy array, which a known one is: without it, a library called with constants would fail.
    def __array__(self, dtype=None, copy=None):
        if is_unknown(self):
            raise not_known(self, "a NumPy array, by compiled code")
        return np.array(self.data, dtype)

    def __format__(self, spec: str) -> str:
        return Value.__format__(self, spec) if is_unknown(self) else format(self.data, spec)

    def __repr__(self) -> str:
        return Value.__repr__(self) if is_unknown(self) else repr(self.data)

    def __copy__(self) -> LiftedArray:
        return LiftedArray(self.data)

    def __deepcopy__(self, memo: dict) -> LiftedArray:
        return LiftedArray(self.data)

    __hash__ = object.__hash__


# `x += y` of an array writes into it, also where a view or another name is of the same one. Of a number, which has no such
# methods, Python binds the name anew.
def _in_place(ufunc: np.ufunc) -> Callable:
    def update(self, other):
        session().rules.ufunc(ufunc, "__call__", (self, other), {"out": (self,)})
        return self

    return update


for _name, _ufunc in {
    "iadd": np.add,
    "isub": np.subtract,
    "imul": np.multiply,
    "itruediv": np.true_divide,
    "ifloordiv": np.floor_divide,
    "imod": np.remainder,
    "ipow": np.power,
    "imatmul": np.matmul,
    "iand": np.bitwise_and,
    "ior": np.bitwise_or,
    "ixor": np.bitwise_xor,
}.items():
    setattr(LiftedArray, f"__{_name}__", _in_place(_ufunc))


class Composite:
    """Several values that the program holds as one, in its attributes: branches and loops join them one by one."""

    kind: type  # what it stands for

    def __jax_array__(self):
        raise self.refusal()

    def __array__(self, *args: Any, **kwargs: Any):
        raise self.refusal()

    def refusal(self) -> Exception:
        """The error of a use that has no rule."""
        raise NotImplementedError


class Contents:
    """An array's contents, as a cell."""

    name = "an array"

    def __init__(self, array: LiftedArray):
        self.array, self.key, self.born = array, ("array", id(array)), array.born

    def read(self) -> Any:
        return self.array._contents

    def write(self, value: Any) -> None:
        self.array._contents = raw(value)


# -- reading and making values


def is_unknown(x: Any) -> bool:
    """Does it depend on what is traced (or is it a JAX array)?"""
    if isinstance(x, (Number, Composite)):
        return True
    if isinstance(x, LiftedArray):
        return isinstance(x.form, (jax.Array, Slice))
    return isinstance(x, jax.Array) or (type(x) is np.ndarray and is_unknown(_written_stand_in(x)))


def raw(x: Any) -> Any:
    """The data of a value; other things as they are."""
    if type(x) is np.ndarray and (stand_in := _written_stand_in(x)) is not None:
        return stand_in.data
    return x.data if isinstance(x, Value) else x


def _written_stand_in(array: np.ndarray) -> LiftedArray | None:
    """The stand-in of an array of the world outside, if the program has written it: a list may still hold the array itself."""
    # Only if it was written: otherwise the array itself is as good, and this is asked for each operand.
    _, stand_in = session().adopted.get(id(array), (None, None)) if is_lifting() else (None, None)
    return stand_in if stand_in is not None and stand_in.touched else None


# What stands for an array of a subclass of NumPy's, made of one that stands for its numbers. `matrices` adds np.matrix.
STAND_INS: dict[type, Callable[[LiftedArray], Any]] = {}


def stand_in_of(array: np.ndarray) -> Any:
    """The stand-in of an array of the world outside: the program may write it, and the world does not see it."""
    if array.dtype.kind not in "biufc":
        return array
    # One stand-in for each array, in the whole program: two names of one array stay two names of one.
    known = session().adopted
    if id(array) not in known:
        stand_in = LiftedArray(array.view(np.ndarray))  # another object than the array of the world
        stand_in.born = 0  # older than every block, so that each of them records what it does to it
        known[id(array)] = array, stand_in
    stand_in = known[id(array)][1]
    return STAND_INS[type(array)](stand_in) if type(array) in STAND_INS else stand_in


def wrap(x: Any) -> Any:
    """A result as the program sees it: arrays as `LiftedArray`, traced scalars as `Number`, known scalars as they are."""
    if isinstance(x, jax.Array):
        return LiftedArray(x) if x.ndim else Number(x)
    if isinstance(x, np.ndarray):
        return LiftedArray(x) if x.dtype.kind in "biufc" else x
    return x


def canonical(dtype: Any) -> np.dtype:
    """The dtype as JAX has it: single precision for double where `jax_enable_x64` is off."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


def _has_dtype(data: jax.Array, dtype: Any) -> bool:
    # A weakly typed array would promote otherwise than NumPy's, whose arrays all have a dtype of their own.
    return not jax.typeof(data).weak_type and (dtype is None or canonical(dtype) == data.dtype)


def as_jax(x: Any, dtype: Any = None) -> jax.Array:
    """A number, an array or nested lists of them, as a JAX array."""
    data = raw(x)
    # What is several arrays, such as a selection x[mask], must not pass as one.
    if isinstance(data, Composite):
        raise data.refusal()
    if isinstance(data, jax.Array) and _has_dtype(data, dtype):
        return data
    if isinstance(data, (list, tuple)):
        data = raw(session().rules.function(np.array, (data,), {}))  # by NumPy's rules for what a nested list is
    if dtype is None:
        dtype = data.dtype if hasattr(data, "dtype") else np.asarray(data).dtype
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # PRNG keys
        return data
    refuse_constants(dtype)
    return jnp.asarray(data, canonical(dtype))
