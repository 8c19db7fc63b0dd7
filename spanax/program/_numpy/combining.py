"""Arrays put together, and multiplied: `np.concatenate`, `np.block`, `np.dot`, `np.einsum` and the like.

As in jax.numpy, with NumPy's promotion and `out=`, and with products in full precision: an accelerator would round float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._indexing.views import ravel
from .._session import session
from .._values.trees import has_unknown, rewrap, unwrap
from .._values.values import as_jax, wrap
from .creation import asarray


def join_arrays(function: Callable) -> Callable:
    """NumPy's function of a list of arrays, whose dtypes are promoted as NumPy promotes them."""

    def join(arrays: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        # It says what may be cast, not how; out= is written afterwards.
        kwargs.pop("casting", None)
        out = kwargs.pop("out", None)
        arrays = list(arrays)
        if not has_unknown((arrays, args)):
            options = kwargs if dtype is None else {**kwargs, "dtype": dtype}  # some functions have no dtype=
            result = rewrap(function(unwrap(arrays), *args, **options))
        else:
            values = [asarray(a) for a in arrays]
            dtype = np.result_type(*(v.dtype for v in values)) if dtype is None else np.dtype(dtype)
            namesake = getattr(jnp, function.__name__)
            result = rewrap(namesake([as_jax(v, dtype) for v in values], *unwrap(args), **unwrap(kwargs)))
        if out is not None:
            session().rules.store(out, Ellipsis, result)
        return result if out is None else out

    return join


concatenate = join_arrays(np.concatenate)


def append(arr: Any, values: Any, axis: int | None = None) -> Any:
    """`np.append`."""
    if axis is None:
        return concatenate([ravel(arr), ravel(values)])
    return concatenate([arr, values], axis)


def block(arrays: Any) -> Any:
    """`np.block`: lists are rows, lists in lists rows of rows, and numbers arrays of one."""

    def leaves(part: Any) -> Any:
        return list(map(leaves, part)) if isinstance(part, list) else as_jax(asarray(part))

    return wrap(jnp.block(leaves(arrays)))


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """`np.dot`."""
    x, y = asarray(a), asarray(b)
    dtype = np.result_type(x.dtype, y.dtype)
    result = wrap(jnp.dot(as_jax(x, dtype), as_jax(y, dtype), precision=jax.lax.Precision.HIGHEST))
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out


def einsum(*operands: Any, out: Any = None, optimize: Any = True, **kwargs: Any) -> Any:
    """`np.einsum`, in both of its forms: after a text come arrays, else each array is followed by the list of its axes."""
    if isinstance(operands[0], str):
        inputs = [operands[0], *(as_jax(asarray(x)) for x in operands[1:])]
    else:
        # An odd number of operands ends in the list of the result's axes.
        pairs = len(operands) // 2 * 2
        inputs = [unwrap(x) if i % 2 else as_jax(asarray(x)) for i, x in enumerate(operands[:pairs])]
        inputs += map(unwrap, operands[pairs:])
    # NumPy's other values of optimize= are orders of contraction, which change rounding only.
    result = wrap(jnp.einsum(*inputs, optimize="optimal" if optimize else False, precision=jax.lax.Precision.HIGHEST))
    if (dtype := kwargs.get("dtype")) is not None:
        result = result.astype(dtype)
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out
