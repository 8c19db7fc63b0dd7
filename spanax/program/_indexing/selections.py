"""Selections by masks that are not known until the program runs: the functions that make them, indexing, and NumPy's functions.

`np.nonzero(mask)` and `np.flatnonzero(mask)` are selections, too: of the indices themselves. Where they index an array, as in
`x[np.where(mask)[0]]`, the array is read at every place of the mask (at 0 where it does not hold), and the result is a selection
by the same mask.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._numpy.creation import asarray
from .._session import session, unliftable
from .._values.trees import has_composite
from .._values.values import LiftedArray, Number, Value, as_jax, canonical
from .indices import index_parts, resolve_index
from .masked import REDUCTIONS, Masked, over
from .views import ravel

# -- functions whose result is a selection


def nonzero(a: Any) -> tuple:
    """`np.nonzero(a)`, and `np.where(a)`."""
    mask = _mask(a)
    grid = np.indices(mask.shape, canonical(int))
    return tuple(Masked(axis, mask) for axis in grid)


def _mask(a: Any) -> LiftedArray:
    x = asarray(a)
    if not x.ndim:
        raise ValueError("Calling nonzero on 0d arrays is not allowed.")
    return LiftedArray(as_jax(x) != 0)


def flatnonzero(a: Any) -> Masked:
    mask = _mask(a)
    return Masked(np.arange(mask.size, dtype=canonical(int)).reshape(mask.shape), mask)


def argwhere(a: Any) -> Masked:
    mask = _mask(a)
    return Masked(np.moveaxis(np.indices(mask.shape, canonical(int)), 0, -1), mask)


def extract(condition: Any, arr: Any) -> Any:
    return Masked(LiftedArray(ravel(arr).data), _mask(ravel(condition)))


def compress(condition: Any, a: Any, axis: int | None = None, out: Any = None) -> Any:
    x, chosen = asarray(a), _mask(condition)
    x = ravel(x) if axis is None else x
    if out is not None or (axis or 0) % x.ndim or chosen.ndim != 1 or len(chosen) > len(x):
        raise unliftable(
            "np.compress along another axis than the first, or with out=", "x.T[mask]", "np.where(mask, x, other)"
        )
    return Masked(as_jax(x)[: len(chosen)], chosen)


# -- elements


def in_index(index: Any) -> Masked | None:
    """The selection in an index, if there is one."""
    return next((p for p in index_parts(index) if isinstance(p, Masked)), None)


def at_places(target: LiftedArray, index: Any) -> Masked:
    """`x[np.where(mask)[0]]`: an element, or a row, for each place."""
    return Masked(session().rules.item(target, _full_index(index)), in_index(index)._mask)  # type: ignore[union-attr]


def _full_index(index: Any) -> tuple:
    """The index everywhere; 0 where the mask does not hold."""
    parts = index_parts(index)
    first = parts[0]
    # NumPy puts the axis of selected elements where the places stand in the index; a `Masked` has it first.
    if not isinstance(first, Masked) or any(isinstance(p, Value) and p.ndim for p in parts):
        raise unliftable(
            "an index with places that a mask chooses behind other axes, or beside other arrays",
            "the places first: x.T[places]",
            "np.where(mask, x, other)",
        )
    return tuple(_ints(p, first) if isinstance(p, Masked) else p for p in parts)


def _ints(places: Masked, first: Masked) -> LiftedArray:
    if places.dtype.kind not in "iu" or places.ndim != 1:
        raise places.refusal()
    values, mask = as_jax(places.spread(first._mask)), as_jax(first._mask)
    # 0 is within bounds of every axis that is not empty, so reading there passes the check; the mask hides the result.
    return LiftedArray(jnp.where(mask, values, 0))


def store_places(target: LiftedArray, index: Any, value: Any) -> None:
    """`x[np.where(mask)[0]] = value`."""
    chosen: Any = in_index(index)
    parts = list(resolve_index(target, _full_index(index))[0])
    mask = as_jax(chosen._mask)
    # Where the mask does not hold, the index is past the end, and JAX drops the write.
    parts[0] = jnp.where(mask, parts[0], target.shape[0])
    data = as_jax(target)
    room = data.ndim - sum(1 for p in parts if not isinstance(p, slice) and p is not None and p is not Ellipsis)
    target.write(data.at[tuple(parts)].set(as_jax(per_element(value, chosen, room), data.dtype), mode="drop"))


def per_element(value: Any, chosen: Masked, room: int) -> Any:
    """One value for all selected elements, one for each, or one row for all. `room`: how many axes an element has.

    A value with more axes than that has one row for each element, and nobody knows how many these are.
    """
    if isinstance(value, Masked):
        return value.spread(chosen._mask)
    x = asarray(value) if isinstance(value, (list, tuple)) else value
    if np.ndim(x if not isinstance(x, Value) else x.form) > room:
        raise unliftable(
            "as many values as a mask chooses, whose number is not known while the program is traced",
            "values that the same mask chooses: x[mask] = y[mask]",
            "np.where(mask, values, x) with values of the shape of x",
        )
    return x


def masked_item(target: Masked, index: Any) -> Any:
    """`x[mask][index]`."""
    if _is_inner_mask(index):
        # A selection of a selection: both masks hold.
        return Masked(target._values, LiftedArray(as_jax(target._mask) & as_jax(index.spread(target._mask))))
    if isinstance(index, (int, np.integer)) and not isinstance(index, bool):
        return target.place(int(index))
    if isinstance(index, Number) and index.dtype.kind in "iu":
        return target.place(index)
    if _begins_with_elements(index):
        element, *rest = index_parts(index)
        first = masked_item(target, element)
        return first if not rest else session().rules.item(first, tuple(rest) if len(rest) > 1 else rest[0])
    return Masked(session().rules.item(target._values, _beside(target, index)), target._mask)


def _is_inner_mask(index: Any) -> bool:
    """Is it a mask with one boolean for each element of a selection, as in `x[mask][inner]`?"""
    return isinstance(index, Masked) and index.dtype.kind == "b" and index.ndim == 1


def _begins_with_elements(index: Any) -> bool:
    """Does it choose elements first, and then parts of them, as in `x[mask][0, 1:]`?"""
    return isinstance(index, tuple) and bool(index) and not isinstance(index[0], slice) and index[0] is not Ellipsis


def _beside(target: Masked, index: Any) -> tuple:
    """The index for all values, of an index that leaves the selection's first axis alone."""
    parts: Any = index_parts(index)
    if parts == (Ellipsis,):
        return parts
    known = all(isinstance(p, (slice, int, np.integer)) or p is None for p in parts)
    if not parts or not known or not isinstance(parts[0], slice) or parts[0] != slice(None):
        raise target.refusal()
    # The selection's first axis stands for all axes of the mask.
    return (*[slice(None)] * target._mask.ndim, *parts[1:])


