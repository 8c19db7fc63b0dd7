"""What a lifted program computes with: traced numbers, and arrays that can be written in place.

`Number` stands for a Python or NumPy scalar whose value is not known while the program is traced; `Array` for a NumPy array,
known or not. Both answer to NumPy's protocols, so `np.sin(x)` and `x + y` come back to the rules of the session.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import is_lifting, session, unliftable
from .constants import refuse_constants

PYTHON = {"f": float, "i": int, "u": int, "b": bool, "c": complex}  # the Python type of a dtype's kind
SCALARS = (bool, int, float, complex, np.generic)


def _binary(ufunc: np.ufunc) -> tuple[Callable, Callable]:
    def forward(self, other):
        return session().rules.ufunc(ufunc, "operator", (self, other), {}) if _fits(self, other) else NotImplemented

    def backward(self, other):
        return session().rules.ufunc(ufunc, "operator", (other, self), {}) if _fits(self, other) else NotImplemented

    return forward, backward


def _fits(self: Value, other: Any) -> bool:
    """May an operator combine them? Python's numbers leave lists and tuples alone."""
    return is_numeric(other) or (isinstance(other, (list, tuple, np.ndarray)) and getattr(self, "python", None) is None)


def _unary(ufunc: np.ufunc) -> Callable:
    return lambda self: session().rules.ufunc(ufunc, "operator", (self,), {})


def _compared(ufunc: np.ufunc) -> Callable:
    def compare(self, other):
        return session().rules.ufunc(ufunc, "operator", (self, other), {}) if _fits(self, other) else NotImplemented

    return compare


class Slice:
    """The i-th of stacked values, cut out when it is needed."""

    __slots__ = ("index", "stack")

    def __init__(self, stack: jax.Array, index: int):
        self.stack, self.index = stack, index

    @property
    def shape(self) -> tuple[int, ...]:
        return self.stack.shape[1:]

    @property
    def dtype(self) -> Any:
        return self.stack.dtype

    @property
    def cut(self) -> jax.Array:
        return self.stack[self.index]


class Value:
    """What both have in common: shape, dtype, and NumPy's operators, methods and protocols."""

    __slots__ = ()
    __array_priority__ = 1000.0

    @property
    def data(self) -> Any:
        raise NotImplementedError

    @property
    def form(self) -> Any:
        """Something of the same shape and dtype."""
        return self.data

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.form.dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.form.shape)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return session().rules.ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, function, types, args, kwargs):
        return session().rules.function(function, args, kwargs)

    __add__, __radd__ = _binary(np.add)
    __sub__, __rsub__ = _binary(np.subtract)
    __mul__, __rmul__ = _binary(np.multiply)
    __truediv__, __rtruediv__ = _binary(np.true_divide)
    __floordiv__, __rfloordiv__ = _binary(np.floor_divide)
    __mod__, __rmod__ = _binary(np.remainder)
    __pow__, __rpow__ = _binary(np.power)
    __matmul__, __rmatmul__ = _binary(np.matmul)
    __and__, __rand__ = _binary(np.bitwise_and)
    __or__, __ror__ = _binary(np.bitwise_or)
    __xor__, __rxor__ = _binary(np.bitwise_xor)
    __lshift__, __rlshift__ = _binary(np.left_shift)
    __rshift__, __rrshift__ = _binary(np.right_shift)
    __neg__, __pos__, __abs__, __invert__ = map(_unary, (np.negative, np.positive, np.absolute, np.invert))
    __lt__, __le__, __gt__, __ge__ = map(_compared, (np.less, np.less_equal, np.greater, np.greater_equal))
    __eq__ = _compared(np.equal)  # type: ignore[assignment]
    __ne__ = _compared(np.not_equal)  # type: ignore[assignment]

    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    def __round__(self, digits: int | None = None):
        return session().rules.method(self, "__round__")(digits)

    def __trunc__(self):
        return session().rules.method(self, "__trunc__")()

    def __floor__(self):
        return session().rules.method(self, "__floor__")()

    def __ceil__(self):
        return session().rules.method(self, "__ceil__")()

    def __getattr__(self, name: str):
        if name.startswith("__"):
            raise AttributeError(name)
        return session().rules.method(self, name)

    def __hash__(self) -> int:
        raise unliftable(
            f"{self.described} is used as a key: its value is not known while the program is traced",
            "an array with an index instead of a dictionary",
            "the value as a static argument: a closure, or functools.partial",
        )

    @property
    def described(self) -> str:
        form = f"of shape {self.shape}" if self.shape else "of one number"
        return f"a value {form} that depends on the arguments"

    def __format__(self, spec: str) -> str:
        raise unliftable(
            f"{self.described} is made into text",
            "print(f'... {x:.3f} ...') and logging, which are kept",
            "the text outside of the lifted program",
        )

    def __str__(self) -> str:
        return self.__format__("")

    def __repr__(self) -> str:
        return f"<{self.described}>"


