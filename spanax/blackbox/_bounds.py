"""The bounds of x that a user gives, as arrays for each of its leaves.

Two roundings are kept of each bound: the nearest number in x's own dtype, for x itself (a user who writes 0.1 means the float32
that prints as 0.1), and one rounded inwards, for the points of a derivative, which a simulator in float64 then finds inside too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._jaxprs import is_traced

_HOW = "bounds=(lower, upper): numbers, or pytrees of x's structure with a number or an array for each leaf, None for no bound"
# Spacings of floats between two bounds, at the least, where x is differentiated.
_RESOLUTION = 64


class Bounds(NamedTuple):
    """Of one leaf of x, each of its shape and dtype.

    - `lower`, `upper`: as they are in that dtype, for x itself;
    - `low`, `high`: rounded inwards, for the points of a derivative: those are inside in float64 as well.
    """

    lower: np.ndarray
    upper: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def outside(self, rows: np.ndarray) -> np.ndarray:
        """Which numbers of rows of this leaf lie beyond the bounds; NaN does not."""
        # A complex step moves into the imaginary direction, where there are no bounds.
        real = np.real(rows) if np.iscomplexobj(rows) else rows
        return (real < self.lower) | (real > self.upper)


def check_bounds(bounds: Any, who: str = "blackbox") -> None:
    """Raises `SpanaxError` for what cannot be bounds of anything. `who`: the function that they were given to."""
    if not isinstance(bounds, tuple | list) or len(bounds) != 2:
        raise SpanaxError(f"{who}(bounds={bounds!r})", _HOW)
    refuse_foreign(bounds)
    for bound in _flat(bounds)[0]:
        if is_traced(bound):
            problem = f"{who}(bounds=...) are traced: which points they allow would not be known"
            raise SpanaxError(problem, "bounds that are numbers or NumPy arrays")
        array = np.asarray(-np.inf if bound is None else bound)
        if array.dtype == bool or not (jnp.issubdtype(array.dtype, jnp.floating) or array.dtype.kind in "iu"):
            raise SpanaxError(f"{who}(bounds={bounds!r})", _HOW)
        # NaN compares false with everything: every x would be inside.
        if np.any(np.isnan(array)):
            raise SpanaxError(f"{who}(bounds=...) hold a NaN", _HOW)


def bounds_of(bounds: Any, leaves: Sequence[Any], tree: Any, who: str = "blackbox") -> tuple[Bounds, ...]:
    """For each leaf of x; raises `SpanaxError` where they do not fit x, or a lower one is above its upper one."""
    lower, upper = (
        _of_leaves(f"{who}(bounds=...): {name}", name, bound, leaves, tree)
        for name, bound in zip(_NAMES, bounds, strict=True)
    )
    result = [_round_inwards(low, high, leaf.dtype) for low, high, leaf in zip(lower, upper, leaves, strict=True)]
    for each in result:
        if np.any(each.lower > each.upper):
            raise SpanaxError(f"{who}(bounds=...): a lower bound is above its upper one", _HOW)
    return tuple(result)


def check_room(bounds: Sequence[Bounds], active: Sequence[bool], where: str) -> None:
    """Raises `SpanaxError` where two bounds leave no room for a derivative."""
    # A step between bounds that are a few floats apart would be rounding, and the derivative noise.
    for each, moves in zip(bounds, active, strict=True):
        if moves:
            # Infinite bounds leave room, whatever their difference gives.
            low, high = each.low.astype(np.float64), each.high.astype(np.float64)
            with np.errstate(invalid="ignore"):
                size = np.where(np.isfinite(high - low), np.maximum(abs(low), abs(high)), 0)
            if np.any(high - low < _RESOLUTION * float(jnp.finfo(each.low.dtype).eps) * size) or np.any(high <= low):
                raise SpanaxError(
                    "a number of x is differentiated whose bounds leave no room for another one",
                    "a leaf of x of its own for what is fixed, which is then not differentiated",
                    "wider bounds",
                    where=where,
                )


_NAMES = ("lower", "upper")
_MISSING = (-np.inf, np.inf)


def _flat(tree: Any) -> tuple[list[Any], Any]:
    return jax.tree.flatten(tree, is_leaf=lambda x: x is None)


def _of_leaves(called: str, name: str, bound: Any, leaves: Sequence[Any], tree: Any) -> list[np.ndarray]:
    # Where x is one array, [0, 0, 1] is its bound and not a pytree of three.
    if jax.tree_util.treedef_is_leaf(tree) and isinstance(bound, list | tuple):
        bound = np.asarray(bound, np.float64)
    numbers, form = _flat(bound)
    if jax.tree_util.treedef_is_leaf(form):
        numbers = numbers * len(leaves)
    elif form != tree:
        raise SpanaxError(f"{called} has the structure {form}, and x has {tree}", _HOW)
    arrays = []
    for number, leaf in zip(numbers, leaves, strict=True):
        array = np.asarray(_MISSING[_NAMES.index(name)] if number is None else number, np.float64)
        try:
            arrays.append(np.broadcast_to(array, leaf.shape))
        except ValueError:
            problem = f"{called} has the shape {array.shape}, and x {leaf.shape}"
            raise SpanaxError(problem, _HOW) from None
    return arrays


def _round_inwards(lower: np.ndarray, upper: np.ndarray, dtype: Any) -> Bounds:
    # Integers of x are never probed, and keep their bounds as they are.
    if not jnp.issubdtype(dtype, jnp.floating):
        return Bounds(lower, upper, lower, upper)
    with np.errstate(over="ignore"):
        low, high = lower.astype(dtype), upper.astype(dtype)
    # The cast rounds to nearest, which may be just outside: one float further in then.
    up, down = np.asarray(np.inf, dtype), np.asarray(-np.inf, dtype)
    return Bounds(
        low,
        high,
        np.where(low.astype(np.float64) < lower, np.nextafter(low, up), low),
        np.where(high.astype(np.float64) > upper, np.nextafter(high, down), high),
    )