def masked_store(target: Masked, index: Any, value: Any) -> None:
    """`x[mask][index] = value`. As in NumPy the selection is a copy, so x does not change."""
    if _is_inner_mask(index):
        inside = LiftedArray(as_jax(index.spread(target._mask)) & as_jax(target._mask))
        new = value.spread(inside) if isinstance(value, Masked) else target.full(value)
        data = as_jax(target._values)
        target._values.write(jnp.where(over(as_jax(inside), data), as_jax(new, data.dtype), data))
        return
    session().rules.store(target._values, _beside(target, index), target.full(value))


# -- NumPy's functions

_EVERYWHERE = -1
# Which argument goes element by element.
_ELEMENTWISE: dict[Any, int] = {
    **dict.fromkeys((np.where, np.clip, np.isclose), _EVERYWHERE),
    **dict.fromkeys((np.round, np.around, np.fix, np.real, np.imag, np.nan_to_num, np.sinc, np.i0, np.angle), 0),
    **dict.fromkeys((np.interp, np.digitize, np.isin, np.zeros_like, np.ones_like, np.full_like, np.copy), 0),
    **dict.fromkeys((np.iscomplex, np.isreal, np.isposinf, np.isneginf, np.asarray, np.array, np.asanyarray), 0),
    **dict.fromkeys((np.conjugate,), 0),
    **dict.fromkeys((np.polyval, np.searchsorted), 1),
}
_REDUCING = {getattr(np, name): name for name in REDUCTIONS} | {np.amax: "max", np.amin: "min"}


