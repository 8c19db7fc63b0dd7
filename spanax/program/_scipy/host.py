"""SciPy's special functions, by SciPy itself on the host, as operations of a traced program with their derivatives."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._primitives import new_host_primitive, set_batching, set_jvp

Slope = Callable[..., Any]


@contextlib.contextmanager
def standard() -> Iterator[None]:
    """JAX's own promotion, whatever the caller has set: derivative rules run when he differentiates."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


class Derivatives:
    """Of one function, by its arguments; None for one that must be known: there is no formula."""

    def __init__(self, *slopes: Slope | None, outputs: int = 1):
        self.slopes, self.outputs = slopes, outputs


def no_formula(*args: Any) -> Any:
    """The slope of what only a derivative needs, and has no formula for one of its own."""
    raise SpanaxError("the second derivative of one of scipy.special's functions has no formula", "the first")


TABLE: dict[str, Derivatives] = {}  # filled by the modules that know the formulas


def on_host(name: str, *args: Any) -> Any:
    """`scipy.special.name(*args)`, of arrays of one dtype or integers: an array, or a tuple of arrays."""
    # One shape for all, so that the batching rule has only leading axes to move.
    shape = jnp.broadcast_shapes(*(jnp.shape(x) for x in args))
    outs = _special_p.bind(*(jnp.broadcast_to(x, shape) for x in args), name=name)
    return outs[0] if len(outs) == 1 else tuple(outs)


def _ufunc(name: str) -> Any:
    return getattr(importlib.import_module("scipy.special"), name)


def _run(*args: np.ndarray, name: str) -> tuple:
    # Outside of their domains they return NaN, which is the answer; a warning from a callback would have no line.
    with np.errstate(all="ignore"):
        outs = _ufunc(name)(*args)
    dtype = _result(args)
    return tuple(np.asarray(out, dtype) for out in (outs if isinstance(outs, tuple) else (outs,)))


def _result(args: Sequence) -> np.dtype:
    inexact = [np.dtype(x.dtype) for x in args if np.dtype(x.dtype).kind in "fc"]
    return np.result_type(*inexact) if inexact else np.dtype(jnp.result_type(float))


def _avals(*args: Any, name: str) -> list:
    aval = jax.core.ShapedArray(args[0].shape, _result(args))
    return [aval] * TABLE[name].outputs


def _batch(args: Sequence, dims: Sequence, *, name: str) -> tuple:
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    )
    outs = _special_p.bind(*moved, name=name)
    return outs, [0] * len(outs)


def _jvp(primals: Sequence, tangents: Sequence, *, name: str) -> tuple:
    outs = _special_p.bind(*primals, name=name)
    moved = [jnp.zeros_like(out) for out in outs]
    for slope, tangent in zip(TABLE[name].slopes, tangents, strict=True):
        # An argument without a formula has been refused where the call was made, unless it is known.
        if slope is None or tangent.dtype == jax.dtypes.float0:
            continue
        with standard():
            slopes = slope(*primals)
        for i, one in enumerate(slopes if isinstance(slopes, tuple) else (slopes,)):
            moved[i] = moved[i] + jnp.asarray(one, outs[i].dtype) * tangent.astype(outs[i].dtype)
    return outs, moved


_special_p = new_host_primitive("spanax_scipy_special", _run, _avals)
set_batching(_special_p, _batch)
set_jvp(_special_p, _jvp)
