"""Draws and log-probabilities in single precision at least, whatever precision the parameters have.

In bfloat16 uniform numbers lie on a grid of 1/128, so that an event of a smaller probability never happens, or far too often.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


def is_low(x: Any) -> bool:
    """Is it a float of fewer than 32 bits?"""
    dtype = getattr(x, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32


def raised(tree: Any) -> Any:
    """The same tree with its low-precision arrays in float32."""
    return jax.tree.map(lambda x: x.astype(jnp.float32) if is_low(x) and isinstance(x, jax.Array) else x, tree)


def lowered(z: Array, dtype: Any) -> Array:
    """A draw in the dtype that the program around it was written for, if that has low precision."""
    low = jnp.issubdtype(dtype, jnp.floating) and jnp.finfo(dtype).bits < 32
    return z.astype(dtype) if low and jnp.issubdtype(z.dtype, jnp.floating) else z
