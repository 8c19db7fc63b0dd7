"""Simultaneous perturbation: all coordinates move at once, by random signs.

With s_i independent signs, f(x + h s) - f(x - h s) is 2 h sum_j s_j df/dx_j + O(h^3). Divided by 2 h s_i, coordinate i keeps its
own derivative and gets those of the others times s_j / s_i, which have mean 0 (Spall 1992, equation 2.2).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from .._checks import check_whole
from .._math.directions import rademacher, widest
from .._pytree import PyTree
from ._probing.bounded_directions import BoundedSigns
from ._probing.probes import (
    both_ways,
    check_key,
    check_positive,
    concatenate_rows,
    contract,
    differences,
    like,
    of_leaves,
    split,
    usable,
)
from .base import Bounded
from .box import Box
from .facts import Facts


class SPSA(Bounded):
    """The mean over `samples` of <ct, f(x + step s) - f(x - step s)> / (2 step_i s_i), s independent random signs.

    `step` is in the units of x: a positive number, or a pytree of x's structure with a positive number, or an array of the
    leaf's shape, for each leaf. For coordinate i it is unbiased for E[df/dx_i(x + t e_i + sum_{j != i} step_j s_j e_j)], t
    uniform in [-step_i, step_i]: the derivative of f averaged over the signs of the other coordinates, and over the
    interval in its own. It is biased by O(step^2) for the derivative of f itself, where f is smooth.

    2 `samples` evaluations for any number of coordinates. The samples are independent: `Smoothing` with orthogonal directions
    (recommended) varies less for two pairs or more.

    If points are dropped, the mean is over the pairs that are whole: unbiased only if failures do not depend on the signs,
    which `blackbox` tests.

    Raises `SpanaxError` for a step that is not positive, or is below the spacing of floats at x, for fewer than
    one sample, and without a key.

    Spall 1992 (IEEE Trans. Automat. Contr. 37, 332), equation 2.2.

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> via = sx.SPSA(step=0.01, samples=2)
    >>> f = sx.blackbox(lambda x: x @ x, out=jax.ShapeDtypeStruct((), jnp.float32), via=via)
    >>> print(jax.grad(f)(jnp.array([3.0]), key=jax.random.key(0)).round(2))
    [6.]
    """

    step: PyTree[Any]
    samples: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        check_whole("SPSA(samples", self.samples)
        check_positive("SPSA(step", self.step)

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="df/dx_i averaged over t e_i + step s, t uniform in [-step, step], s random signs of the others",
            unbiased=False,
            evaluations="2 samples",
            orders=1,
            distributions="none: any function of floats",
            source="Spall 1992, equation 2.2",
        )

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """x + step s_k for each sample, then x - step s_k in the same order."""
        key = check_key("SPSA", key)
        # Signs for all numbers at once, then split by leaves: one key, whatever the structure of x is.
        leaves, tree = jax.tree.flatten(x)
        signs = split(rademacher(key, self.samples, sum(map(jnp.size, leaves)), widest(leaves)), leaves)
        stacked = []
        for leaf, step, sign in zip(leaves, of_leaves("SPSA(step", self.step, x), signs, strict=True):
            move = jnp.broadcast_to(usable("step", step, leaf, 1), leaf.shape)[None] * sign.astype(leaf.dtype)
            stacked.append(both_ways(leaf, move))
        return jax.tree.unflatten(tree, stacked)

    def combine(
        self,
        x: PyTree[Array],
        X: PyTree[Array],
        Y: PyTree[Array],
        ct: PyTree[Array] | float = 1.0,
        *,
        y: PyTree[Array] | None = None,
        kept: Bool[Array, " n"] | None = None,
    ) -> PyTree[Array]:
        """The mean over the whole pairs; `y` is not used."""
        # Divided by the distance of the points as they were rounded, not by 2 step s.
        leaves = jax.tree.leaves(X)
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        plus, minus = jnp.split(concatenate_rows(leaves, dtype), 2)
        # One point of a pair says nothing about the slope: a pair counts only whole.
        whole = None if kept is None else kept[: self.samples] & kept[self.samples :]
        change = contract(jax.tree.map(lambda values: differences(whole, values), Y), ct, dtype)
        weights = jnp.ones_like(change) if whole is None else whole.astype(dtype)
        return like(x, jnp.sum((change * (weights / jnp.sum(weights)))[:, None] / (plus - minus), axis=0))

    def within(self, box: Box) -> BoundedSigns:
        return BoundedSigns(self, box)

    def usable(self, kept: np.ndarray) -> bool:
        return bool(np.any(kept[: self.samples] & kept[self.samples :]))
