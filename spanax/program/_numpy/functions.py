"""NumPy's functions on values of a lifted program.

Tried in this order: a rule of our own (`RULES`), if jax.numpy's function differs from NumPy's or NumPy returns a view; NumPy's
own function, if all arguments are known; the namesake in jax.numpy; NumPy's source, lifted like a function of the program.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._math.sorting import sorted_rows
from .._indexing.masked import Masked
from .._indexing.selections import argwhere, compress, extract, flatnonzero, nonzero, on_selections
from .._indexing.views import (
    atleast,
    expand_dims,
    flip,
    imag,
    moveaxis,
    ravel,
    real,
    reshape,
    rot90,
    sliding_windows,
    split,
    squeeze,
    swapaxes,
    transpose,
)
from .._session import session, unliftable
from .._values.matrices import Matrix, on_matrices
from .._values.trees import has_unknown, rewrap, unwrap
from .._values.values import SCALARS, Number, as_jax, canonical, raw, wrap
from .array_likes import with_arrays
from .choosing import (
    choose,
    copyto,
    fill_diagonal,
    nan_to_num,
    place,
    put,
    put_along_axis,
    putmask,
    take,
    take_along_axis,
)
from .combining import append, block, concatenate, dot, einsum, join_arrays
from .counting import bincount, histogram, histogramdd
from .creation import arange, array, asarray, full, full_like, known_shape, like, linspace, made_of
from .eigen import eig, eigvals, svd
from .errors import numpys_error, with_numpys_errors
from .namesakes import call_namesake, namesake_of
from .piecewise import piecewise
from .polynomials import POLYNOMIALS
from .triangles import cholesky, eigh, eigvalsh


def apply(function: Callable, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`, a function of NumPy's."""
    # Selections and matrices have their own versions of some functions, and raise for all others.
    if (chosen := next((x for x in (*args, *kwargs.values()) if isinstance(x, Masked)), None)) is not None:
        return on_selections(chosen, function, args, kwargs)
    if any(isinstance(x, Matrix) for x in (*args, *kwargs.values())) or _holds_matrices(args):
        return on_matrices(function, args, kwargs)
    args, kwargs = with_arrays(function, args, kwargs)
    return with_numpys_errors(lambda: _apply(function, args, kwargs), function, args, kwargs)


def _holds_matrices(args: tuple) -> bool:
    return any(isinstance(x, Matrix) for arg in args if isinstance(arg, (list, tuple)) for x in arg)


def _apply(function: Callable, args: tuple, kwargs: dict) -> Any:
    rule = RULES.get(function)
    if rule is not None:
        return rule(*args, **kwargs)
    out = kwargs.get("out")
    kwargs = {name: value for name, value in kwargs.items() if name != "out"}
    if not has_unknown((args, kwargs)):
        result = rewrap(function(*unwrap(args), **unwrap(kwargs)))
    elif (namesake := namesake_of(function)) is not None:
        result = _apply_namesake(function, namesake, args, kwargs)
    else:
        result = session().rules.source(function)(*args, **kwargs)
    # NumPy's functions fill `out` and return it.
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _apply_namesake(function: Callable, namesake: Callable, args: tuple, kwargs: dict) -> Any:
    try:
        return rewrap(call_namesake(namesake, args, kwargs))
    except (NotImplementedError, TypeError) as error:
        if isinstance(error, TypeError) and "unexpected keyword argument" not in str(error):
            raise
        # If NumPy fails as well, it is the user's mistake. If not, NumPy's source implements the option that jax.numpy lacks.
        if numpys_error(function, args, kwargs) is not None:
            raise
        return session().rules.source(function)(*args, **kwargs)


# -- functions that differ from their namesakes


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        if not has_unknown(condition):
            return rewrap(np.where(unwrap(condition)))
        return nonzero(condition)
    if not has_unknown((condition, choices)):
        return rewrap(np.where(unwrap(condition), *unwrap(choices)))
    x, y = (asarray(c) if isinstance(c, list) else c for c in choices)
    # jnp.where would promote by JAX's rules.
    dtype = np.result_type(*(_weak(c) for c in (x, y)))
    return rewrap(jnp.where(as_jax(condition) != 0, as_jax(x, dtype), as_jax(y, dtype)))