def on_selections(chosen: Masked, function: Callable, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)` of NumPy's, where `chosen` is among the arguments."""
    if function in _REDUCING and args and args[0] is chosen and not has_composite((args[1:], kwargs)):
        return chosen.reduce(_REDUCING[function], *args[1:], **kwargs)
    if function in _OWN:
        return _call_own(chosen, function, args, kwargs)
    if places := _element_places(function, args, kwargs):
        return _call_elementwise(chosen, function, places, args, kwargs)
    raise chosen.refusal()


def _call_own(chosen: Masked, function: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        # Our versions take the common arguments; NumPy's others (out=, where=) raise, rather than being ignored.
        inspect.signature(_OWN[function]).bind(*args, **kwargs)
    except TypeError:
        raise chosen.refusal() from None
    return _OWN[function](*args, **kwargs)


def _element_places(function: Callable, args: tuple, kwargs: dict) -> list[int]:
    """Which arguments go element by element; none if the function is not elementwise, or another argument is a selection."""
    if function not in _ELEMENTWISE or has_composite(kwargs):
        return []
    place = _ELEMENTWISE[function]
    places = [i for i in range(len(args)) if place in (i, _EVERYWHERE)]
    return [] if has_composite([a for i, a in enumerate(args) if i not in places]) else places


def _call_elementwise(chosen: Masked, function: Callable, places: list[int], args: tuple, kwargs: dict) -> Any:
    def run(*full: Any) -> Any:
        by_place = dict(zip(places, full, strict=True))
        new = tuple(by_place.get(i, a) for i, a in enumerate(args))
        return session().rules.function(function, new, dict(kwargs))

    return chosen.elementwise(run, tuple(args[i] for i in places))


def _norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    # For a matrix `ord` means singular values or sums of rows, not a reduction of all elements.
    if ord not in (None, 1, 2, np.inf) or (axis is None and x.ndim > 1 and ord is not None) or isinstance(axis, tuple):
        raise x.refusal()
    size = abs(x)
    if ord in (1, np.inf):
        return size.reduce("sum" if ord == 1 else "max", axis, keepdims=keepdims)
    return np.sqrt((size * size).reduce("sum", axis, keepdims=keepdims))


def _average(a: Any, axis: Any = None, weights: Any = None) -> Any:
    if weights is None:
        return a.reduce("mean", axis)
    if not isinstance(a, Masked) or not isinstance(weights, Masked) or a.ndim != weights.ndim:
        raise (a if isinstance(a, Masked) else weights).refusal()
    product: Any = session().rules.ufunc(np.multiply, "__call__", (a, weights), {})
    return product.reduce("sum", axis) / weights.reduce("sum", axis)


def _cumulative(name: str, neutral: float) -> Callable:
    # With the neutral element where the mask does not hold, each selected place gets the sum of the selected ones up to it.
    def accumulate(a: Masked, axis: int | None = None) -> Masked:
        if a._mask.ndim != 1 or a.ndim != 1 or axis not in (None, 0, -1):
            raise a.refusal()
        data = as_jax(a._values)
        return Masked(getattr(jnp, name)(jnp.where(as_jax(a._mask), data, jnp.asarray(neutral, data.dtype))), a._mask)

    return accumulate


def _flat(x: Masked) -> Masked:
    if x.ndim != 1:
        raise x.refusal()
    return x.copy()


_OWN: dict[Any, Callable] = {
    **dict.fromkeys((np.dot, np.inner, np.vdot), lambda a, b: (a if isinstance(a, Masked) else b).product((a, b), {})),
    np.linalg.norm: _norm,
    np.average: _average,
    np.cumsum: _cumulative("cumsum", 0),
    np.cumprod: _cumulative("cumprod", 1),
    np.median: lambda a: a.quantile(0.5),
    np.quantile: lambda a, q: a.quantile(q),
    np.percentile: lambda a, q: a.quantile(q / 100),
    np.count_nonzero: lambda a, axis=None: (a != 0).reduce("sum", axis),
    np.shape: lambda a: a.shape,
    np.ndim: lambda a: a.ndim,
    np.size: lambda a: a.size,
    np.ravel: _flat,
    np.squeeze: _flat,
}
