"""The equation that calls the host: rows of points in, rows of results out.

Its operands have a leading axis of rows already, so that a batching rule only folds the mapped axis into it: under any number of
vmaps there is one call of the host.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.core
from jaxtyping import Array, Bool

from ..._batch_axes import fold_axis, unfold_axis
from ..._errors import SpanaxError
from ..._primitives import new_host_primitive, set_batching, set_jvp
from .._evaluation import evaluate
from .._host import Host
from .._request import Request


def evaluate_rows(host: Host, request: Request, rows: Sequence[Array]) -> tuple[list[Array], Bool[Array, " n"] | None]:
    """The results of all rows, and which there are; None for all, where none is dropped."""
    results = host_p.bind(*rows, host=host, request=request)
    return (results[:-1], results[-1]) if host.drops else (results, None)


def _call_host(*arrays, host: Host, request: Request):
    try:
        results, kept = evaluate(host, request, arrays)
    except (SpanaxError, KeyboardInterrupt) as error:
        # A compiled program hides it behind one of JAX's errors: who runs that program can then say what happened.
        host.problem = error
        raise
    return [*results, kept] if host.drops else results


def _avals(*arrays, host: Host, request: Request):
    n = arrays[0].shape[0]
    outs = [jax.core.ShapedArray((n, *out.shape), out.dtype) for out in request.outs]
    # Only with `drop` there is a mask: without one the estimate is compiled without weights.
    return [*outs, jax.core.ShapedArray((n,), bool)] if host.drops else outs


def _batching_rule(args, dims, *, host: Host, request: Request):
    sizes, folded = fold_axis(args, dims)
    return unfold_axis(sizes, host_p.bind(*folded, host=host, request=request))


# `cross` has the derivative; who differentiates this equation by itself has bypassed the bridge.
def _refuse_jvp(primals, tangents, *, host: Host, request: Request):
    raise SpanaxError(
        f"the derivative of what the black box {host.name!r} does inside: a transformation took it apart, such as sx.soften",
        "sx.smooth, which takes values alone",
        "the steps around the black box softened by themselves",
        where=request.where,
    )


host_p = new_host_primitive("spanax_host", _call_host, _avals)
set_batching(host_p, _batching_rule)
set_jvp(host_p, _refuse_jvp)
