"""`np.matrix` of values that depend on the arguments: always of two axes, and `*` is the product of matrices.

As NumPy's own class: what it does with the functions named here; anything else is refused, as `*` and the axes that it keeps
would make another number of the same code with arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._indexing.views import ravel, reshape, transpose
from .._numpy.creation import asarray
from .._session import session, unliftable
from .values import SCALARS, STAND_INS, Composite, LiftedArray, Number, Value


class Matrix(Composite):
    """`_array` holds the numbers; it may be a view of another matrix's."""

    kind = np.matrix
    __array_priority__ = 1500.0
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, data: Any, dtype: Any = None, copy: bool = True):
        if isinstance(data, str):
            data = np.asarray(np.matrix(data))
        array: Any = asarray(plain(data), dtype)
        if array.ndim > 2:
            raise ValueError("matrix must be 2-dimensional")
        form = reshape(array, (1, array.size)) if array.ndim < 2 else array
        self._array = LiftedArray(form.data) if copy else form

    def refusal(self) -> Exception:
        return unliftable("an np.matrix that depends on the arguments, used in this way", "np.asarray(M), and M @ N")

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any:
        """Applies a universal function to operands of which one is a matrix."""
        if kwargs or method not in ("__call__", "operator"):
            raise self.refusal()
        result = session().rules.ufunc(ufunc, method, tuple(map(plain, inputs)), {})
        if ufunc.signature is not None and result.ndim != 2:
            raise self.refusal()
        return tuple(map(_matrix, result)) if isinstance(result, tuple) else _matrix(result)

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return self.ufunc(ufunc, method, inputs, kwargs)

    # The one operator that differs from arrays in its meaning, and the reason why a matrix must never pass as an array.
    def __mul__(self, other: Any) -> Any:
        if isinstance(other, (Number, *SCALARS)):
            return self.ufunc(np.multiply, "operator", (self, other), {})
        return _matrix(session().rules.function(np.dot, (self._array, Matrix(other)._array), {}))

    def __rmul__(self, other: Any) -> Any:
        if isinstance(other, (Number, *SCALARS)):
            return self.ufunc(np.multiply, "operator", (other, self), {})
        return _matrix(session().rules.function(np.dot, (asarray(plain(other)), self._array), {}))

    def __pow__(self, power: Any) -> Any:
        return _matrix(session().rules.function(np.linalg.matrix_power, (self._array, power), {}))

    def __getitem__(self, index: Any) -> Any:
        selected = session().rules.item(self._array, _plain_index(index))
        if not isinstance(selected, LiftedArray):
            if isinstance(selected, Composite):
                raise self.refusal()
            return selected
        # M[i] is a row, M[:, j] a column: where NumPy's array loses an axis, np.matrix keeps both.
        if selected.ndim == 1:
            is_column = isinstance(index, tuple) and len(index) > 1 and isinstance(index[1], (Number, int, np.integer))
            selected = reshape(selected, (len(selected), 1) if is_column else (1, len(selected)))
        return Matrix(selected, copy=False)

    def __setitem__(self, index: Any, value: Any) -> None:
        session().rules.store(self._array, _plain_index(index), plain(value))

    def __len__(self) -> int:
        return len(self._array)

    def __iter__(self) -> Iterator:
        return iter([self[i] for i in range(len(self))])

    def __copy__(self) -> Matrix:
        return Matrix(self)

    def __deepcopy__(self, memo: dict) -> Matrix:
        return Matrix(self)

    def __repr__(self) -> str:
        return "<a matrix that depends on the arguments>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in _PROPERTIES:
            return _PROPERTIES[name](self)
        if name in _ELEMENTWISE:
            return lambda *args, **kwargs: _matrix(session().rules.method(self._array, name)(*args, **kwargs))
        if name in _REDUCING:
            return lambda *args, **kwargs: self.reduce(name, *args, **kwargs)
        raise self.refusal()

    def reduce(self, name: str, axis: Any = None, **kwargs: Any) -> Any:
        """`self.sum(axis)` and the like, which keep both axes."""
        if kwargs.keys() - {"ddof"}:
            raise self.refusal()
        # Reduced as an array, and made a row or a column again.
        reduced = session().rules.function(getattr(np, name), (self._array, axis), kwargs)
        return (
            reduced if axis is None else Matrix(reshape(reduced, (1, -1) if axis in (0, -2) else (-1, 1)), copy=False)
        )


