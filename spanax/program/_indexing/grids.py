"""Arrays made by indexing: `np.r_`, `np.c_`, `np.mgrid` and `np.ogrid` of values that depend on the arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._numpy.creation import arange, asarray, linspace, weak_form
from .._session import unliftable
from .._values.trees import has_unknown, rewrapped
from .._values.values import Array, as_jax, raw, wrapped


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
    """`start:stop:step`; an imaginary step is a number of points."""
    start, step = 0 if key.start is None else key.start, key.step
    if isinstance(step, complex):
        return linspace(start, key.stop, int(abs(step)))
    return arange(start, key.stop, 1 if step is None else step)


def _joined(maker: Any, index: Any) -> Any:
    """`np.r_[...]`: where each number goes, NumPy itself tells, by arrays of their places in place of the numbers."""
    if _is_known(index):
        return rewrapped(maker[_plain(index)])
    keys = index if isinstance(index, tuple) else (index,)
    if isinstance(keys[0], str) and keys[0] in ("r", "c"):
        raise unliftable("a matrix made by np.r_ or np.c_", "a directive of numbers: np.r_['0,2', a, b]", "np.block")
    labels: list[Any] = []
    parts: list[Any] = []
    count = 0
    for key in keys:
        if isinstance(key, str):
            labels.append(key)
            continue
        part = _steps(key) if isinstance(key, slice) else key
        part = asarray(part) if isinstance(part, (list, tuple)) else part
        shape = np.shape(part.form if hasattr(part, "form") else part)
        size = int(np.prod(shape, dtype=int))
        places = np.arange(count, count + size, dtype=float).reshape(shape)
        labels.append(places if shape else float(count))
        parts.append(part)
        count += size
    dtype = np.result_type(*map(weak_form, parts))
    flat = jnp.concatenate([as_jax(part, dtype).reshape(-1) for part in parts])
    return Array(flat[maker[tuple(labels)].astype(int)])


def _grid(maker: Any, index: Any) -> Any:
    """`np.mgrid[...]` and `np.ogrid[...]`."""
    if _is_known(index):
        return rewrapped(maker[_plain(index)])
    if isinstance(index, slice):
        return _steps(index)
    axes = [as_jax(_steps(key)) for key in index]
    dtype = np.result_type(*(axis.dtype for axis in axes))
    grids = jnp.meshgrid(*(axis.astype(dtype) for axis in axes), indexing="ij", sparse=maker is np.ogrid)
    return tuple(map(wrapped, grids)) if maker is np.ogrid else wrapped(jnp.stack(grids))


MAKERS: dict[type, Callable] = {
    type(np.r_): _joined,
    type(np.c_): _joined,
    type(np.mgrid): _grid,
    type(np.ogrid): _grid,
}
