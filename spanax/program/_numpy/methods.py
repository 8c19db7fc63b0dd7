"""Methods and properties of arrays and numbers. Most methods call the NumPy function of the same name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._indexing.views import flat, imag, ravel, real, reshape, swapaxes, transpose
from .._session import session, unliftable
from .._values.values import PYTHON, LiftedArray, Number, Value, as_jax, canonical, is_unknown, raw, wrap
from .creation import array
from .errors import with_numpys_errors
from .functions import apply

# Methods that call the NumPy function of the same name with the array as its first argument.
_METHODS = {
    name: getattr(np, name)
    for name in (
        "sum prod mean std var min max argmin argmax any all cumsum cumprod clip round dot trace diagonal repeat take "
        "swapaxes squeeze argsort searchsorted nonzero ptp conjugate ravel argpartition choose"
    ).split()
}


def method(target: Value, name: str) -> Any:
    """`target.name`: a property's value, or a function."""
    if name in _PROPERTIES:
        return _PROPERTIES[name](target)
    if name in _OWN:
        # NumPy's own method, for its error; `__floor__` and the like are methods of Python's floats.
        function: Any = getattr(np.ndarray, name, getattr(float, name, None))
        return lambda *args, **kwargs: with_numpys_errors(
            lambda: _OWN[name](target, *args, **kwargs), function, (target, *args), kwargs
        )
    if name in _METHODS:
        return lambda *args, **kwargs: apply(_METHODS[name], (target, *args), kwargs)
    if not hasattr(np.ndarray, name):
        raise AttributeError(
            f"{'an array' if isinstance(target, LiftedArray) else 'a number'} has no attribute {name!r}"
        )
    raise unliftable(f"the method {name} of an array is not lifted", "a function of NumPy", "sx.blackbox around it")


def _astype(x: Value, dtype: Any, *args: Any, **kwargs: Any) -> Any:
    if not is_unknown(x):
        return wrap(raw(x).astype(dtype))
    data = _cast(as_jax(x), dtype)
    return LiftedArray(data) if isinstance(x, LiftedArray) else Number(data)


def _cast(data: jax.Array, dtype: Any) -> jax.Array:
    wanted = np.dtype(dtype)
    if wanted.kind not in "biufc":
        raise unliftable(f"a value that depends on the arguments as dtype {wanted}", "an array of numbers")
    # NumPy drops the imaginary part with a warning; JAX refuses the cast.
    if data.dtype.kind == "c" and wanted.kind != "c":
        data = data.real
    return data.astype(canonical(wanted))


def _reshape_method(x: Value, *shape: Any, order: str = "C") -> LiftedArray:
    return reshape(x, shape[0] if len(shape) == 1 else shape, order)


def _transpose_method(x: Value, *axes: Any) -> LiftedArray:
    return transpose(x, None if not axes or axes[0] is None else axes[0] if isinstance(axes[0], tuple) else axes)


# In place: the sorted array becomes the contents of this one, which its views show.
def _sort_method(x: LiftedArray, axis: int = -1, **kwargs: Any) -> None:
    session().rules.store(x, Ellipsis, apply(np.sort, (x, axis), {}))


def _partition_method(x: LiftedArray, kth: Any, axis: int = -1, **kwargs: Any) -> None:
    session().rules.store(x, Ellipsis, apply(np.partition, (x, kth, axis), {}))


def _item_method(x: Value, *index: Any) -> Any:
    if not isinstance(x, LiftedArray):
        return _python(x)
    place = index[0] if len(index) == 1 else index or 0
    # A single number indexes the flat array.
    if not isinstance(place, tuple):
        if not index and x.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return _python(session().rules.item(flat(x), place))
    return _python(session().rules.item(x, place))


def _python(x: Any) -> Any:
    """A NumPy scalar as a Python scalar."""
    if isinstance(x, Number):
        return Number(x.data, PYTHON[x.dtype.kind])
    return x.item() if isinstance(x, np.generic) else x


def _tolist(x: Value) -> Any:
    if isinstance(x, Number):
        return _python(x)
    if not is_unknown(x):
        return session().note_new(raw(x).tolist())
    return session().note_new([_tolist(part) if isinstance(part, Value) else part for part in x])  # type: ignore[attr-defined]


def _round(x: Value, digits: int | None = None) -> Any:
    # Python's round(x) returns an int, for a bool as well, which jnp.round rejects; round(x, 2) keeps the type.
    if digits is None:
        data = as_jax(x) if x.dtype.kind == "b" else jnp.round(as_jax(x))
        return Number(data.astype(canonical(int)), int)
    return _kept_kind(x, jnp.round(as_jax(x), digits))


def _kept_kind(x: Value, data: jax.Array) -> Any:
    """A number of the same kind as x: a Python scalar or a NumPy scalar."""
    return Number(data, x.python if isinstance(x, Number) else None)


def _whole(function: Callable) -> Callable:
    return lambda x: Number(function(as_jax(x)).astype(canonical(int)), int)


def _flatten(x: Value, order: str = "C") -> LiftedArray:
    # Unlike ravel, it copies.
    return LiftedArray(ravel(x, order).data)


_OWN: dict[str, Callable] = {
    "astype": _astype,
    "reshape": _reshape_method,
    "transpose": _transpose_method,
    "sort": _sort_method,
    "partition": _partition_method,
    "item": _item_method,
    "tolist": _tolist,
    # Numbers are immutable and need no copy.
    "copy": lambda x, *args: array(x) if isinstance(x, LiftedArray) else x,
    "__copy__": lambda x: array(x),
    "__deepcopy__": lambda x, memo: array(x),
    "flatten": _flatten,
    "fill": lambda x, value: session().rules.store(x, Ellipsis, value),
    "__round__": _round,
    "__trunc__": _whole(jnp.trunc),
    "__floor__": _whole(jnp.floor),
    "__ceil__": _whole(jnp.ceil),
    "is_integer": lambda x: wrap(jnp.floor(as_jax(x)) == as_jax(x)),
    "compress": lambda x, condition, *args, **kwargs: apply(np.compress, (condition, x, *args), kwargs),
    "conj": lambda x: np.conjugate(x),
    "setflags": lambda x, **kwargs: None,
}
_PROPERTIES: dict[str, Callable] = {
    "T": transpose,
    "mT": lambda x: swapaxes(x, -1, -2),
    "real": real,
    "imag": imag,
    "flat": flat,
    "itemsize": lambda x: x.dtype.itemsize,
    "nbytes": lambda x: x.size * x.dtype.itemsize,
    "base": lambda x: x.base,
    # Those of a new array of this shape: contiguous and writeable.
    "flags": lambda x: np.empty(x.shape).flags,
}
