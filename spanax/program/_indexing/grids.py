"""Arrays made by indexing: `np.r_`, `np.c_`, `np.mgrid` and `np.ogrid` of values that depend on the arguments.

`np.r_` has a small language of its own (directives such as '0,2', slices, imaginary steps). Instead of writing it again, NumPy
runs it on arrays of positions: the result says which number goes where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._numpy.creation import arange, asarray, linspace, weak_form
from .._session import unliftable
from .._values.trees import has_unknown, rewrap
from .._values.values import LiftedArray, as_jax, raw, wrap


def _ends(key: Any) -> Any:
    return (key.start, key.stop, key.step) if isinstance(key, slice) else key


def _is_known(index: Any) -> bool:
    return not has_unknown([_ends(key) for key in (index if isinstance(index, tuple) else (index,))])


def _plain(index: Any) -> Any:
    """A known index as NumPy takes it."""
    if isinstance(index, (tuple, list)):
        return type(index)(map(_plain, index))
    return slice(*map(raw, _ends(index))) if isinstance(index, slice) else raw(index)


def _steps(key: slice) -> Any:
    """`start:stop:step`; an imaginary step is a number of points, the end included."""
    start, step = 0 if key.start is None else key.start, key.step
    if isinstance(step, complex):
        return linspace(start, key.stop, int(abs(step)))
    return arange(start, key.stop, 1 if step is None else step)


def _concatenate(maker: Any, index: Any) -> Any:
    """`np.r_[...]` and `np.c_[...]`."""
    if _is_known(index):
        return rewrap(maker[_plain(index)])
    keys = index if isinstance(index, tuple) else (index,)
    if isinstance(keys[0], str) and keys[0] in ("r", "c"):
        raise unliftable("a matrix made by np.r_ or np.c_", "a directive of numbers: np.r_['0,2', a, b]", "np.block")
    parts = [key if isinstance(key, str) else _part(key) for key in keys]
    labels, numbers = _labels(parts)
    dtype = np.result_type(*map(weak_form, numbers))
    flat = jnp.concatenate([as_jax(part, dtype).reshape(-1) for part in numbers])
    return LiftedArray(flat[maker[tuple(labels)].astype(int)])


def _part(key: Any) -> Any:
    """The numbers that one part of the index adds: the steps of a slice, a list as an array."""
    if isinstance(key, slice):
        return _steps(key)
    return asarray(key) if isinstance(key, (list, tuple)) else key


def _labels(parts: list) -> tuple[list, list]:
    """What NumPy is given (directives, and for the numbers of each part their positions), and the parts with numbers."""
    labels, numbers = [], []
    count = 0
    for part in parts:
        if isinstance(part, str):
            labels.append(part)
            continue
        shape = np.shape(part.form if hasattr(part, "form") else part)
        size = int(np.prod(shape, dtype=int))
        places = np.arange(count, count + size, dtype=float).reshape(shape)
        labels.append(places if shape else float(count))
        numbers.append(part)
        count += size
    return labels, numbers


def _grid(maker: Any, index: Any) -> Any:
    """`np.mgrid[...]` and `np.ogrid[...]`."""
    if _is_known(index):
        return rewrap(maker[_plain(index)])
    if isinstance(index, slice):
        return _steps(index)
    axes = [as_jax(_steps(key)) for key in index]
    # All grids share a dtype in NumPy, those of np.ogrid as well.
    dtype = np.result_type(*(axis.dtype for axis in axes))
    grids = jnp.meshgrid(*(axis.astype(dtype) for axis in axes), indexing="ij", sparse=maker is np.ogrid)
    return tuple(map(wrap, grids)) if maker is np.ogrid else wrap(jnp.stack(grids))


MAKERS: dict[type, Callable] = {
    type(np.r_): _concatenate,
    type(np.c_): _concatenate,
    type(np.mgrid): _grid,
    type(np.ogrid): _grid,
}