def _not_known(self: Value, use: str):
    return unliftable(
        f"{self.described} is used as {use}, which must be known while the program is traced",
        "sx.blackbox around the function that needs it, with a bridge",
        "the number as a static argument: a closure, functools.partial, or static_argnums of jax.jit",
    )


class Number(Value):
    """A traced scalar. `python`: the Python type that it stands for, None for a NumPy scalar; `span`: an int's least and
    greatest value, where they are known; `origin`: the int that it differs from by a known number."""

    __slots__ = ("_data", "counts", "declared", "origin", "python", "span")

    def __init__(self, data: Any, python: type | None = None, span: tuple[int, int] | None = None):
        self._data, self.python, self.span = data, python, span
        self.origin: Number | None = None
        self.counts: range | None = None  # of the index of a loop: all its values
        self.declared: type | None = None  # what the program takes it for, where that differs

    @property
    def data(self) -> Any:
        return self._data.cut if isinstance(self._data, Slice) else self._data

    @property
    def form(self) -> Any:
        return self._data

    @property
    def source(self) -> Number:
        """The int that it is, or differs from by a known number."""
        return self if self.origin is None else self.origin

    def __deepcopy__(self, memo: dict) -> Number:
        return self

    def __copy__(self) -> Number:
        return self

    def __bool__(self):
        raise _not_known(self, "a condition, in code that is not lifted or in a comprehension's `if`")

    def __index__(self):
        raise _not_known(self, "a count, a shape or an index")

    def __int__(self):
        raise _not_known(self, "an int, by code that is not lifted")

    def __float__(self):
        raise _not_known(self, "a float, by code that is not lifted")

    def __complex__(self):
        raise _not_known(self, "a complex number, by code that is not lifted")

    def __array__(self, *args, **kwargs):
        raise _not_known(self, "a NumPy array, by compiled code")

    __hash__ = Value.__hash__


class Array(Value):
    """A stand-in for `np.ndarray`; `data` is a NumPy array while no traced value has been written into it.

    A view reads and writes the array that it is a view of: `get(data of the base)`, `put(data of the base, new data)`.
    """

    __slots__ = ("_contents", "base", "born", "get", "lost", "put", "stand_ins", "stands_for", "touched")

    def __init__(
        self, data: Any = None, base: Array | None = None, get: Callable | None = None, put: Callable | None = None
    ):
        self._contents, self.base, self.get, self.put = data, base, get, put
        self.born = session().tick()
        self.lost = False  # was it written under another name, whose link to this one a branch or a loop has cut?
        self.stands_for: list[Array] = []  # arrays of which it is one or another, or was one before a loop
        self.stand_ins: list[Array] = []  # the arrays that stand for it, in turn
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
            return self._contents.cut if isinstance(self._contents, Slice) else self._contents
        return self.get(self.base.data)  # type: ignore[misc]

    @property
    def form(self) -> Any:
        return self._contents if isinstance(self._contents, Slice) else self.data

    def write(self, data: Any) -> None:
        """New contents, of the same shape and dtype."""
        if self.base is not None:
            self.base.write(self.put(self.base.data, data))  # type: ignore[misc]
            return
        session().writes(self)
        for other in self.stands_for:
            for stale in (other.root, *other.root.stand_ins):
                if stale is not self:
                    session().lose(stale)
        for stale in self.stand_ins:
            session().lose(stale)
        session().record(Contents(self), self.born)
        self._contents, self.touched = data, True

    @property
    def root(self) -> Array:
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
        if self.size == 1 and not is_unknown(self):
            return self.data.reshape(())[()]
        raise _not_known(self, use)

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

    def __array__(self, dtype=None, copy=None):
        if is_unknown(self):
            raise _not_known(self, "a NumPy array, by compiled code")
        return np.array(self.data, dtype)

    def __format__(self, spec: str) -> str:
        return Value.__format__(self, spec) if is_unknown(self) else format(self.data, spec)

    def __repr__(self) -> str:
        return Value.__repr__(self) if is_unknown(self) else repr(self.data)

    def __copy__(self) -> Array:
        return Array(self.data)

    def __deepcopy__(self, memo: dict) -> Array:
        return Array(self.data)

    __hash__ = object.__hash__


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
    setattr(Array, f"__{_name}__", _in_place(_ufunc))


