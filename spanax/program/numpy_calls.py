"""NumPy's functions on values of a lifted program: by their namesakes in jax.numpy, but for those that differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..hard._sorting import sorted_rows
from ._making import arange, array, asarray, full, full_like, known_shape, like, linspace, made_of
from ._piecewise import piecewise
from ._session import line, session, unliftable
from ._trees import has_unknown, rewrapped, unwrapped
from ._triangles import cholesky, eigh, eigvalsh
from ._values import SCALARS, Array, Number, as_jax, canonical, is_unknown, raw, wrapped
from ._views import (
    atleast,
    expand_dims,
    flat,
    flip,
    imag,
    moveaxis,
    ravel,
    real,
    reshape,
    rotated,
    split,
    squeeze,
    swapaxes,
    transpose,
)


def apply(function: Callable, args: tuple, kwargs: dict) -> Any:
    """`function(*args, **kwargs)`, a function of NumPy's."""
    rule = RULES.get(function)
    if rule is not None:
        return rule(*args, **kwargs)
    out = kwargs.pop("out", None)
    if not has_unknown((args, kwargs)):
        result = rewrapped(function(*unwrapped(args), **unwrapped(kwargs)))
    elif (namesake := _namesake(function)) is not None:
        result = rewrapped(_called(namesake, args, kwargs))
    else:
        result = session().rules.source(function)(*args, **kwargs)
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _called(function: Callable, args: tuple, kwargs: dict) -> Any:
    """A function of jax.numpy; lists of known numbers are axes, shapes or, where it says so, arrays."""
    given = {name: value for name, value in _arrays(kwargs).items() if name not in ("kind", "order", "subok", "like")}
    try:
        return function(*_arrays(args), **given)
    except jax.errors.ConcretizationTypeError as error:
        raise unliftable(
            f"np.{function.__name__} needs to know, while the program is traced, a number that depends on the arguments",
            "the number as a static argument: a closure, or functools.partial",
            "sx.blackbox around the function that needs it, with a bridge",
        ) from error
    except NotImplementedError as error:
        raise unliftable(
            f"np.{function.__name__}: {str(error).splitlines()[0]}",
            "np.linalg.eigvals, or np.linalg.eigh of a symmetric matrix"
            if "eig" in function.__name__
            else "other functions",
            "sx.blackbox around it, with a bridge",
        ) from error
    except TypeError as error:
        if "list" not in str(error):
            raise
        as_arrays = tuple(np.asarray(a) if isinstance(a, list) else a for a in _arrays(args))
        return function(*as_arrays, **given)


def _arrays(x: Any) -> Any:
    """Arguments for jax.numpy: lists of numbers become arrays, as they are for NumPy."""
    if isinstance(x, dict):
        return {key: _array_like(part) for key, part in x.items()}
    return tuple(map(_array_like, x))


def _array_like(x: Any) -> Any:
    if isinstance(x, list) and has_unknown(x):
        return [_array_like(part) for part in x] if any(map(_is_array, x)) else as_jax(array(x))
    if isinstance(x, tuple):
        return tuple(map(_array_like, x))
    if isinstance(x, Array) and is_unknown(x):
        return x.data
    if isinstance(x, (np.ndarray, Array)):
        return as_jax(x)
    return unwrapped(x)


def _is_array(x: Any) -> bool:
    return isinstance(x, (Array, np.ndarray, jax.Array, list))


_MODULES = {"numpy": jnp, "numpy.linalg": jnp.linalg, "numpy.fft": jnp.fft}


def _namesake(function: Callable) -> Callable | None:
    if function in UNSIZED:
        raise no_counterpart(function)
    module = _MODULES.get(getattr(function, "__module__", "") or "")
    return getattr(module, function.__name__, None) if module else None


def no_counterpart(function: Callable) -> Exception:
    name = f"{getattr(function, '__module__', None) or 'numpy'}.{getattr(function, '__name__', function)}"
    if function in UNSIZED:
        return unliftable(
            f"{name}: the shape of its result depends on the arguments' values",
            "a mask and np.where, which keep the shape",
            "sx.blackbox around it, with a bridge",
        )
    return unliftable(f"{name} has no counterpart in JAX", "sx.blackbox around it, with a bridge", "other functions")


UNSIZED = {
    np.nonzero,
    np.flatnonzero,
    np.argwhere,
    np.unique,
    np.extract,
    np.compress,
    np.setdiff1d,
    np.union1d,
    np.intersect1d,
    np.setxor1d,
    np.trim_zeros,
}


# -- functions that write


