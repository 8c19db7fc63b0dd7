"""Does a lifted program give what the function itself gives?

Both are run on the same arguments, and their results compared to the precision of their numbers: a sum in another order
differs in the last digits.
"""

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
    own_args, own_kwargs = jax.tree.map(_as_numpy, (args, kwargs))
    expected = f(*own_args, **own_kwargs)
    pairs = zip(jax.tree.leaves(result), jax.tree.leaves(expected), strict=False)
    # By the leaves, not by the trees: a list of JAX arrays is compared with an array of NumPy's.
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


def _as_numpy(x: Any) -> Any:
    """A copy, as f may write what it is given; of a JAX array, as what f would be given in plain Python."""
    if not isinstance(x, jax.Array):
        return copy.deepcopy(x)
    return np.array(x) if x.ndim else x.item()


def _is_close(ours: Any, plain: Any) -> bool:
    # Text, None and objects come through lifting as they are.
    if not isinstance(ours, (jax.Array, np.ndarray, float, int, complex)):
        return ours is plain or bool(ours == plain)
    x, y = np.asarray(ours), np.asarray(plain)
    if x.shape != y.shape:
        return False
    tolerance = TOLERANCES.get(x.dtype.itemsize, 1e-9)
    return bool(np.allclose(x, y, rtol=tolerance, atol=tolerance, equal_nan=True))
