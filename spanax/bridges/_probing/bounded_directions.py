"""Random directions between bounds: around the nearest point that has room for them.

Clipping on one side only would give the noise another mean, and bias the estimate even for a linear f. Moving the middle and
clipping both sides alike keeps the noise symmetric.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtr
from jaxtyping import Array, Bool, Float, Key

from ..._pytree import PyTree
from ..base import Probing
from ..box import Box
from ..facts import Facts
from .probes import of_leaves

_ROOM = 2.0  # sigmas that the middle of all points keeps from the bounds
# Below it the variance is computed from its series: the closed form subtracts numbers that are nearly equal.
_SMALL = 0.05


class BoundedSigns(Probing):
    """`SPSA` within a box: around m, the nearest point to x from which `step` stays inside both ways.

    In a box narrower than 2 `step`, half of its width takes the place of `step`.
    """

    via: Any  # an SPSA
    box: Box

    @property
    def facts(self) -> Facts:
        around = f"{self.via.facts.unbiased_for}, around the nearest point to x with room for a step"
        return dataclasses.replace(self.via.facts, unbiased_for=around)

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        via, middle = self._inside(x)
        return self.box.clip(via.points(middle, key))

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
        return self.via.combine(x, X, Y, ct, y=y, kept=kept)

    def usable(self, kept: np.ndarray) -> bool:
        return self.via.usable(kept)

    def _inside(self, x: PyTree[Array]) -> tuple[Probing, PyTree[Array]]:
        wanted = of_leaves("SPSA(step", self.via.step, x)
        steps = [jnp.minimum(step, half) for step, half in zip(wanted, self.box.halves(), strict=True)]
        tree = jax.tree.unflatten(jax.tree.structure(x), steps)
        return type(self.via)(tree, self.via.samples), self.box.centre(x, steps)


class BoundedSmoothing(Probing):
    """`Smoothing` within a box: its points are m + sigma t(u), where t clips u symmetrically so that no point leaves the box.

    m is the nearest point to x with 2 sigma of room to the bounds, or half of the box. The numbers of t(u) are independent and
    symmetric, of variance v, and the estimate E[<ct, f(m + sigma t(u))> t(u)_i] / (sigma v_i) is the slope of the best linear fit
    to f at such points (least squares): for a linear f its derivative, and where no bound is near that of the smoothed function.
    """

    via: Any  # a Smoothing
    box: Box

    @property
    def facts(self) -> Facts:
        cut = "slopes of the best linear fit to f, by that noise cut off, around the nearest point with room"
        return dataclasses.replace(
            self.via.facts, unbiased_for=f"{self.via.facts.unbiased_for}; near a bound the {cut}"
        )

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        middle = self._middle(x)
        cut = [
            jnp.clip(rows, (at - room)[None], (at + room)[None])
            for rows, at, room in zip(
                jax.tree.leaves(self.via.points(middle, key)),
                jax.tree.leaves(middle),
                self.box.room(middle),
                strict=True,
            )
        ]
        return self.box.clip(jax.tree.unflatten(jax.tree.structure(x), cut))

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
        middle = self._middle(x)
        slope = self.via.combine(middle, X, Y, ct, y=y, kept=kept)
        scaled = [part / variance for part, variance in zip(jax.tree.leaves(slope), self._variances(x), strict=True)]
        return jax.tree.unflatten(jax.tree.structure(x), scaled)

    def spread(self, x: PyTree[Array]) -> Float[Array, " size"]:
        """The variance of each number of t(u)."""
        return jnp.concatenate([variance.ravel() for variance in self._variances(x)])

    def _variances(self, x: PyTree[Array]) -> list[Array]:
        rooms = zip(self.box.room(self._middle(x)), self.via.sigmas(x), strict=True)
        return [_variance(room / sigma) for room, sigma in rooms]

    def usable(self, kept: np.ndarray) -> bool:
        return self.via.usable(kept)

    def _middle(self, x: PyTree[Array]) -> PyTree[Array]:
        reach = zip(self.via.sigmas(x), self.box.halves(), strict=True)
        return self.box.centre(x, [jnp.minimum(_ROOM * sigma, half) for sigma, half in reach])


def _variance(t: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """The variance of a standard normal number that is clipped to [-t, t]."""
    # Beyond 40 nothing is clipped, and an infinite t would give infinity times 0.
    far = jnp.minimum(t, 40)
    density, beyond = jnp.exp(-jnp.square(far) / 2) / math.sqrt(2 * math.pi), ndtr(-far)
    exact = 1 - 2 * beyond - 2 * far * density + 2 * jnp.square(far) * beyond
    series = jnp.square(t) - math.sqrt(2 / math.pi) * (2 / 3 * t**3 - t**5 / 15 + t**7 / 140)
    return jnp.where(t < _SMALL, series, exact)
