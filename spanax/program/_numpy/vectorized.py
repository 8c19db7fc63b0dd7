"""`np.vectorize`: a function of numbers, element by element.

As in NumPy, the function is called once for each element of the broadcast arguments. `jax.vmap` would trace it only once, but the
function may return numbers of several kinds, or have state that each call changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import session, unliftable
from .._values.values import LiftedArray, Number, is_unknown, raw, wrap
from .creation import asarray


def call_vectorized(function: np.vectorize, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`."""
    now: Any = function
    if getattr(now, "pyfunc", np._NoValue) is np._NoValue:  # np.vectorize(otypes=...), as a decorator
        return type(now)(*args, otypes=now.otypes, excluded=now.excluded, cache=now.cache, signature=now.signature)
    inputs, of_elements = _split_arguments(now, args, kwargs)
    if not inputs:
        return of_elements()
    inner, outer = _core_axes(now.signature, len(inputs))
    shape, columns = _broadcast([asarray(x) for x in inputs], inner)
    count = int(np.prod(shape, dtype=int))
    # Only a call shows how many results there are, and their dtypes.
    if not count and now.otypes is None:
        raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
    is_tuple, results = _columns_of(of_elements, columns, count)
    arrays = _to_arrays(results, shape, now.otypes)
    if outer is not None and outer != len(arrays):
        raise ValueError(f"wrong number of outputs from pyfunc: expected {outer}, got {len(arrays)}")
    return arrays if is_tuple else arrays[0]


def _split_arguments(vectorize: Any, args: tuple, kwargs: dict) -> tuple[list, Callable]:
    """The arguments that are taken element by element (all but `excluded` ones), and the function of one element of each."""
    positions = [i for i in range(len(args)) if i not in vectorize.excluded]
    names = [name for name in kwargs if name not in vectorize.excluded]

    def of_elements(*elements: Any) -> Any:
        placed, named = list(args), dict(kwargs)
        for i, element in zip(positions, elements, strict=False):
            placed[i] = element
        named.update(zip(names, elements[len(positions) :], strict=True))
        return session().rules.call(vectorize.pyfunc, *placed, **named)

    return [*(args[i] for i in positions), *(kwargs[name] for name in names)], of_elements


def _core_axes(signature: str | None, count: int) -> tuple[list[int], int | None]:
    """How many axes of each input belong to one element, and the number of outputs, if a signature states it."""
    if signature is None:
        return [0] * count, None
    inputs, outputs = (re.findall(r"\(([^()]*)\)", side) for side in signature.split("->"))
    if len(inputs) != count:
        raise TypeError(f"wrong number of positional arguments: expected {len(inputs)}, got {count}")
    return [len([axis for axis in core.split(",") if axis.strip()]) for core in inputs], len(outputs)


def _broadcast(values: list, inner: list[int]) -> tuple[tuple[int, ...], list]:
    """The shape of the loop over elements, and each input with one leading axis for all elements, before its `inner` axes."""
    shape = np.broadcast_shapes(*(x.shape[: x.ndim - n] for x, n in zip(values, inner, strict=True)))
    return shape, [_rows(x, n, shape) for x, n in zip(values, inner, strict=True)]


def _rows(x: Any, inner: int, shape: tuple) -> Any:
    core = x.shape[x.ndim - inner :]
    return np.reshape(np.broadcast_to(x, (*shape, *core)), (-1, *core))


def _columns_of(function: Any, columns: list[LiftedArray], count: int) -> tuple[bool, list[list]]:
    """Does the function return tuples? And a list for each of its results, with one item for each element."""
    item = session().rules.item
    # As in NumPy, the first result decides.
    results = [function(*(_python(item(c, i)) for c in columns)) for i in range(count)]
    if not results or not isinstance(results[0], tuple):
        return False, [results]
    return True, [list(column) for column in zip(*results, strict=True)]


def _python(x: Any) -> Any:
    """An element as a Python number, as NumPy passes it."""
    if isinstance(x, Number):
        return session().rules.method(x, "item")()
    return x.item() if isinstance(x, np.generic) else x


def _to_arrays(columns: list[list], shape: tuple, otypes: Any) -> tuple:
    """The results as arrays of the loop's shape."""
    dtypes = list(map(_dtype, otypes or ())) or [None] * len(columns)
    return tuple(_to_shape(column, shape, dtype) for column, dtype in zip(columns, dtypes, strict=True))


def _dtype(kind: Any) -> np.dtype:
    """The dtype for an item of `otypes`: a letter, a dtype or a class of dtypes."""
    dtype: Any = kind
    return dtype() if isinstance(kind, type) and issubclass(kind, np.dtype) else np.dtype(kind)


def _to_shape(column: list, shape: tuple, kind: np.dtype | None) -> Any:
    """One result of all elements as an array, of dtype `kind`, or of that of the first one."""
    # NumPy casts all results to the dtype of the first, which truncates 0.5 to 0 if that is an int.
    if kind is None and any(_kind(x) != _kind(column[0]) for x in column):
        raise unliftable(
            "np.vectorize of a function that returns numbers of several kinds: NumPy casts all to the kind of the first",
            "otypes=[float]",
        )
    flat = asarray(column)
    flat = flat if kind is None else flat.astype(kind)
    result = np.reshape(flat, (*shape, *flat.shape[1:]))
    # If all arguments are scalars, NumPy returns one as well.
    return result if result.ndim else (wrap(raw(result)[()]) if not is_unknown(result) else result[()])


def _kind(x: Any) -> str:
    return asarray(x).dtype.kind
