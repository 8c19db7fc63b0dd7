"""Arrays of None, texts and the like: held and read, as long as no value that depends on the arguments meets them.

JAX has no arrays of objects. Constant ones need none: they are NumPy's own, the same in every branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .._session import unliftable

NUMERIC = "biufc"


def is_constant_array(x: Any) -> bool:
    return isinstance(x, np.ndarray) and x.dtype.kind not in NUMERIC


def held_array(known: np.ndarray) -> np.ndarray:
    """The array itself, if its objects cannot change; else an error."""
    # A write into one of its objects would be seen by no cell, and could not be undone.
    if known.dtype.kind == "O" and not all(map(_is_constant, known.flat)):
        raise unliftable("an array of objects", "an array of numbers, or a list")
    return known


def _is_constant(x: Any) -> bool:
    return x is None or isinstance(x, (str, bytes, bool, int, float, complex, np.generic))


def same_constants(x: np.ndarray, y: np.ndarray) -> bool:
    # Element by element: `==` of arrays of objects may give anything that the objects' own `==` does.
    alike = x.dtype == y.dtype and x.shape == y.shape
    return alike and all(a is b or (type(a) is type(b) and a == b) for a, b in zip(x.flat, y.flat, strict=True))


def refuse_constants(dtype: Any) -> None:
    """Raises for a dtype of objects or text, in a computation with values that depend on the arguments."""
    if np.dtype(dtype).kind in "OSUmM":
        raise unliftable(
            "an array of objects or texts in a computation with values that depend on the arguments",
            "an array of numbers",
            "None as it is, and `is None`, for what is not there yet",
        )


_WRITING = frozenset("fill sort partition put itemset resize byteswap setfield setflags".split())


def refuse_writing(target: Any, method: str | None = None) -> None:
    """Raises for a write into an array of objects or text, which a branch or a loop could not undo."""
    if is_constant_array(target) and (method is None or method in _WRITING):
        raise unliftable(
            "an array of objects or texts is written in place",
            "a list of them",
            "another array, bound to the same name",
        )