def _weak(x: Any) -> Any:
    """A value or dtype that promotes as x does. Python's scalars are weak in np.where, unlike in np.array."""
    if isinstance(x, Number) and x.python:
        return x.python(1)
    return raw(x) if isinstance(x, SCALARS) else x.dtype


def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    if kwargs:
        raise unliftable(f"np.clip({', '.join(kwargs)}=...) is not lifted", "the same without it")
    # In NumPy's order: if the bounds cross, the upper one wins.
    result = a
    if low is not None:
        result = np.maximum(result, low)
    if high is not None:
        result = np.minimum(result, high)
    # Without bounds NumPy copies.
    if result is a:
        result = np.positive(asarray(a))
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    # Row by row, as in NumPy: func1d is a function of the program, which may return an array of any shape.
    moved = moveaxis(arr, axis, -1)
    rows = reshape(moved, (-1, moved.shape[-1]))
    results = [asarray(session().rules.call(func1d, row, *args, **kwargs)) for row in rows]
    stacked = apply(np.stack, (results,), {})
    shaped = reshape(stacked, (*moved.shape[:-1], *results[0].shape))
    return moveaxis(shaped, -1, axis) if results[0].ndim else shaped


def _ix(*args: Any) -> Any:
    # Its arguments are sequences of indices, which must be known.
    return rewrap(np.ix_(*unwrap(args)))


def _known_or(rule: Callable, function: Callable) -> Callable:
    """The rule, and NumPy's own function if all arguments are known."""

    def apply_(*args: Any, **kwargs: Any) -> Any:
        if has_unknown((args, kwargs)):
            return rule(*args, **kwargs)
        return rewrap(function(*unwrap(args), **unwrap(kwargs)))

    return apply_


def _select(rule: Callable, function: Callable) -> Callable:
    """The rule, and indices of a known number of elements if the condition is known."""

    def apply_(condition: Any, arr: Any, *args: Any, **kwargs: Any) -> Any:
        if has_unknown(condition):
            return rule(condition, arr, *args, **kwargs)
        # With known indices the result has a known shape, although `arr` may be unknown.
        if function is np.extract:
            return np.ravel(arr)[np.flatnonzero(unwrap(asarray(condition)))]
        return np.take(arr, np.flatnonzero(unwrap(asarray(condition))), *args, **kwargs)

    return apply_


def _ndindex(*shape: Any) -> Any:
    return list(np.ndindex(*known_shape(shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape)))


def _ndenumerate(arr: Any) -> Any:
    # A list instead of NumPy's iterator, which would convert the array.
    x = asarray(arr)
    return [(index, session().rules.item(x, index)) for index in np.ndindex(*x.shape)]


def _isscalar(element: Any) -> bool:
    return isinstance(element, Number) or np.isscalar(element)


def _shape(a: Any) -> tuple:
    return asarray(a).shape


