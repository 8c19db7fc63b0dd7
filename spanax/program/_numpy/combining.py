"""Arrays put together, and multiplied: `np.concatenate`, `np.block`, `np.dot`, `np.einsum` and the like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._indexing.views import ravel
from .._session import session
from .._values.trees import has_unknown, rewrapped, unwrapped
from .._values.values import as_jax, wrapped
from .creation import asarray


def joined(function: Callable) -> Callable:
    """Of a list of arrays, whose dtypes are promoted as NumPy promotes them."""

    def join(arrays: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        kwargs.pop("casting", None)
        out = kwargs.pop("out", None)
        arrays = list(arrays)
        if not has_unknown((arrays, args)):
            given = kwargs if dtype is None else {**kwargs, "dtype": dtype}  # some have none
            result = rewrapped(function(unwrapped(arrays), *args, **given))
        else:
            values = [asarray(a) for a in arrays]
            dtype = np.result_type(*(v.dtype for v in values)) if dtype is None else np.dtype(dtype)
            join_ = getattr(jnp, function.__name__)
            result = rewrapped(join_([as_jax(v, dtype) for v in values], *unwrapped(args), **unwrapped(kwargs)))
        if out is not None:
            session().rules.store(out, Ellipsis, result)
        return result if out is None else out

    return join


concatenate = joined(np.concatenate)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`np.append`."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Any:
    """`np.block`: lists are rows, lists in lists rows of rows, and numbers arrays of one."""

    def leaves(part: Any) -> Any:
        return list(map(leaves, part)) if isinstance(part, list) else as_jax(asarray(part))

    return wrapped(jnp.block(leaves(arrays)))


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """`np.dot`."""
    x, y = asarray(a), asarray(b)
    dtype = np.result_type(x.dtype, y.dtype)
    result = wrapped(jnp.dot(as_jax(x, dtype), as_jax(y, dtype), precision=jax.lax.Precision.HIGHEST))
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out


def einsum(*operands: Any, out: Any = None, optimize: Any = True, **kwargs: Any) -> Any:
    """`np.einsum`, in both of its forms: after a text come arrays, else each array is followed by the list of its axes."""
    if isinstance(operands[0], str):
        given = [operands[0], *(as_jax(asarray(x)) for x in operands[1:])]
    else:
        pairs = len(operands) // 2 * 2
        given = [unwrapped(x) if i % 2 else as_jax(asarray(x)) for i, x in enumerate(operands[:pairs])]
        given += map(unwrapped, operands[pairs:])
    result = wrapped(jnp.einsum(*given, optimize="optimal" if optimize else False, precision=jax.lax.Precision.HIGHEST))
    if (dtype := kwargs.get("dtype")) is not None:
        result = result.astype(dtype)
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out
