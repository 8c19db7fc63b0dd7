"""A vmapped axis folded into the leading axis of a batch, and back, for the batching rules of calls of the host.

Vmapped calls of the host then stay one call with more rows, which its workers share, instead of one call for each index.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jaxtyping import Array


def fold_axis(args: Sequence[Array], dims: Sequence[int | None]) -> tuple[tuple[int, int], list[Array]]:
    """The size of a mapped axis and the number of rows, and the arrays with that axis folded into their first one."""
    # An argument that is not mapped is repeated: every row of the batch must have its own.
    size = next(x.shape[d] for x, d in zip(args, dims, strict=True) if d is not None)
    front = [
        jnp.broadcast_to(x, (size, *x.shape)) if d is None else jnp.moveaxis(x, d, 0)
        for x, d in zip(args, dims, strict=True)
    ]
    sizes = size, front[0].shape[1]
    return sizes, [x.reshape(size * x.shape[1], *x.shape[2:]) for x in front]


def unfold_axis(sizes: tuple[int, int], outs: Sequence[Array]) -> tuple[list[Array], list[int]]:
    """Undoes `fold_axis`, in the form that a batching rule returns."""
    return [out.reshape(*sizes, *out.shape[1:]) for out in outs], [0] * len(outs)