def _fromfunction(function: Callable, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    return session().rules.call(function, *map(wrap, np.indices(known_shape(shape), dtype)), **kwargs)


def _in1d(element: Any, test_elements: Any, **kwargs: Any) -> Any:
    return rewrap(jnp.isin(as_jax(asarray(element)), as_jax(asarray(test_elements)), **kwargs))


MANY = 2000  # entries from which NumPy's sort on the host is faster than XLA's, the transfer included


def _sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    data, axis = _rows(a, axis)
    if data.shape[axis] < MANY or data.dtype.kind != "f":
        return wrap(jnp.sort(data, axis))
    return wrap(jnp.moveaxis(sorted_rows(jnp.moveaxis(data, axis, -1)).values, -1, axis))


def _argsort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    data, axis = _rows(a, axis)
    # Stable for every `kind`: the others leave the order of equal elements open.
    if data.shape[axis] < MANY or data.dtype.kind != "f":
        return wrap(jnp.argsort(data, axis, stable=True))
    places = sorted_rows(jnp.moveaxis(jax.lax.stop_gradient(data), axis, -1)).order
    return wrap(jnp.moveaxis(places, -1, axis).astype(canonical(int)))


def _rows(a: Any, axis: int | None) -> tuple[jax.Array, int]:
    data = as_jax(asarray(a))
    return (data.reshape(-1), 0) if axis is None else (data, axis)


# With `_known_or`, known arguments go to NumPy's own function, at no cost when the program runs. The other rules are needed for
# them as well: they make arrays that the program writes, or views.
RULES: dict[Any, Callable] = {
    np.sort: _known_or(_sort, np.sort),
    np.argsort: _known_or(_argsort, np.argsort),
    np.linalg.cholesky: _known_or(cholesky, np.linalg.cholesky),
    np.linalg.eigh: _known_or(eigh, np.linalg.eigh),
    np.linalg.eigvalsh: _known_or(eigvalsh, np.linalg.eigvalsh),
    np.linalg.eig: _known_or(eig, np.linalg.eig),
    np.linalg.eigvals: _known_or(eigvals, np.linalg.eigvals),
    np.linalg.svd: _known_or(svd, np.linalg.svd),
    np.bincount: _known_or(bincount, np.bincount),
    np.array: array,
    np.asarray: asarray,
    np.asanyarray: asarray,
    np.ascontiguousarray: asarray,
    np.asfortranarray: asarray,
    np.require: asarray,
    np.lib.stride_tricks.sliding_window_view: sliding_windows,
    np.copy: lambda a, *args, **kwargs: array(a),
    np.zeros: made_of(np.zeros),
    np.ones: made_of(np.ones),
    # Programs must not read what np.empty holds. Zeros, since NaN in unread elements could reach gradients.
    np.empty: made_of(np.zeros),
    np.full: full,
    np.zeros_like: like(made_of(np.zeros)),
    np.ones_like: like(made_of(np.ones)),
    np.empty_like: like(made_of(np.zeros)),
    np.full_like: full_like,
    np.arange: arange,
    np.linspace: linspace,
    np.reshape: reshape,
    np.ravel: ravel,
    np.transpose: transpose,
    np.swapaxes: swapaxes,
    np.moveaxis: moveaxis,
    np.squeeze: squeeze,
    np.expand_dims: expand_dims,
    np.atleast_1d: atleast(np.atleast_1d),
    np.atleast_2d: atleast(np.atleast_2d),
    np.atleast_3d: atleast(np.atleast_3d),
    np.flip: flip,
    np.flipud: lambda m: flip(m, 0),
    np.fliplr: lambda m: flip(m, 1),
    np.rot90: rot90,
    np.split: split(np.split),
    np.array_split: split(np.array_split),
    np.vsplit: split(np.split, 0),
    np.hsplit: split(np.split, 1),
    np.dsplit: split(np.split, 2),
    np.real: real,
    np.imag: imag,
    np.nan_to_num: nan_to_num,
    np.copyto: copyto,
    np.fill_diagonal: fill_diagonal,
    np.nonzero: _known_or(nonzero, np.nonzero),
    np.flatnonzero: _known_or(flatnonzero, np.flatnonzero),
    np.argwhere: _known_or(argwhere, np.argwhere),
    np.extract: _select(extract, np.extract),
    np.compress: _select(compress, np.compress),
    np.put: put,
    np.put_along_axis: put_along_axis,
    np.putmask: putmask,
    np.place: place,
    np.where: _where,
    np.clip: _clip,
    np.append: append,
    np.concatenate: concatenate,
    np.stack: join_arrays(np.stack),
    np.hstack: join_arrays(np.hstack),
    np.vstack: join_arrays(np.vstack),
    np.dstack: join_arrays(np.dstack),
    np.column_stack: join_arrays(np.column_stack),
    np.apply_along_axis: _apply_along_axis,
    np.ix_: _ix,
    np.dot: _known_or(dot, np.dot),
    np.block: _known_or(block, np.block),
    np.einsum: _known_or(einsum, np.einsum),
    np.histogramdd: _known_or(histogramdd, np.histogramdd),
    np.choose: _known_or(choose, np.choose),
    np.take: _known_or(take, np.take),
    np.take_along_axis: _known_or(take_along_axis, np.take_along_axis),
    np.histogram: _known_or(histogram, np.histogram),
    np.ndindex: _ndindex,
    np.ndenumerate: _ndenumerate,
    np.isscalar: _isscalar,
    np.shape: _shape,
    np.ndim: lambda a: len(_shape(a)),
    np.size: lambda a, axis=None: int(np.prod(_shape(a), dtype=int)) if axis is None else _shape(a)[axis],
    np.fromfunction: _fromfunction,
    np.isin: _known_or(_in1d, np.isin),
    **POLYNOMIALS,
    np.matrix: Matrix,
    np.asmatrix: lambda data, dtype=None: Matrix(data, dtype, copy=False),
    np.piecewise: _known_or(piecewise, np.piecewise),
}
