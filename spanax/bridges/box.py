"""The bounds of x, and where the points of a bridge have room between them."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._pytree import PyTree


class Box(eqx.Module):
    """`lower` and `upper`, of x's structure, shapes and dtypes; infinite where there is no bound.

    Rooms and reaches are lists with one array for each leaf of x. If rounding puts x beyond a bound, it has no room there.

    >>> import jax.numpy as jnp, spanax as sx
    >>> box = sx.bridges.Box(jnp.zeros(2), jnp.ones(2))
    >>> print(*box.room(jnp.array([0.25, 1.0])))
    [0.25 0.  ]
    """

    lower: PyTree[Array]
    upper: PyTree[Array]

    def rooms(self, x: PyTree[Array]) -> tuple[list[Array], list[Array]]:
        """How far each number of x may go down, and up."""
        # x may be beyond a bound by rounding: a negative room would turn a step around.
        leaves, (lower, upper) = jax.tree.leaves(x), self._sides()
        down = [jnp.maximum(leaf - low, 0) for leaf, low in zip(leaves, lower, strict=True)]
        return down, [jnp.maximum(high - leaf, 0) for leaf, high in zip(leaves, upper, strict=True)]

    def room(self, x: PyTree[Array]) -> list[Array]:
        """How far each number of x may go both ways."""
        return [jnp.minimum(down, up) for down, up in zip(*self.rooms(x), strict=True)]

    def halves(self) -> list[Array]:
        """Half of the distance between the bounds."""
        return [(high - low) / 2 for low, high in zip(*self._sides(), strict=True)]

    def centre(self, x: PyTree[Array], reach: Sequence[Array]) -> PyTree[Array]:
        """The point nearest to x from which `reach`, at most half of the distance between the bounds, stays inside both ways."""
        # `reach` is at most half of the distance, so that low + r <= high - r and the clip is not empty.
        leaves, tree = jax.tree.flatten(x)
        parts = zip(leaves, reach, *self._sides(), strict=True)
        return jax.tree.unflatten(tree, [jnp.clip(leaf, low + r, high - r) for leaf, r, low, high in parts])

    def clip(self, X: PyTree[Array]) -> PyTree[Array]:
        """Points, in rows, moved to the bound if rounding took them beyond it."""
        # A simulator may fail, or take the square root of a negative number, one unit in the last place beyond its bound.
        leaves, tree = jax.tree.flatten(X)
        rows = zip(leaves, *self._sides(), strict=True)
        return jax.tree.unflatten(tree, [jnp.clip(at, low[None], high[None]) for at, low, high in rows])

    def _sides(self) -> tuple[list[Array], list[Array]]:
        return jax.tree.leaves(self.lower), jax.tree.leaves(self.upper)
