"""What numbers and arrays of a lifted program have in common: NumPy's operators, methods and protocols.

They answer `__array_ufunc__` (NEP 13) and `__array_function__` (NEP 18), so that `np.sin(x)` and `x + y` come back to the
rules of the session, also from code that is not lifted.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._session import session, unliftable

# Operators go to the rules as "operator", not as the ufunc's "__call__": Python's numbers divide, shift and raise to powers
# by rules of their own.
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
    # 2 * [1, 2] repeats a list, and np.float64(2) * [1, 2] multiplies its elements.
    return is_numeric(other) or (isinstance(other, (list, tuple, np.ndarray)) and getattr(self, "python", None) is None)


def _unary(ufunc: np.ufunc) -> Callable:
    return lambda self: session().rules.ufunc(ufunc, "operator", (self,), {})


# No mirrored forms: Python asks the other operand's opposite comparison by itself.
def _comparison(ufunc: np.ufunc) -> Callable:
    def compare(self, other):
        return session().rules.ufunc(ufunc, "operator", (self, other), {}) if _fits(self, other) else NotImplemented

    return compare


class Slice:
    """The i-th of stacked values, cut out when it is needed."""

    # A loop that appends to a list gives one stacked array; of a list of thousands, most elements are never read by themselves.

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
    def data(self) -> jax.Array:
        return self.stack[self.index]


class Value:
    """What numbers and arrays share: shape, dtype, and NumPy's operators, methods and protocols."""

    __slots__ = ()
    __array_priority__ = 1000.0  # so that NumPy's matrices leave operators with these to them

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
    __lt__, __le__, __gt__, __ge__ = map(_comparison, (np.less, np.less_equal, np.greater, np.greater_equal))
    __eq__ = _comparison(np.equal)  # type: ignore[assignment]
    __ne__ = _comparison(np.not_equal)  # type: ignore[assignment]

    # NumPy's ufunc gives a tuple, and Python's numbers the same two by their own rules.
    def __divmod__(self, other):
        return self // other, self % other

    def __rdivmod__(self, other):
        return other // self, other % self

    # round(), math.trunc() and the like of a number come here where they are not called in lifted code.
    def __round__(self, digits: int | None = None):
        return session().rules.method(self, "__round__")(digits)

    def __trunc__(self):
        return session().rules.method(self, "__trunc__")()

    def __floor__(self):
        return session().rules.method(self, "__floor__")()

    def __ceil__(self):
        return session().rules.method(self, "__ceil__")()

    def __getattr__(self, name: str):
        if name.startswith("__"):  # what NumPy, copy and pickle look for, and must not find
            raise AttributeError(name)
        return session().rules.method(self, name)

    # A dictionary compares keys with `==`, whose answer would not be known: two equal values could be two entries.
    def __hash__(self) -> int:
        raise unliftable(
            f"{self.description} is used as a key: its value is not known while the program is traced",
            "an array with an index instead of a dictionary",
            "the value as a static argument: a closure, or functools.partial",
        )

    @property
    def description(self) -> str:
        form = f"of shape {self.shape}" if self.shape else "of one number"
        return f"a value {form} that depends on the arguments"

    # f"{x}" in lifted code is a `Text`, made when the program runs; here it is code that is not lifted that wants a string now.
    def __format__(self, spec: str) -> str:
        raise unliftable(
            f"{self.description} is made into text",
            "print(f'... {x:.3f} ...') and logging, which are kept",
            "the text outside of the lifted program",
        )

    def __str__(self) -> str:
        return self.__format__("")

    def __repr__(self) -> str:
        return f"<{self.description}>"


def not_known(self: Value, use: str):
    return unliftable(
        f"{self.description} is used as {use}, which must be known while the program is traced",
        "sx.blackbox around the function that needs it, with a bridge",
        "the number as a static argument: a closure, functools.partial, or static_argnums of jax.jit",
    )


def is_numeric(x: Any) -> bool:
    return isinstance(x, (Value, *SCALARS, jax.Array)) or (isinstance(x, np.ndarray) and x.dtype.kind in "biufc")
