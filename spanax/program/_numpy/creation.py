"""Making arrays: `np.array`, `np.zeros` and the like.

Known arrays stay NumPy's, inside a `LiftedArray`, and are computed while the program is traced. Lists of values are stacked. Rows
that a loop has stacked already are taken as they are, so that a list of n rows costs one operation, not n.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._session import unliftable
from .._values.constants import held_array, refuse_constants
from .._values.trees import has_unknown, rewrap, unwrap
from .._values.values import LiftedArray, Number, Slice, Value, as_jax, canonical, is_unknown, raw, wrap


def array(
    object: Any,
    dtype: Any = None,
    *,
    copy: Any = True,
    order: Any = None,
    subok: bool = False,
    ndmin: int = 0,
    like: Any = None,
) -> Any:
    """`np.array`."""
    del order, subok, like
    result = _array(object, dtype)
    if isinstance(result, np.ndarray):  # of texts or objects, which nothing is differentiated by
        return np.array(result, ndmin=ndmin)
    if isinstance(object, LiftedArray) and copy and result is object:
        result = LiftedArray(object.data)
    missing = ndmin - result.ndim if isinstance(result, LiftedArray) else 0
    return wrap(raw(result).reshape(*[1] * missing, *result.shape)) if missing > 0 else result


def _array(object: Any, dtype: Any) -> Any:
    # NumPy would make an array with one object, the iterator.
    if _is_stand_in_for_items(object):
        object = list(object)
    if isinstance(object, (Value, jax.Array)):
        return _array_of_value(object, dtype)
    if not has_unknown(object):
        known = np.array(unwrap(object), dtype)
        return wrap(held_array(known))
    # For strings and objects what follows raises as well, but without remedies.
    if dtype is not None:
        refuse_constants(dtype)
    data = _stack(object)
    return LiftedArray(data if dtype is None else data.astype(canonical(dtype)))


def _is_stand_in_for_items(object: Any) -> bool:
    """Is it an iterator, or one of our stand-ins for items?"""
    is_ours = type(object).__module__.startswith("spanax.program") and not isinstance(object, Value)
    return is_ours or hasattr(object, "__next__")


def _array_of_value(x: Any, dtype: Any) -> LiftedArray:
    if dtype is None or np.dtype(dtype) == x.dtype:
        return x if isinstance(x, LiftedArray) else LiftedArray(raw(x))
    return LiftedArray(as_jax(x, dtype)) if is_unknown(x) else LiftedArray(np.array(raw(x), dtype))


def _stack(parts: Any) -> jax.Array:
    """One array from nested lists of values."""
    if not isinstance(parts, (list, tuple)):
        return as_jax(parts)
    if not parts:
        return jnp.zeros(0)
    runs = _runs(parts)
    # All rows were appended by one loop, and its stack is the array.
    if len(runs) == 1 and isinstance(runs[0], jax.Array):
        return runs[0]
    # NumPy promotes over all elements at any depth, not list by list.
    dtype = np.result_type(*map(weak_form, _flat(parts)))
    if dtype.kind not in "biufc":
        raise unliftable("an array of objects", "an array of numbers, or a list")
    dtype = canonical(dtype)
    blocks = [
        r.astype(dtype) if isinstance(r, jax.Array) else jnp.stack([_stack(p).astype(dtype) for p in r]) for r in runs
    ]
    return blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks)


def _runs(parts: Sequence) -> list:
    """The parts in order: neighbours from the same stack as a slice of it, runs of other parts as lists."""
    runs: list[Any] = []
    i = 0
    # With an index, because a run may end anywhere: one slice of the stack serves all its rows.
    while i < len(parts):
        first = getattr(parts[i], "form", None)
        if isinstance(first, Slice):
            j = i
            while j < len(parts) and _follows(first, parts[j], j - i):
                j += 1
            runs.append(first.stack[first.index : first.index + j - i])
            i = j
        else:
            singles = runs[-1] if runs and isinstance(runs[-1], list) else []
            if not singles:
                runs.append(singles)
            singles.append(parts[i])
            i += 1
    return runs


def _follows(first: Slice, part: Any, distance: int) -> bool:
    form = getattr(part, "form", None)
    return isinstance(form, Slice) and form.stack is first.stack and form.index == first.index + distance


def _flat(parts: Any):
    for part in parts:
        if isinstance(part, (list, tuple)):
            yield from _flat(part)
        else:
            yield part


def weak_form(x: Any) -> Any:
    """A dtype that promotes as x does inside np.array."""
    # There Python's scalars are not weak: np.array([1.0, np.float32(2)]) has dtype float64.
    if isinstance(x, Number):
        return np.dtype(x.python) if x.python else x.dtype
    return np.dtype(x.dtype) if hasattr(x, "dtype") else np.asarray(raw(x)).dtype


def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """`np.asarray`: returns an array as it is."""
    return array(a, dtype, copy=False)


def like(function: Callable) -> Callable:
    """`np.zeros_like` and the like, from the function that takes a shape."""

    def make(a: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, **kwargs: Any) -> Any:
        form = asarray(a)
        return function(form.shape if shape is None else shape, dtype=dtype or form.dtype, **kwargs)

    return make


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """`np.full`."""
    shape = known_shape(shape)
    if not is_unknown(fill_value):
        return wrap(held_array(np.full(shape, unwrap(fill_value), dtype)))
    value = as_jax(fill_value, dtype)
    return LiftedArray(jnp.broadcast_to(value, shape))


def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    form = asarray(a)
    return full(form.shape, fill_value, dtype or form.dtype)


def known_shape(shape: Any) -> Any:
    """A shape of known numbers; `Number.__index__` raises for any other."""
    if isinstance(shape, (tuple, list)):
        return tuple(s.__index__() for s in shape)
    if isinstance(shape, LiftedArray):
        return tuple(np.asarray(shape).tolist())
    return shape.__index__()


def made_of(function: Callable) -> Callable:
    """`np.zeros` and the like, from the function of NumPy."""
    return lambda shape, dtype=None, **kwargs: wrap(function(known_shape(shape), dtype))


def arange(*bounds: Any, dtype: Any = None, **kwargs: Any) -> Any:
    """`np.arange`, whose length is known."""
    # Raises the error for a number that must be known, with remedies.
    for bound in bounds:
        if is_unknown(bound):
            bound.__index__()
    return LiftedArray(np.arange(*map(raw, bounds), dtype=dtype))


def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    """`np.linspace`, whose ends may depend on the arguments."""
    num = num.__index__()
    if not has_unknown((start, stop)):
        return rewrap(cast(Any, np.linspace)(raw(start), raw(stop), num, endpoint, retstep, dtype, axis))
    return rewrap(jnp.linspace(as_jax(start), as_jax(stop), num, endpoint, retstep, dtype, axis=axis))
