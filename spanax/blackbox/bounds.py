"""Bounds as users give them, for the loops around black boxes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._pytree import PyTree
from ..bridges import Box
from ._bounds import bounds_of, check_bounds


def box_of(who: str, bounds: Any, x: PyTree[Array]) -> Box:
    """(lower, upper), as in `blackbox(bounds=...)`, in the structure, shapes and dtypes of x.

    `who`: the function that they were given to, for messages. Raises `SpanaxError` where they are no bounds, or none of x.

    >>> import jax.numpy as jnp
    >>> from spanax.blackbox.bounds import box_of
    >>> print(box_of("fit", (0, [1.0, 2.0]), jnp.zeros(2)).upper)
    [1. 2.]
    """
    check_bounds(bounds, who)
    leaves, tree = jax.tree.flatten(x)
    found = bounds_of(bounds, leaves, tree, who)
    lower, upper = ([jnp.asarray(getattr(each, side)) for each in found] for side in ("lower", "upper"))
    return Box(jax.tree.unflatten(tree, lower), jax.tree.unflatten(tree, upper))
