"""Which leaves of a state are numbers that a fit can move."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def is_float(x: Any) -> bool:
    """Is it a floating-point array or a float?"""
    dtype = getattr(x, "dtype", None)
    # By JAX: NumPy does not count bfloat16 among the floats.
    return isinstance(x, float) if dtype is None else jnp.issubdtype(dtype, jnp.floating)


def as_floats(tree: Any, dtype: Any) -> Any:
    """The tree with arrays as its leaves, the floating-point ones in one dtype."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype) if is_float(x) else jnp.asarray(x), tree)
