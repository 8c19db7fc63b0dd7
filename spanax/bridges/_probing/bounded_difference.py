"""Finite differences between bounds: central where there is room, from one side of x where there is not."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ..._math.directions import widest
from ..._pytree import PyTree
from ..base import Probing, Tuned
from ..box import Box
from ..facts import Facts
from .pilot import best_step, pilot_points
from .probes import chosen, contracted, joined, like, split

_LEAST = (
    0.25  # of a step that is still taken both ways: a shorter one would see more noise than three points on one side
)
_PILOT = 0.01  # of `largest`: at a bound, the pilot's line is no longer than that either way


class BoundedDifference(Tuned):
    """`FiniteDifference` within a box.

    - central: both ways by the step, or by what room there is if that is a quarter of it or more; else with two points on the
      side with more room, f'(x) = (-3 f(x) + 4 f(x + h) - f(x + 2h)) / 2h + O(h^2). Either is the slope at x of the parabola
      through f(x) and the two points;
    - forward: to the other side where there is no room for the step;
    - complex: x itself is the real part of all points.
    """

    via: Any  # a FiniteDifference
    box: Box

    @property
    def facts(self) -> Facts:
        return self.via.facts

    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """The middle of the line besides, which is not x where that lies at a bound."""
        if not self.via.chooses:
            return None
        middle, reach = self._line(x)
        P = pilot_points(middle, reach)
        return self.box.held(jax.tree.map(lambda at, rows: jnp.concatenate([at[None], rows]), middle, P))

    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> Probing:
        middle, reach = self._line(x)
        at = jax.tree.map(lambda rows, at: jnp.where(jnp.isnan(rows[0]), at, rows[0]), values, y)
        order = 2 if self.via.scheme == "central" else 1
        step = best_step(middle, jax.tree.map(lambda rows: rows[1:], values), at, reach, order)
        return type(self.via)(step, self.via.scheme)

    def _line(self, x: PyTree[Array]) -> tuple[PyTree[Array], list[Array]]:
        parts = zip(self.via.farthest(x), self.box.room(x), self.box.halves(), strict=True)
        reach = [jnp.minimum(far, jnp.maximum(room, jnp.minimum(half, _PILOT * far))) for far, room, half in parts]
        return self.box.centre(x, reach), reach

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        if self.via.scheme == "complex":
            return self.via.points(x, key)
        leaves, tree = jax.tree.flatten(x)
        unit = split(jnp.eye(sum(map(jnp.size, leaves)), dtype=widest(leaves)), leaves)
        stacked = []
        for leaf, step, down, up, e in zip(leaves, self.via.steps(x), *self.box.rooms(x), unit, strict=True):
            moves = (_central if self.via.scheme == "central" else _forward)(
                jnp.broadcast_to(step, leaf.shape), down, up
            )
            stacked.append(jnp.concatenate([jnp.where(e != 0, leaf[None] + move[None], leaf[None]) for move in moves]))
        return self.box.held(jax.tree.unflatten(tree, stacked))

    def combine(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        ct: PyTree[Array] | float = 1.0,
        *,
        y: PyTree[Array],
        kept: Bool[Array, " n"] | None = None,
    ) -> PyTree[Array]:
        if self.via.scheme != "central":
            return self.via.combine(x, X, Y, ct, y=y, kept=kept)
        leaves = jax.tree.leaves(x)
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        moved = joined(jax.tree.leaves(X), dtype) - joined([leaf[None] for leaf in leaves], dtype)
        a, b = jnp.diagonal(moved.reshape(2, *moved.shape[-1:] * 2), axis1=1, axis2=2)
        change = jax.tree.map(lambda rows, at: chosen(kept, rows, at[None]) - at[None], Y, y)
        first, second = jnp.split(contracted(change, ct, dtype), 2)
        for_first, for_second = _weights(a, b, kept)
        return like(x, first * for_first + second * for_second)

    def usable(self, kept: np.ndarray) -> bool:
        return self.via.usable(kept)


def _central(step: Array, down: Array, up: Array) -> tuple[Array, Array]:
    near, far, side = jnp.minimum(down, up), jnp.maximum(down, up), jnp.where(up >= down, 1, -1).astype(step.dtype)
    both = near >= _LEAST * jnp.minimum(step, far)
    short, aside = jnp.minimum(step, near), side * jnp.minimum(step, far / 2)
    return jnp.where(both, short, aside), jnp.where(both, -short, 2 * aside)


def _forward(step: Array, down: Array, up: Array) -> tuple[Array]:
    up_or_down = jnp.where(up >= down, up, -down)
    return (jnp.where(up >= step, step, jnp.where(down >= step, -step, up_or_down)),)


def _weights(
    a: Float[Array, " size"], b: Float[Array, " size"], kept: Bool[Array, " n"] | None
) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
    """Of f(x + a) - f(x) and f(x + b) - f(x) in the slope of a parabola; of one of them alone where the other is dropped."""
    first, second = b / (a * (b - a)), a / (b * (a - b))
    if kept is None:
        return first, second
    has_first, has_second = jnp.split(kept, 2)
    none = jnp.where(has_first | has_second, jnp.zeros_like(a), jnp.nan)
    return (
        jnp.where(has_first & has_second, first, jnp.where(has_first, 1 / a, none)),
        jnp.where(has_first & has_second, second, jnp.where(has_second, 1 / b, none)),
    )
