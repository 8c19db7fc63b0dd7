"""NumPy's functions on values of a lifted program: by their namesakes in jax.numpy, but for those that differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..hard._sorting import sorted_rows
from ._session import line, session, unliftable
from ._values import SCALARS, Array, Number, Slice, Value, as_jax, canonical, is_unknown, raw, wrapped

_CONTAINERS = (list, tuple)


def has_unknown(x: Any) -> bool:
    """Does it hold a value that is not known, at any depth?"""
    if isinstance(x, _CONTAINERS):
        return any(map(has_unknown, x))
    if isinstance(x, dict):
        return any(map(has_unknown, x.values()))
    return is_unknown(x)


def has_value(x: Any) -> bool:
    if isinstance(x, _CONTAINERS):
        return any(map(has_value, x))
    if isinstance(x, dict):
        return any(map(has_value, x.values()))
    return isinstance(x, Value)


def unwrapped(x: Any) -> Any:
    """What values hold, in containers as well."""
    if isinstance(x, _CONTAINERS):
        parts = [unwrapped(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: unwrapped(part) for key, part in x.items()}
    return raw(x)


def rewrapped(x: Any) -> Any:
    """A result as the program sees it."""
    if isinstance(x, _CONTAINERS):
        parts = [rewrapped(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return wrapped(x)


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
            f"np.{function.__name__} needs to know a number that depends on the arguments while the program is traced: a shape, perhaps",
            "the number as a static argument: a closure, or functools.partial",
            "sx.blackbox around the function that needs it, with a bridge",
        ) from error
    except NotImplementedError as error:
        raise unliftable(
            f"np.{function.__name__}: {str(error).splitlines()[0]}",
            "np.linalg.eigvals, or np.linalg.eigh of a symmetric matrix" if "eig" in function.__name__ else "other functions",
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
    if isinstance(x, np.ndarray) or isinstance(x, Array):
        return as_jax(x) if raw(x).dtype.kind in "biufc" else x
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


# -- making arrays


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
    if isinstance(object, Array) and copy and made is object:
        made = Array(object.data)
    missing = ndmin - made.ndim if isinstance(made, (Array, np.ndarray)) else 0
    return reshape(made, (*[1] * missing, *made.shape)) if missing > 0 else made


def _array(object: Any, dtype: Any) -> Any:
    if hasattr(object, "__next__") or (
        type(object).__module__.startswith("spanax.program") and not isinstance(object, Value)
    ):
        object = list(object)
    if isinstance(object, Value) or isinstance(object, jax.Array):
        if dtype is None or np.dtype(dtype) == object.dtype:
            return object if isinstance(object, Array) else Array(raw(object))
        return Array(as_jax(object, dtype)) if is_unknown(object) else Array(np.array(raw(object), dtype))
    if not has_unknown(object):
        known = np.array(unwrapped(object), dtype)
        if known.dtype == object_dtype:
            raise unliftable("an array of objects", "an array of numbers, or a list")
        return wrapped(known)
    data = _stacked(object)
    return Array(data if dtype is None else data.astype(canonical(dtype)))


object_dtype = np.dtype(object)


def _stacked(parts: Any) -> jax.Array:
    """Nested lists of values, one array."""
    if not isinstance(parts, _CONTAINERS):
        return as_jax(parts)
    if not parts:
        return jnp.zeros(0)
    runs = _runs(parts)
    if len(runs) == 1 and isinstance(runs[0], jax.Array):
        return runs[0]
    dtype = np.result_type(*map(_weak_form, _flat(parts)))
    if dtype.kind not in "biufc":
        raise unliftable("an array of objects", "an array of numbers, or a list")
    dtype = canonical(dtype)
    blocks = [
        r.astype(dtype) if isinstance(r, jax.Array) else jnp.stack([_stacked(p).astype(dtype) for p in r]) for r in runs
    ]
    return blocks[0] if len(blocks) == 1 else jnp.concatenate(blocks)


def _runs(parts: Sequence) -> list:
    """Neighbours that a loop has stacked already, as the stack; others in lists."""
    runs: list = []
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
            if not runs or isinstance(runs[-1], jax.Array):
                runs.append([])
            runs[-1].append(parts[i])
            i += 1
    return runs


def _follows(first: Slice, part: Any, distance: int) -> bool:
    form = getattr(part, "form", None)
    return isinstance(form, Slice) and form.stack is first.stack and form.index == first.index + distance


def _flat(parts: Any):
    for part in parts:
        if isinstance(part, _CONTAINERS):
            yield from _flat(part)
        else:
            yield part


def _weak_form(x: Any) -> Any:
    """Something with the promotion of x."""
    if isinstance(x, Number):
        return np.dtype(x.python) if x.python else x.dtype
    return np.dtype(x.dtype) if hasattr(x, "dtype") else np.asarray(raw(x)).dtype


def asarray(a: Any, dtype: Any = None, **kwargs: Any) -> Any:
    return array(a, dtype, copy=False)


def _like(function: Callable) -> Callable:
    def make(a: Any, dtype: Any = None, order: Any = None, subok: bool = True, shape: Any = None, **kwargs: Any) -> Any:
        form = asarray(a)
        return function(form.shape if shape is None else shape, dtype=dtype or form.dtype, **kwargs)

    return make


def _full(shape: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    shape = known_shape(shape)
    if not is_unknown(fill_value):
        return Array(np.full(shape, unwrapped(fill_value), dtype))
    value = as_jax(fill_value, dtype)
    return Array(jnp.broadcast_to(value, shape))


def _full_like(a: Any, fill_value: Any, dtype: Any = None, **kwargs: Any) -> Any:
    form = asarray(a)
    return _full(form.shape, fill_value, dtype or form.dtype)


def known_shape(shape: Any) -> Any:
    """A shape of known numbers; `Number.__index__` raises for the others."""
    if isinstance(shape, (tuple, list)):
        return tuple(s.__index__() for s in shape)
    if isinstance(shape, Array):
        return tuple(np.asarray(shape).tolist())
    return shape.__index__()


def _made(function: Callable) -> Callable:
    return lambda shape, dtype=None, **kwargs: Array(function(known_shape(shape), dtype))


def _arange(*bounds: Any, dtype: Any = None, **kwargs: Any) -> Any:
    if any(map(is_unknown, bounds)):
        for b in bounds:
            if is_unknown(b):
                b.__index__()
    return Array(np.arange(*map(raw, bounds), dtype=dtype))


def _linspace(
    start: Any, stop: Any, num: Any = 50, endpoint: bool = True, retstep: bool = False, dtype: Any = None, axis: int = 0
) -> Any:
    num = num.__index__()
    if not has_unknown((start, stop)):
        return rewrapped(np.linspace(raw(start), raw(stop), num, endpoint, retstep, dtype, axis))
    return rewrapped(jnp.linspace(as_jax(start), as_jax(stop), num, endpoint, retstep, dtype, axis=axis))


# -- views


def view(x: Any, get: Callable, put: Callable) -> Array:
    return Array(base=asarray(x), get=get, put=put)


def reshape(a: Any, shape: Any = None, order: str = "C", *, newshape: Any = None, copy: Any = None) -> Array:
    shape = known_shape(newshape if shape is None else shape)
    return view(a, lambda d: d.reshape(shape, order=order), lambda d, new: new.reshape(d.shape, order=order))


def _ravel(a: Any, order: str = "C") -> Array:
    return reshape(a, -1, order)


def _transpose(a: Any, axes: Any = None) -> Array:
    axes = None if axes is None else known_shape(axes)
    back = None if axes is None else tuple(np.argsort(axes))
    return view(a, lambda d: d.transpose(axes), lambda d, new: new.transpose(back))


def _swapaxes(a: Any, axis1: int, axis2: int) -> Array:
    return view(a, lambda d: d.swapaxes(axis1, axis2), lambda d, new: new.swapaxes(axis1, axis2))


def _moveaxis(a: Any, source: Any, destination: Any) -> Array:
    def moved(d: Any, a: Any, b: Any) -> Any:
        return np.moveaxis(d, a, b) if isinstance(d, np.ndarray) else jnp.moveaxis(d, a, b)

    return view(a, lambda d: moved(d, source, destination), lambda d, new: moved(new, destination, source))


def _squeeze(a: Any, axis: Any = None) -> Array:
    return view(a, lambda d: d.squeeze(axis), lambda d, new: new.reshape(d.shape))


def _expand_dims(a: Any, axis: Any) -> Array:
    shape = np.expand_dims(np.empty(asarray(a).shape), axis).shape
    return reshape(a, shape)


def _atleast(function: Callable) -> Callable:
    def made(*arrays: Any) -> Any:
        done = [reshape(a, function(np.empty(asarray(a).shape)).shape) for a in arrays]
        return done[0] if len(done) == 1 else tuple(done)

    return made


def _flip(m: Any, axis: Any = None) -> Array:
    def flipped(d: Any) -> Any:
        return np.flip(d, axis) if isinstance(d, np.ndarray) else jnp.flip(d, axis)

    return view(m, flipped, lambda d, new: flipped(new))


# -- functions that write


def _copyto(dst: Array, src: Any, casting: str = "same_kind", where: Any = True) -> None:
    session().rules.store(dst, Ellipsis, src if where is True else apply(np.where, (where, src, dst), {}))


def _fill_diagonal(a: Array, val: Any, wrap: bool = False) -> None:
    n = min(a.shape)
    session().rules.store(a, tuple([np.arange(n)] * a.ndim), val)


def _put(a: Array, ind: Any, v: Any, mode: str = "raise") -> None:
    session().rules.store(_ravel(a), ind, v)


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
        return _concatenate([_ravel(arr), _ravel(values)])
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
    moved = _moveaxis(arr, axis, -1)
    rows = reshape(moved, (-1, moved.shape[-1]))
    results = [asarray(session().rules.call(func1d, row, *args, **kwargs)) for row in rows]  # type: ignore[attr-defined]
    stacked = apply(np.stack, (results,), {})
    shaped = reshape(stacked, (*moved.shape[:-1], *results[0].shape))
    return _moveaxis(shaped, -1, axis) if results[0].ndim else shaped


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
    return session().rules.call(function, *map(wrapped, np.indices(known_shape(shape), dtype)), **kwargs)  # type: ignore[attr-defined]


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
    np.bincount: _known_or(_bincount, np.bincount),
    np.array: array,
    np.asarray: asarray,
    np.asanyarray: asarray,
    np.ascontiguousarray: asarray,
    np.copy: lambda a, *args, **kwargs: array(a),
    np.zeros: _made(np.zeros),
    np.ones: _made(np.ones),
    np.empty: _made(np.zeros),
    np.full: _full,
    np.zeros_like: _like(_made(np.zeros)),
    np.ones_like: _like(_made(np.ones)),
    np.empty_like: _like(_made(np.zeros)),
    np.full_like: _full_like,
    np.arange: _arange,
    np.linspace: _linspace,
    np.reshape: reshape,
    np.ravel: _ravel,
    np.transpose: _transpose,
    np.swapaxes: _swapaxes,
    np.moveaxis: _moveaxis,
    np.squeeze: _squeeze,
    np.expand_dims: _expand_dims,
    np.atleast_1d: _atleast(np.atleast_1d),
    np.atleast_2d: _atleast(np.atleast_2d),
    np.atleast_3d: _atleast(np.atleast_3d),
    np.flip: _flip,
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
}


# -- methods of arrays and numbers

_METHODS = {
    name: getattr(np, name)
    for name in (
        "sum prod mean std var min max argmin argmax any all cumsum cumprod clip round dot trace diagonal repeat take "
        "swapaxes squeeze argsort searchsorted nonzero compress ptp conjugate ravel argpartition partition choose"
    ).split()
}


def method(target: Value, name: str) -> Any:
    """`target.name`: a property's value, or a function."""
    if name in _PROPERTIES:
        return _PROPERTIES[name](target)
    if name in _OWN:
        return lambda *args, **kwargs: _OWN[name](target, *args, **kwargs)
    if name in _METHODS:
        return lambda *args, **kwargs: apply(_METHODS[name], (target, *args), kwargs)
    if not hasattr(np.ndarray, name):
        raise AttributeError(f"{'an array' if isinstance(target, Array) else 'a number'} has no attribute {name!r}")
    raise unliftable(f"the method {name} of an array is not lifted", "a function of NumPy", "sx.blackbox around it")