def _copyto(dst: Array, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    session().rules.store(dst, Ellipsis, src if where is True else apply(np.where, (where, src, dst), {}))


def _nan_to_num(x: Any, copy: bool = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None) -> Any:
    given = {"nan": raw(nan), "posinf": raw(posinf), "neginf": raw(neginf)}
    result = wrapped(jnp.nan_to_num(as_jax(x), **given) if is_unknown(x) else np.nan_to_num(raw(x), **given))
    if copy:
        return result
    session().rules.store(x, Ellipsis, result)
    return x


def _fill_diagonal(a: Array, val: Any, wrap: bool = False) -> None:
    n = min(a.shape)
    session().rules.store(a, tuple([np.arange(n)] * a.ndim), val)


def _put(a: Array, ind: Any, v: Any, mode: str = "raise") -> None:
    session().rules.store(flat(a), ind, v)


def _putmask(a: Array, mask: Any, values: Any) -> None:
    session().rules.store(a, mask, values)


# -- functions that differ from their namesakes


def _where(condition: Any, *choices: Any) -> Any:
    if not choices:
        if not has_unknown(condition):
            return rewrapped(np.where(unwrapped(condition)))
        raise no_counterpart(np.nonzero)
    if not has_unknown((condition, choices)):
        return rewrapped(np.where(unwrapped(condition), *unwrapped(choices)))
    x, y = (asarray(c) if isinstance(c, list) else c for c in choices)
    dtype = np.result_type(*(_weak(c) for c in (x, y)))
    return rewrapped(jnp.where(as_jax(condition) != 0, as_jax(x, dtype), as_jax(y, dtype)))


def _weak(x: Any) -> Any:
    if isinstance(x, Number) and x.python:
        return x.python(1)
    return raw(x) if isinstance(x, SCALARS) else x.dtype


def _clip(
    a: Any, a_min: Any = None, a_max: Any = None, out: Any = None, *, min: Any = None, max: Any = None, **kwargs: Any
) -> Any:
    low, high = a_min if min is None else min, a_max if max is None else max
    result = a
    if low is not None:
        result = np.maximum(result, low)
    if high is not None:
        result = np.minimum(result, high)
    if result is a:
        result = np.positive(asarray(a))
    if out is None:
        return result
    session().rules.store(out, Ellipsis, result)
    return out


def _append(arr: Any, values: Any, axis: int | None = None) -> Any:
    if axis is None:
        return _concatenate([ravel(arr), ravel(values)])
    return _concatenate([arr, values], axis)


def _joined(function: Callable) -> Callable:
    """Of a list of arrays, whose dtypes are promoted as NumPy promotes them."""

    def join(arrays: Any, *args: Any, **kwargs: Any) -> Any:
        kwargs.pop("casting", None)
        arrays = list(arrays)
        if not has_unknown((arrays, args)):
            return rewrapped(function(unwrapped(arrays), *args, **kwargs))
        values = [asarray(a) for a in arrays]
        dtype = np.result_type(*(v.dtype for v in values))
        return rewrapped(
            getattr(jnp, function.__name__)([as_jax(v, dtype) for v in values], *unwrapped(args), **unwrapped(kwargs))
        )

    return join


_concatenate = _joined(np.concatenate)


def _vectorized(pyfunc: Any, *args: Any, **kwargs: Any) -> Any:
    raise unliftable("np.vectorize on traced values", "array operations, or a loop")


def _apply_along_axis(func1d: Callable, axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    moved = moveaxis(arr, axis, -1)
    rows = reshape(moved, (-1, moved.shape[-1]))
    results = [asarray(session().rules.call(func1d, row, *args, **kwargs)) for row in rows]
    stacked = apply(np.stack, (results,), {})
    shaped = reshape(stacked, (*moved.shape[:-1], *results[0].shape))
    return moveaxis(shaped, -1, axis) if results[0].ndim else shaped


def _ix(*args: Any) -> Any:
    return rewrapped(np.ix_(*unwrapped(args)))


def _dot(a: Any, b: Any, out: Any = None) -> Any:
    x, y = asarray(a), asarray(b)
    dtype = np.result_type(x.dtype, y.dtype)
    result = wrapped(jnp.dot(as_jax(x, dtype), as_jax(y, dtype), precision=jax.lax.Precision.HIGHEST))
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out


def _known_or(rule: Callable, function: Callable) -> Callable:
    """NumPy's own function where everything is known."""

    def apply_(*args: Any, **kwargs: Any) -> Any:
        if has_unknown((args, kwargs)):
            return rule(*args, **kwargs)
        return rewrapped(function(*unwrapped(args), **unwrapped(kwargs)))

    return apply_


def _histogram(a: Any, bins: Any = 10, range: Any = None, density: Any = None, weights: Any = None) -> Any:
    return rewrapped(
        jnp.histogram(as_jax(a), unwrapped(bins), range, None if weights is None else as_jax(weights), density)
    )


def _ndindex(*shape: Any) -> Any:
    return list(np.ndindex(*known_shape(shape[0] if len(shape) == 1 and isinstance(shape[0], tuple) else shape)))


def _ndenumerate(arr: Any) -> Any:
    x = asarray(arr)
    return [(index, session().rules.item(x, index)) for index in np.ndindex(*x.shape)]


def _isscalar(element: Any) -> bool:
    return isinstance(element, Number) or np.isscalar(element)


def _shape(a: Any) -> tuple:
    return asarray(a).shape


def _fromfunction(function: Callable, shape: Any, *, dtype: Any = float, **kwargs: Any) -> Any:
    return session().rules.call(function, *map(wrapped, np.indices(known_shape(shape), dtype)), **kwargs)


def _in1d(element: Any, test_elements: Any, **kwargs: Any) -> Any:
    return rewrapped(jnp.isin(as_jax(asarray(element)), as_jax(asarray(test_elements)), **kwargs))


def _bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    if not minlength:
        raise unliftable(
            "np.bincount: the length of its result depends on the arguments' values", "minlength=n, for numbers below n"
        )
    numbers = as_jax(x)
    session().check(
        jnp.any(numbers >= minlength), f"np.bincount of a number that is not below minlength={minlength}", line()
    )
    return wrapped(jnp.bincount(numbers, None if weights is None else as_jax(weights), length=minlength))


MANY = 2000  # entries from which NumPy's sort on the host is faster than XLA's, the way there included


def _sort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    data, axis = _rows(a, axis)
    if data.shape[axis] < MANY or data.dtype.kind != "f":
        return wrapped(jnp.sort(data, axis))
    return wrapped(jnp.moveaxis(sorted_rows(jnp.moveaxis(data, axis, -1)).values, -1, axis))


def _argsort(a: Any, axis: int | None = -1, kind: Any = None, order: Any = None, *, stable: Any = None) -> Any:
    data, axis = _rows(a, axis)
    if data.shape[axis] < MANY or data.dtype.kind != "f":
        return wrapped(jnp.argsort(data, axis, stable=True))
    places = sorted_rows(jnp.moveaxis(jax.lax.stop_gradient(data), axis, -1)).order
    return wrapped(jnp.moveaxis(places, -1, axis).astype(canonical(int)))


def _rows(a: Any, axis: int | None) -> tuple[jax.Array, int]:
    data = as_jax(asarray(a))
    return (data.reshape(-1), 0) if axis is None else (data, axis)


RULES: dict[Any, Callable] = {
    np.sort: _known_or(_sort, np.sort),
    np.argsort: _known_or(_argsort, np.argsort),
    np.linalg.cholesky: _known_or(cholesky, np.linalg.cholesky),
    np.linalg.eigh: _known_or(eigh, np.linalg.eigh),
    np.linalg.eigvalsh: _known_or(eigvalsh, np.linalg.eigvalsh),
    np.bincount: _known_or(_bincount, np.bincount),
    np.array: array,
    np.asarray: asarray,
    np.asanyarray: asarray,
    np.ascontiguousarray: asarray,
    np.copy: lambda a, *args, **kwargs: array(a),
    np.zeros: made_of(np.zeros),
    np.ones: made_of(np.ones),
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
    np.rot90: rotated,
    np.split: split(np.split),
    np.array_split: split(np.array_split),
    np.vsplit: split(np.split, 0),
    np.hsplit: split(np.split, 1),
    np.dsplit: split(np.split, 2),
    np.real: real,
    np.imag: imag,
    np.nan_to_num: _nan_to_num,
    np.copyto: _copyto,
    np.fill_diagonal: _fill_diagonal,
    np.put: _put,
    np.putmask: _putmask,
    np.place: _putmask,
    np.where: _where,
    np.clip: _clip,
    np.append: _append,
    np.concatenate: _concatenate,
    np.stack: _joined(np.stack),
    np.hstack: _joined(np.hstack),
    np.vstack: _joined(np.vstack),
    np.dstack: _joined(np.dstack),
    np.column_stack: _joined(np.column_stack),
    np.apply_along_axis: _apply_along_axis,
    np.ix_: _ix,
    np.dot: _known_or(_dot, np.dot),
    np.histogram: _known_or(_histogram, np.histogram),
    np.ndindex: _ndindex,
    np.ndenumerate: _ndenumerate,
    np.isscalar: _isscalar,
    np.shape: _shape,
    np.ndim: lambda a: len(_shape(a)),
    np.size: lambda a, axis=None: int(np.prod(_shape(a), dtype=int)) if axis is None else _shape(a)[axis],
    np.fromfunction: _fromfunction,
    np.isin: _known_or(_in1d, np.isin),
    np.vectorize: _vectorized,
    np.piecewise: _known_or(piecewise, np.piecewise),
}
