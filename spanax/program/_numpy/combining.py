"""Arrays put together, and multiplied: `np.concatenate`, `np.block`, `np.dot`, `np.einsum` and the like.

By jax.numpy, with NumPy's promotion and `out=`. Products are in full precision, because accelerators round float32 by default.
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
    """The rule for a NumPy function of a list of arrays, with NumPy's promotion of their dtypes."""

    def join(arrays: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        # casting= only restricts which casts are allowed.
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
    """`np.block`: nested lists of arrays."""

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
    """`np.einsum`, in both forms: a string and arrays, or arrays each followed by the list of its axes."""
    if isinstance(operands[0], str):
        inputs = [operands[0], *(as_jax(asarray(x)) for x in operands[1:])]
    else:
        # If the number of operands is odd, the last one is the list of the result's axes.
        pairs = len(operands) // 2 * 2
        inputs = [unwrap(x) if i % 2 else as_jax(asarray(x)) for i, x in enumerate(operands[:pairs])]
        inputs += map(unwrap, operands[pairs:])
    # Any other value of optimize= selects an order of contraction, which only affects rounding.
    result = wrap(jnp.einsum(*inputs, optimize="optimal" if optimize else False, precision=jax.lax.Precision.HIGHEST))
    if (dtype := kwargs.get("dtype")) is not None:
        result = result.astype(dtype)
    if out is not None:
        session().rules.store(out, Ellipsis, result)
    return result if out is None else out
