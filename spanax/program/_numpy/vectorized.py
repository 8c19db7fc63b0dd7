"""`np.vectorize`: a function of numbers, element by element."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from .._session import session, unliftable
from .._values.values import Array, Number, is_unknown, raw, wrapped
from .creation import asarray


def vectorized(function: np.vectorize, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`."""
    now: Any = function
    if getattr(now, "pyfunc", np._NoValue) is np._NoValue:  # np.vectorize(otypes=...), as a decorator
        return type(now)(*args, otypes=now.otypes, excluded=now.excluded, cache=now.cache, signature=now.signature)
    positions = [i for i in range(len(args)) if i not in now.excluded]
    names = [name for name in kwargs if name not in now.excluded]
    given = [*(args[i] for i in positions), *(kwargs[name] for name in names)]

    def of_elements(*elements: Any) -> Any:
        placed, named = list(args), dict(kwargs)
        for i, element in zip(positions, elements, strict=False):
            placed[i] = element
        named.update(zip(names, elements[len(positions) :], strict=True))
        return session().rules.call(now.pyfunc, *placed, **named)

    if not given:
        return of_elements()
    inner, outer = _core_axes(now.signature, len(given))
    values = [asarray(x) for x in given]
    shape = np.broadcast_shapes(*(x.shape[: x.ndim - n] for x, n in zip(values, inner, strict=True)))
    columns = [_rows(x, n, shape) for x, n in zip(values, inner, strict=True)]
    count = int(np.prod(shape, dtype=int))
    if not count and now.otypes is None:
        raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
    results = _columns_of(of_elements, columns, count)
    kinds = list(map(_dtype, now.otypes or ())) or [None] * len(results[1])
    made = [_shaped(column, shape, kind) for column, kind in zip(results[1], kinds, strict=True)]
    if outer is not None and outer != len(made):
        raise ValueError(f"wrong number of outputs from pyfunc: expected {outer}, got {len(made)}")
    return tuple(made) if results[0] else made[0]


def _core_axes(signature: str | None, count: int) -> tuple[list[int], int | None]:
    """How many axes of each input belong to one element, and how many outputs there are, if that is said."""
    if signature is None:
        return [0] * count, None
    inputs, outputs = (re.findall(r"\(([^()]*)\)", side) for side in signature.split("->"))
    if len(inputs) != count:
        raise TypeError(f"wrong number of positional arguments: expected {len(inputs)}, got {count}")
    return [len([axis for axis in core.split(",") if axis.strip()]) for core in inputs], len(outputs)


def _rows(x: Any, inner: int, shape: tuple) -> Any:
    core = x.shape[x.ndim - inner :]
    return np.reshape(np.broadcast_to(x, (*shape, *core)), (-1, *core))


def _columns_of(function: Any, columns: list[Array], count: int) -> tuple[bool, list[list]]:
    """Whether the function returns tuples, and its results one by one: for each of them a list."""
    item = session().rules.item
    results = [function(*(_python(item(c, i)) for c in columns)) for i in range(count)]
    if not results or not isinstance(results[0], tuple):
        return False, [results]
    return True, [list(column) for column in zip(*results, strict=True)]


def _python(x: Any) -> Any:
    """Elements are Python's numbers."""
    if isinstance(x, Number):
        return session().rules.method(x, "item")()
    return x.item() if isinstance(x, np.generic) else x


def _dtype(kind: Any) -> np.dtype:
    """Of what `otypes` holds: a letter, a dtype or a class of dtypes."""
    made: Any = kind
    return made() if isinstance(kind, type) and issubclass(kind, np.dtype) else np.dtype(kind)


def _shaped(column: list, shape: tuple, kind: np.dtype | None) -> Any:
    """The results in their places, of the dtype of the first one, or of the given one."""
    if kind is None and any(_kind(x) != _kind(column[0]) for x in column):
        raise unliftable(
            "np.vectorize of a function that returns numbers of several kinds: NumPy makes all of the kind of the first",
            "otypes=[float]",
        )
    made = asarray(column)
    made = made if kind is None else made.astype(kind)
    spread = np.reshape(made, (*shape, *made.shape[1:]))
    return spread if spread.ndim else (wrapped(raw(spread)[()]) if not is_unknown(spread) else spread[()])


def _kind(x: Any) -> str:
    return asarray(x).dtype.kind