class Composite:
    """An object of values that a program holds as one value, whose parts are its attributes: branches and loops join them."""

    kind: type  # what it stands for

    def __jax_array__(self):
        raise self.refused()

    def __array__(self, *args: Any, **kwargs: Any):
        raise self.refused()

    def refused(self) -> Exception:
        """The error where nothing is known that could be done with it."""
        raise NotImplementedError


class Contents:
    """The cell of an array's contents."""

    name = "an array"

    def __init__(self, array: Array):
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
    if isinstance(x, Array):
        return isinstance(x.form, (jax.Array, Slice))
    return isinstance(x, jax.Array) or (type(x) is np.ndarray and is_unknown(_written(x)))


def is_numeric(x: Any) -> bool:
    return isinstance(x, (Value, *SCALARS, jax.Array)) or (isinstance(x, np.ndarray) and x.dtype.kind in "biufc")


def raw(x: Any) -> Any:
    """What a value holds; other things as they are."""
    if type(x) is np.ndarray and (stand_in := _written(x)) is not None:
        return stand_in.data
    return x.data if isinstance(x, Value) else x


def _written(array: np.ndarray) -> Array | None:
    """What stands for an array of the world outside, if the program has written it: a list may still hold the array."""
    _, stand_in = session().adopted.get(id(array), (None, None)) if is_lifting() else (None, None)
    return stand_in if stand_in is not None and stand_in.touched else None


STAND_INS: dict[
    type, Callable[[Array], Any]
] = {}  # subclasses of NumPy's arrays, and what stands for one of these numbers


def adopted(array: np.ndarray) -> Any:
    """What stands for an array of the world outside: the program may write it, and the world does not see it."""
    if array.dtype.kind not in "biufc":
        return array
    known = session().adopted
    if id(array) not in known:
        stand_in = Array(array.view(np.ndarray))  # another object than the array of the world
        stand_in.born = 0
        known[id(array)] = array, stand_in
    stand_in = known[id(array)][1]
    return STAND_INS[type(array)](stand_in) if type(array) in STAND_INS else stand_in


def wrapped(x: Any) -> Any:
    """A result as the program sees it: arrays as `Array`, traced scalars as `Number`, known scalars as they are."""
    if isinstance(x, jax.Array):
        return Array(x) if x.ndim else Number(x)
    if isinstance(x, np.ndarray):
        return Array(x) if x.dtype.kind in "biufc" else x
    return x


def canonical(dtype: Any) -> np.dtype:
    """The dtype that JAX has for it."""
    return np.dtype(jax.dtypes.canonicalize_dtype(dtype))


def as_jax(x: Any, dtype: Any = None) -> jax.Array:
    """A number, an array or nested lists of them, as a JAX array."""
    data = raw(x)
    if isinstance(data, Composite):
        raise data.refused()
    if (
        isinstance(data, jax.Array)
        and not jax.typeof(data).weak_type
        and (dtype is None or canonical(dtype) == data.dtype)
    ):
        return data
    if isinstance(data, (list, tuple)):
        data = raw(session().rules.function(np.array, (data,), {}))
    if dtype is None:
        dtype = data.dtype if hasattr(data, "dtype") else np.asarray(data).dtype
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # PRNG keys
        return data
    refuse_constants(dtype)
    return jnp.asarray(data, canonical(dtype))
