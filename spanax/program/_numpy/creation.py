"""Making arrays: `np.array`, `np.zeros` and the like."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np

from .._session import unliftable
from .._values.constants import held_array, refuse_constants
from .._values.trees import has_unknown, rewrapped, unwrapped
from .._values.values import Array, Number, Slice, Value, as_jax, canonical, is_unknown, raw, wrapped


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
    made = _array(object, dtype)
    if isinstance(made, np.ndarray):  # of texts or objects, which nothing is differentiated by
        return np.array(made, ndmin=ndmin)
    if isinstance(object, Array) and copy and made is object:
        made = Array(object.data)
    missing = ndmin - made.ndim if isinstance(made, Array) else 0
    return wrapped(raw(made).reshape(*[1] * missing, *made.shape)) if missing > 0 else made


def _array(object: Any, dtype: Any) -> Any:
    if hasattr(object, "__next__") or (
        type(object).__module__.startswith("spanax.program") and not isinstance(object, Value)
    ):
        object = list(object)
    if isinstance(object, (Value, jax.Array)):
        if dtype is None or np.dtype(dtype) == object.dtype:
            return object if isinstance(object, Array) else Array(raw(object))
        return Array(as_jax(object, dtype)) if is_unknown(object) else Array(np.array(raw(object), dtype))
    if not has_unknown(object):
        known = np.array(unwrapped(object), dtype)
        return wrapped(held_array(known))
    if dtype is not None:
        refuse_constants(dtype)
    data = _stacked(object)
    return Array(data if dtype is None else data.astype(canonical(dtype)))


def _stacked(parts: Any) -> jax.Array:
    """Nested lists of values, one array."""
    if not isinstance(parts, (list, tuple)):
        return as_jax(parts)
    if not parts:
        return jnp.zeros(0)
    runs = _runs(parts)
    if len(runs) == 1 and isinstance(runs[0], jax.Array):
        return runs[0]
    dtype = np.result_type(*map(weak_form, _flat(parts)))
    if dtype.kind not in "biufc":
        raise unliftable("an array of objects", "an array of numbers, or a list")
    dtype = canonical(dtype)
    blocks = [
        r.astype(dtype) if isinstance(r, jax.Array) else jnp.stack([_stacked(p).astype(dtype) for p in r]) for r in runs
    ]
    return blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks)


def _runs(parts: Sequence) -> list:
    """Neighbours that a loop has stacked already, as the stack; others in lists."""
    runs: list[Any] = []
    i = 0
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
    """Something with the promotion of x."""
    if isinstance(x, Number):
        return np.dtype(x.python) if x.python else x.dtype
    return np.dtype(x.dtype) if hasattr(x, "dtype") else np.asarray(raw(x)).dtype


def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    return array(a, dtype, copy=False)


def like(function: Callable) -> Callable:
    def make(a: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, **kwargs: Any) -> Any:
        form = asarray(a)
        return function(form.shape if shape is None else shape, dtype=dtype or form.dtype, **kwargs)

    return make


def full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    shape = known_shape(shape)
    if not is_unknown(fill_value):
        made = np.full(shape, unwrapped(fill_value), dtype)
        return wrapped(held_array(made))
    value = as_jax(fill_value, dtype)
    return Array(jnp.broadcast_to(value, shape))


def full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    form = asarray(a)
    return full(form.shape, fill_value, dtype or form.dtype)


def known_shape(shape: Any) -> Any:
    """A shape of known numbers; `Number.__index__` raises for the others."""
    if isinstance(shape, (tuple, list)):
        return tuple(s.__index__() for s in shape)
    if isinstance(shape, Array):
        return tuple(np.asarray(shape).tolist())
    return shape.__index__()


def made_of(function: Callable) -> Callable:
    return lambda shape, dtype=None, **kwargs: wrapped(function(known_shape(shape), dtype))


def arange(*bounds: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if any(map(is_unknown, bounds)):
        for b in bounds:
            if is_unknown(b):
                b.__index__()
    return Array(np.arange(*map(raw, bounds), dtype=dtype))


def linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    num = num.__index__()
    if not has_unknown((start, stop)):
        return rewrapped(cast(Any, np.linspace)(raw(start), raw(stop), num, endpoint, retstep, dtype, axis))
    return rewrapped(jnp.linspace(as_jax(start), as_jax(stop), num, endpoint, retstep, dtype, axis=axis))
