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
from .probes import concatenate_rows, contract, keep_rows, like, split
from .schemes import SCHEMES

# The share of a step that is still taken both ways: a shorter one would see more noise than three points on one side.
_LEAST = 0.25
# The share of `largest`: at a bound, the pilot's line is at most this long in either direction.
_PILOT = 0.01


class BoundedDifference(Tuned):
    """`FiniteDifference` within a box.

    - central: both ways by the step, or by the room there is if that is at least a quarter of it; else with two points on the
      side with more room, f'(x) = (-3 f(x) + 4 f(x + h) - f(x + 2h)) / 2h + O(h^2). Either is the slope at x of the parabola
      through f(x) and the two points;
    - forward: to the other side if there is no room for the step;
    - complex: x itself is the real part of all points.
    """

    via: Any  # a FiniteDifference
    box: Box

    @property
    def facts(self) -> Facts:
        return self.via.facts

    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """Also the middle of the line, which is not x if x lies at a bound."""
        if not self.via.chooses:
            return None
        # x at a bound has no room for a line through it: the pilot looks along one near x.
        middle, reach = self._line(x)
        P = pilot_points(middle, reach)
        return self.box.clip(jax.tree.map(lambda at, rows: jnp.concatenate([at[None], rows]), middle, P))

    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> Probing:
        # If f failed in the middle of the line, f(x) stands in for it.
        middle, reach = self._line(x)
        at = jax.tree.map(lambda rows, at: jnp.where(jnp.isnan(rows[0]), at, rows[0]), values, y)
        order = SCHEMES[self.via.scheme].order
        step = best_step(middle, jax.tree.map(lambda rows: rows[1:], values), at, reach, order)
        return type(self.via)(step, self.via.scheme)

    def _line(self, x: PyTree[Array]) -> tuple[PyTree[Array], list[Array]]:
        parts = zip(self.via.farthest(x), self.box.room(x), self.box.halves(), strict=True)
        reach = [jnp.minimum(far, jnp.maximum(room, jnp.minimum(half, _PILOT * far))) for far, room, half in parts]
        return self.box.centre(x, reach), reach

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        scheme = SCHEMES[self.via.scheme]
        if not scheme.moves_x:
            return self.via.points(x, key)
        moves_between = _central if scheme.in_pairs else _forward
        leaves, tree = jax.tree.flatten(x)
        unit = split(jnp.eye(sum(map(jnp.size, leaves)), dtype=widest(leaves)), leaves)
        stacked = []
        for leaf, step, down, up, e in zip(leaves, self.via.steps(x), *self.box.rooms(x), unit, strict=True):
            moves = moves_between(jnp.broadcast_to(step, leaf.shape), down, up)
            stacked.append(jnp.concatenate([jnp.where(e != 0, leaf[None] + move[None], leaf[None]) for move in moves]))
        return self.box.clip(jax.tree.unflatten(tree, stacked))

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
        if not SCHEMES[self.via.scheme].in_pairs:
            return self.via.combine(x, X, Y, ct, y=y, kept=kept)
        leaves = jax.tree.leaves(x)
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        moves = concatenate_rows(jax.tree.leaves(X), dtype) - concatenate_rows([leaf[None] for leaf in leaves], dtype)
        # Points i and i + size move in coordinate i alone, by a_i and b_i, as they were rounded.
        a, b = jnp.diagonal(moves.reshape(2, *moves.shape[-1:] * 2), axis1=1, axis2=2)
        change = jax.tree.map(lambda rows, at: keep_rows(kept, rows, at[None]) - at[None], Y, y)
        first, second = jnp.split(contract(change, ct, dtype), 2)
        for_first, for_second = _weights(a, b, kept)
        return like(x, first * for_first + second * for_second)

    def usable(self, kept: np.ndarray) -> bool:
        return self.via.usable(kept)


def _central(step: Array, down: Array, up: Array) -> tuple[Array, Array]:
    """The moves of the two points of each number, with this much room on both sides."""
    near, far, side = jnp.minimum(down, up), jnp.maximum(down, up), jnp.where(up >= down, 1, -1).astype(step.dtype)
    both = near >= _LEAST * jnp.minimum(step, far)
    short, aside = jnp.minimum(step, near), side * jnp.minimum(step, far / 2)
    return jnp.where(both, short, aside), jnp.where(both, -short, 2 * aside)


def _forward(step: Array, down: Array, up: Array) -> tuple[Array]:
    """The move of the one point of each number: to the bound with more room, if there is no room for the step."""
    to_farther_bound = jnp.where(up >= down, up, -down)
    return (jnp.where(up >= step, step, jnp.where(down >= step, -step, to_farther_bound)),)


def _weights(
    a: Float[Array, " size"], b: Float[Array, " size"], kept: Bool[Array, " n"] | None
) -> tuple[Float[Array, " size"], Float[Array, " size"]]:
    """The weights of f(x + a) - f(x) and f(x + b) - f(x) in the slope; one of them alone counts if the other is dropped."""
    # The parabola through (0, 0), (a, p) and (b, q) has at 0 the slope p b / (a (b - a)) + q a / (b (a - b)).
    first, second = b / (a * (b - a)), a / (b * (a - b))
    if kept is None:
        return first, second
    has_first, has_second = jnp.split(kept, 2)
    none = jnp.where(has_first | has_second, jnp.zeros_like(a), jnp.nan)
    return (
        jnp.where(has_first & has_second, first, jnp.where(has_first, 1 / a, none)),
        jnp.where(has_first & has_second, second, jnp.where(has_second, 1 / b, none)),
    )
