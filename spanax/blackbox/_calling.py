"""The equation that calls the host: rows of points in, rows of results out."""

from __future__ import annotations

from collections.abc import Sequence

import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Bool

from .._primitives import new_host_primitive, set_batching
from ._host import Host
from ._request import Request


def evaluated(host: Host, request: Request, rows: Sequence[Array]) -> tuple[list[Array], Bool[Array, " n"] | None]:
    """The results of all rows, and which there are; None for all, where none is dropped."""
    results = _host_p.bind(*rows, host=host, request=request)
    return (results[:-1], results[-1]) if host.drops else (results, None)


def _run(*arrays, host: Host, request: Request):
    results, kept = host(*arrays, request=request)
    return [*results, kept] if host.drops else results


def _avals(*arrays, host: Host, request: Request):
    n = arrays[0].shape[0]
    outs = [jax.core.ShapedArray((n, *out.shape), out.dtype) for out in request.outs]
    return [*outs, jax.core.ShapedArray((n,), bool)] if host.drops else outs


def in_one_batch(args: Sequence[Array], dims: Sequence[int | None]) -> tuple[int, list[Array]]:
    """The size of a mapped axis, and the arrays with that axis folded into their first one."""
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    front = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    return size, [x.reshape(size * x.shape[1], *x.shape[2:]) for x in front]


def unfolded(size: int, outs: Sequence[Array]) -> tuple[list[Array], list[int]]:
    """The other way, as a batching rule returns it."""
    return [out.reshape(size, len(out) // size, *out.shape[1:]) for out in outs], [0] * len(outs)


def _batched(args, dims, *, host: Host, request: Request):
    size, folded = in_one_batch(args, dims)
    return unfolded(size, _host_p.bind(*folded, host=host, request=request))


_host_p = new_host_primitive("spanax_host", _run, _avals)
set_batching(_host_p, _batched)