def _astype(x: Value, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    if not is_unknown(x):
        return wrapped(raw(x).astype(dtype))
    data = _cast(as_jax(x), dtype)
    return Array(data) if isinstance(x, Array) else Number(data)


def _cast(data: jax.Array, dtype: Any) -> jax.Array:
    wanted = np.dtype(dtype)
    if wanted.kind not in "biufc":
        raise unliftable(f"a value that depends on the arguments as dtype {wanted}", "an array of numbers")
    if data.dtype.kind == "c" and wanted.kind != "c":
        data = data.real
    return data.astype(canonical(wanted))


def _reshape_method(x: Value, *shape: Any, order: str = "C") -> Array:
    return reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _transpose_method(x: Value, *axes: Any) -> Array:
    return _transpose(x, None if not axes or axes[0] is None else axes[0] if isinstance(axes[0], tuple) else axes)


def _sort_method(x: Array, axis: int = -1, **kwargs: Any) -> None:
    session().rules.store(x, Ellipsis, apply(np.sort, (x, axis), {}))


def _item_method(x: Value, *index: Any) -> Any:
    if not isinstance(x, Array):
        return _python(x)
    place = index[0] if len(index) == 1 else index or 0
    if not isinstance(place, tuple):  # counted along all axes
        if not index and x.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return _python(session().rules.item(reshape(x, -1), place))
    return _python(session().rules.item(x, place))


def _python(x: Any) -> Any:
    """A NumPy scalar as Python's."""
    if isinstance(x, Number):
        return Number(x.data, {"f": float, "i": int, "u": int, "b": bool, "c": complex}[x.dtype.kind])
    return x.item() if isinstance(x, np.generic) else x


def _tolist(x: Value) -> Any:
    if isinstance(x, Number):
        return _python(x)
    if not is_unknown(x):
        return session().born(raw(x).tolist())
    return session().born([_tolist(part) if isinstance(part, Value) else part for part in x])  # type: ignore[attr-defined]


def _rounded(x: Value, digits: int | None = None) -> Any:
    if digits is None:
        return Number(jnp.round(as_jax(x)).astype(canonical(int)), int)
    return _kept_kind(x, jnp.round(as_jax(x), digits))


def _kept_kind(x: Value, data: jax.Array) -> Any:
    return Number(data, x.python if isinstance(x, Number) else None)


def _whole(function: Callable) -> Callable:
    return lambda x: Number(function(as_jax(x)).astype(canonical(int)), int)


def _flatten(x: Value, order: str = "C") -> Array:
    return Array(_ravel(x, order).data)


_OWN: dict[str, Callable] = {
    "astype": _astype,
    "reshape": _reshape_method,
    "transpose": _transpose_method,
    "sort": _sort_method,
    "item": _item_method,
    "tolist": _tolist,
    "copy": lambda x, *args: array(x) if isinstance(x, Array) else x,
    "__copy__": lambda x: array(x),
    "__deepcopy__": lambda x, memo: array(x),
    "flatten": _flatten,
    "fill": lambda x, value: session().rules.store(x, Ellipsis, value),
    "__round__": _rounded,
    "__trunc__": _whole(jnp.trunc),
    "__floor__": _whole(jnp.floor),
    "__ceil__": _whole(jnp.ceil),
    "is_integer": lambda x: wrapped(jnp.floor(as_jax(x)) == as_jax(x)),
    "conj": lambda x: np.conjugate(x),
    "setflags": lambda x, **kwargs: None,
}
_PROPERTIES: dict[str, Callable] = {
    "T": _transpose,
    "mT": lambda x: _swapaxes(x, -1, -2),
    "real": lambda x: wrapped(jnp.real(as_jax(x))) if is_unknown(x) else wrapped(raw(x).real),
    "imag": lambda x: wrapped(jnp.imag(as_jax(x))) if is_unknown(x) else wrapped(raw(x).imag),
    "flat": _ravel,
    "itemsize": lambda x: x.dtype.itemsize,
    "nbytes": lambda x: x.size * x.dtype.itemsize,
    "base": lambda x: x.base,
    "flags": lambda x: np.empty(x.shape).flags,
}
