"""The equation that calls the host: rows of points in, rows of results out."""

from __future__ import annotations

from collections.abc import Sequence

import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Bool

from ..._errors import SpanaxError
from ..._primitives import new_host_primitive, set_batching, set_jvp
from .._host import Host
from .._request import Request


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


def in_one_batch(args: Sequence[Array], dims: Sequence[int | None]) -> tuple[tuple[int, int], list[Array]]:
    """The size of a mapped axis and the number of rows, and the arrays with that axis folded into their first one."""
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    front = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    lanes = size, front[0].shape[1]
    return lanes, [x.reshape(size * x.shape[1], *x.shape[2:]) for x in front]


def unfolded(lanes: tuple[int, int], outs: Sequence[Array]) -> tuple[list[Array], list[int]]:
    """The other way, as a batching rule returns it."""
    return [out.reshape(*lanes, *out.shape[1:]) for out in outs], [0] * len(outs)


def _batched(args, dims, *, host: Host, request: Request):
    lanes, folded = in_one_batch(args, dims)
    return unfolded(lanes, _host_p.bind(*folded, host=host, request=request))


def _refused(primals, tangents, *, host: Host, request: Request):
    raise SpanaxError(
        f"the derivative of what the black box {host.name!r} does inside: something took it apart, such as sx.soften",
        request.where,
        "sx.smooth, which takes values alone",
        "the steps around the black box softened by themselves",
    )


_host_p = new_host_primitive("spanax_host", _run, _avals)
set_batching(_host_p, _batched)
set_jvp(_host_p, _refused)
