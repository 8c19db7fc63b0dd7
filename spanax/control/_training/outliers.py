"""The mean of gradients of which a few are far longer than the others: those are shortened.

The derivative of a chaotic window grows exponentially with its length, so one window of a batch can have a million times the
gradient of the rest, and then it alone would be the mean.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def copies(arrays: Any, n: int, most: float) -> Any:
    """n copies, with a leading axis. The derivative sums theirs, each shortened to `most` times the median length of the n."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), arrays)


def _forward(arrays: Any, n: int, most: float) -> tuple[Any, None]:
    return copies(arrays, n, most), None


def _backward(n: int, most: float, _: None, gradients: Any) -> tuple[Any]:
    squares = [jnp.sum(jnp.square(x.astype(float)).reshape(n, -1), axis=1) for x in jax.tree.leaves(gradients)]
    lengths = jnp.sqrt(sum(squares, jnp.zeros((n,), float)))
    # Where it is infinite or NaN, what comes out is NaN: that is for `train` to tell.
    bound = most * jnp.median(lengths)
    factors = jnp.where(lengths > bound, bound / lengths, 1.0)
    return (jax.tree.map(lambda x: jnp.tensordot(factors.astype(x.dtype), x, 1), gradients),)


copies.defvjp(_forward, _backward)
