"""The signs of eigenvectors, which are free: those that SciPy itself gives."""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import jax
import jax.core
import jax.numpy as jnp
import numpy as np

from ..._primitives import new_host_primitive, set_batching, set_jvp


def align_signs(vectors: jax.Array, matrices: Sequence[jax.Array], lower: bool) -> jax.Array:
    """With the signs of `scipy.linalg.eigh(*matrices, lower=lower)`."""
    if jnp.issubdtype(vectors.dtype, jnp.complexfloating):
        return vectors
    return vectors * _signs_p.bind(vectors, *matrices, lower=lower)[0]


def _run(vectors: np.ndarray, *matrices: np.ndarray, lower: bool) -> tuple:
    eigh = importlib.import_module("scipy.linalg").eigh
    out = np.ones((*vectors.shape[:-2], 1, vectors.shape[-1]), vectors.dtype)
    for place in np.ndindex(vectors.shape[:-2]):
        try:
            found = eigh(*(m[place] for m in matrices), lower=lower)[1]
        except (ValueError, np.linalg.LinAlgError):  # not finite, say: the program has its own check
            continue
        out[place] = np.where(np.sum(found * vectors[place], axis=0) < 0, -1, 1)
    return (out,)


def _avals(vectors, *matrices, lower):
    return [jax.core.ShapedArray((*vectors.shape[:-2], 1, vectors.shape[-1]), vectors.dtype)]


def _batch(args: Sequence, dims: Sequence, *, lower: bool) -> tuple:
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    moved = (
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    )
    return _signs_p.bind(*moved, lower=lower), [0]


def _jvp(primals: Sequence, tangents: Sequence, *, lower: bool) -> tuple:
    outs = _signs_p.bind(*primals, lower=lower)
    return outs, [jnp.zeros_like(outs[0])]


_signs_p = new_host_primitive("spanax_scipy_signs", _run, _avals)
set_batching(_signs_p, _batch)
set_jvp(_signs_p, _jvp)
