"""The bounds of x, and where between them the points of a bridge have room."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._pytree import PyTree


class Box(eqx.Module):
    """`lower` and `upper`, of x's structure, shapes and dtypes; infinite where there is no bound.

    Its methods take and give lists of leaves. x may lie beyond a bound by rounding: it has no room there.
    """

    lower: PyTree[Array]
    upper: PyTree[Array]

    def rooms(self, x: PyTree[Array]) -> tuple[list[Array], list[Array]]:
        """How far each number of x may go down, and up."""
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
        """The point nearest to x from which `reach`, half of the distance between the bounds at most, stays inside both ways."""
        leaves, tree = jax.tree.flatten(x)
        parts = zip(leaves, reach, *self._sides(), strict=True)
        return jax.tree.unflatten(tree, [jnp.clip(leaf, low + r, high - r) for leaf, r, low, high in parts])

    def held(self, X: PyTree[Array]) -> PyTree[Array]:
        """Points, in rows, whose rounding took them out are at the bound."""
        leaves, tree = jax.tree.flatten(X)
        rows = zip(leaves, *self._sides(), strict=True)
        return jax.tree.unflatten(tree, [jnp.clip(at, low[None], high[None]) for at, low, high in rows])

    def _sides(self) -> tuple[list[Array], list[Array]]:
        return jax.tree.leaves(self.lower), jax.tree.leaves(self.upper)
