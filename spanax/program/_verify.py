"""Does a lifted program give what the function itself gives?"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._errors import SpanaxError
from .._jaxprs import defined

TOLERANCES = {4: 1e-4, 8: 1e-9}  # by the bytes of a number


def check_values(f: Callable, args: tuple, kwargs: dict, result: Any) -> None:
    """Runs f on copies of the arguments, as NumPy arrays, and compares; `SpanaxError` where they differ."""
    given, named = jax.tree.map(
        lambda x: (
            np.array(x)
            if isinstance(x, jax.Array) and x.ndim
            else x.item()
            if isinstance(x, jax.Array)
            else copy.deepcopy(x)
        ),
        (args, kwargs),
    )
    expected = f(*given, **named)
    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=False)
    same_form = len(jax.tree.leaves(result)) == len(jax.tree.leaves(expected))
    for ours, plain in pairs:
        same_form = same_form and _is_close(ours, plain)
    if not same_form:
        raise SpanaxError(
            f"the lifted program gives {result!r}, and the function itself {expected!r}",
            "without numbers that are drawn anew or read from the world in each call",
            "double precision: jax.config.update('jax_enable_x64', True)",
            "a report to Spanax, with the function",
            where=defined(f),
        )


def _is_close(ours: Any, plain: Any) -> bool:
    if not isinstance(ours, (jax.Array, np.ndarray, float, int, complex)):
        return ours is plain or bool(ours == plain)
    x, y = np.asarray(ours), np.asarray(plain)
    if x.shape != y.shape:
        return False
    tolerance = TOLERANCES.get(x.dtype.itemsize, 1e-9)
    return bool(np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True))