def plain(x: Any) -> Any:
    """A matrix as an array; lists of matrices as lists of arrays."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(plain, x))
    if isinstance(x, Matrix):
        return x._array
    return np.asarray(x) if isinstance(x, np.matrix) else x


def _plain_index(index: Any) -> Any:
    return tuple(map(plain, index)) if isinstance(index, tuple) else plain(index)


def _matrix(x: Any) -> Any:
    return Matrix(x, copy=False) if isinstance(x, (Value, np.ndarray)) and x.ndim else x


def _inverse(m: Matrix) -> Any:
    rows, columns = m._array.shape
    return _matrix(session().rules.function(np.linalg.inv if rows == columns else np.linalg.pinv, (m._array,), {}))


def on_matrices(function: Callable, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`, a function of NumPy's with a matrix among its arguments."""
    if function in _REDUCERS and args and isinstance(args[0], Matrix):
        return args[0].reduce(_REDUCERS[function], *args[1:], **kwargs)
    if function is np.linalg.solve:  # of the kind of its right side
        solved = _on_arrays(function, args, {})
        return _matrix(solved) if isinstance(args[1], Matrix) else solved
    if function in _OF_NUMBERS:
        return _on_arrays(function, args, kwargs)
    if function in _OF_MATRICES:
        return _matrix(_on_arrays(function, args, kwargs))
    raise next(x for x in (*args, *kwargs.values()) if isinstance(x, Matrix)).refusal()


def _on_arrays(function: Callable, args: tuple, kwargs: dict) -> Any:
    return session().rules.function(function, tuple(map(plain, args)), {k: plain(v) for k, v in kwargs.items()})


_PROPERTIES: dict[str, Callable] = {
    "T": lambda m: Matrix(transpose(m._array), copy=False),
    "H": lambda m: _matrix(np.conjugate(transpose(m._array))),
    "I": _inverse,
    "A": lambda m: m._array,
    "A1": lambda m: ravel(m._array),
    "shape": lambda m: m._array.shape,
    "ndim": lambda m: 2,
    "size": lambda m: m._array.size,
    "dtype": lambda m: m._array.dtype,
    "getA": lambda m: lambda: m._array,
    "getI": lambda m: lambda: _inverse(m),
    "getT": lambda m: lambda: m.T,
    "tolist": lambda m: session().rules.method(m._array, "tolist"),
    "item": lambda m: session().rules.method(m._array, "item"),
    "flatten": lambda m: lambda: Matrix(LiftedArray(ravel(m._array).data)),
    "dot": lambda m: lambda other: m * other,
}
_ELEMENTWISE = frozenset("transpose copy astype reshape conj conjugate round clip".split())
_REDUCING = frozenset("sum mean std var prod any all max min argmax argmin".split())
_REDUCERS = {getattr(np, name): name for name in _REDUCING} | {np.amax: "max", np.amin: "min"}
# Functions whose result is one number or a plain array, and those whose result is a matrix. A function that is in neither is
# refused.
_OF_NUMBERS = frozenset(
    {np.array, np.asarray, np.copy, np.shape, np.ndim, np.size, np.allclose, np.array_equal}
    | {np.linalg.det, np.linalg.norm, np.linalg.slogdet, np.linalg.eigvals, np.linalg.eigvalsh}
)
_OF_MATRICES = frozenset(
    {np.linalg.inv, np.linalg.pinv, np.linalg.cholesky, np.linalg.matrix_power, np.dot, np.matmul, np.transpose}
    | {np.zeros_like, np.ones_like, np.concatenate, np.hstack, np.vstack, np.kron, np.clip}
)


def _operator(ufunc: np.ufunc, swapped: bool = False) -> Callable:
    def apply(self, other):
        return self.ufunc(ufunc, "operator", (other, self) if swapped else (self, other), {})

    return apply


def _in_place(operate: Callable) -> Callable:
    def update(self, other):
        session().rules.store(self._array, Ellipsis, plain(operate(self, other)))
        return self

    return update


def _refuse(self, *args: Any, **kwargs: Any) -> Any:
    raise self.refusal()


# Python looks special methods up in the class, past `__getattr__`: so each is set there.
for _name, _ufunc in {
    "add": np.add,
    "sub": np.subtract,
    "truediv": np.true_divide,
    "matmul": np.matmul,
    "mod": np.remainder,
    "floordiv": np.floor_divide,
}.items():
    setattr(Matrix, f"__{_name}__", _operator(_ufunc))
    setattr(Matrix, f"__r{_name}__", _operator(_ufunc, True))
    setattr(Matrix, f"__i{_name}__", _in_place(_operator(_ufunc)))
for _name in ("mul", "pow"):
    setattr(Matrix, f"__i{_name}__", _in_place(getattr(Matrix, f"__{_name}__")))
for _name, _ufunc in {
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "eq": np.equal,
    "ne": np.not_equal,
}.items():
    setattr(Matrix, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in {"neg": np.negative, "pos": np.positive, "abs": np.absolute}.items():
    setattr(Matrix, f"__{_name}__", lambda self, _ufunc=_ufunc: self.ufunc(_ufunc, "operator", (self,), {}))
for _name in ("and", "or", "xor", "rand", "ror", "rxor", "lshift", "rshift", "divmod", "rdivmod", "rpow", "invert"):
    setattr(Matrix, f"__{_name}__", _refuse)
for _name in ("__bool__", "__str__", "__format__", "__contains__", "__float__", "__int__", "__index__", "__complex__"):
    setattr(Matrix, _name, _refuse)

STAND_INS[np.matrix] = lambda array: Matrix(array, copy=False)
