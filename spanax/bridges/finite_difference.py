"""Finite differences: one coordinate after the other, with a step that is given or chosen from the noise."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Key

from .._errors import SpanaxError
from .._math.directions import widest
from .._pytree import PyTree
from ._probing.bounded_difference import BoundedDifference
from ._probing.pilot import EVALUATIONS, best_step, pilot_points
from ._probing.probes import check_positive, chosen, contracted, joined, like, of_leaves, split, usable
from .base import Bounded, Tuned
from .box import Box
from .facts import Facts

_SCHEMES = ("central", "forward", "complex")


class FiniteDifference(Tuned, Bounded):
    """The derivative in each coordinate from the values at x + step e_i, and at x - step e_i or at x.

    `step` is in the units of x: a positive number, or a pytree of x's structure with a positive number, or an array of the
    leaf's shape, for each leaf. The step that is really taken is read off the points as they were rounded.

    - `"central"` (recommended): (f(x + h e_i) - f(x - h e_i)) / 2h, biased by O(h^2). Of a pair that lost one point the
      one-sided difference with f(x) is taken, biased by O(h);
    - `"forward"`: (f(x + h e_i) - f(x)) / h, biased by O(h), with half the evaluations;
    - `"complex"`: Im f(x + i h e_i) / h, for an analytic f that takes complex numbers and returns them (no `abs`, no comparison,
      no conjugate: not checked). Nothing cancels, so that the step can be too small to matter: by default 1e-20 |x| (1e-12 |x|
      for float32), and the derivative is exact but for rounding.

    With `step=None` the other two choose it from 24 values on a line through x, so that noise of any size, be it rounding, and
    curvature are balanced. The line is x + t v, -1 <= t <= 1; v moves every coordinate by a quarter to the whole of
    `largest`: how far a step may go, in the units of x, like `step`; max(|x|, 1) by default. **f is evaluated there**, all
    coordinates moved at once; where its values are not finite the step stays below. The step is the same fraction
    of `largest` for all coordinates, so let `largest` tell how differently they are measured. Measured, for functions that
    vary on the scale of x, of 1, or a tenth of these, and noise from rounding to 10 times f: the root mean square error is
    up to 4 times that of the best fixed step; up to 8 where noise of a tenth of f meets a scale a tenth of `largest` or less,
    and 25 where f varies within a millionth of it. In less than 1 of 1000 draws noise is taken for curvature, and the
    step is too short. Values that are rounded (printed with few digits) are told from a flat f where they begin to change
    below 4% of `largest`. For several outputs the step is one for all, each counted in units of its largest change.

    The derivative is that of f itself: where f jumps or is flat it is useless, see `Smoothing`. Raises `SpanaxError` for a step
    that is not positive or is below the spacing of floats at x, for an unknown scheme, for values that are not complex
    where they must be, and where points are asked for before the step is chosen.

    Complex step: Squire and Trapp 1998 (SIAM Review 40, 110). Steps under noise: Moré and Wild 2012 (ACM TOMS 38, article 19);
    Shi, Xie, Xuan and Nocedal 2022 (SIAM J. Sci. Comput. 44, A2302).
    """

    step: PyTree[Any] | None = None
    scheme: str = eqx.field(static=True, default="central")
    largest: PyTree[Any] | None = None

    def __check_init__(self):
        if self.scheme not in _SCHEMES:
            one_of = ", ".join(map(repr, _SCHEMES))
            raise SpanaxError(f"FiniteDifference(scheme={self.scheme!r})", f"one of {one_of}")
        check_positive("FiniteDifference(step", self.step)
        check_positive("FiniteDifference(largest", self.largest)

    @property
    def facts(self) -> Facts:
        order = {
            "central": "biased by O(step^2)",
            "forward": "biased by O(step)",
            "complex": "exact but for rounding, if f is analytic",
        }
        tuning = f", and {EVALUATIONS} to choose the step" if self.chooses else ""
        return Facts(
            unbiased_for=f"f without noise: {order[self.scheme]}",
            unbiased=False,
            evaluations=("2 size(x)" if self.scheme == "central" else "size(x)") + tuning,
            orders=1,
            distributions="none: any function of floats",
            source="Squire and Trapp 1998" if self.scheme == "complex" else "Moré and Wild 2012; Shi et al. 2022",
        )

    @property
    def chooses(self) -> bool:
        """Is the step still open?"""
        return self.step is None and self.scheme != "complex"

    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """24 points on a line through x, or None where a step was given or is not to be chosen; `key` is not used."""
        return pilot_points(x, self.farthest(x)) if self.chooses else None

    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> FiniteDifference:
        """With the step that these values at the points P = `pilot(x, key)` tell, y being f(x)."""
        if not self.chooses:
            return self
        order = 2 if self.scheme == "central" else 1
        return FiniteDifference(best_step(x, values, y, self.farthest(x), order), self.scheme)

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """x + step e_i for each number in x, and then x - step e_i for each; complex x + i step e_i. `key` is not used."""
        leaves, tree = jax.tree.flatten(x)
        size = sum(map(jnp.size, leaves))
        stacked = []
        for leaf, step, unit in zip(
            leaves, self.steps(x), split(jnp.eye(size, dtype=widest(leaves)), leaves), strict=True
        ):
            move = jnp.broadcast_to(step, leaf.shape)[None] * unit.astype(leaf.dtype)
            if self.scheme == "complex":
                dtype = widest([leaf])
                stacked.append(
                    jax.lax.complex(jnp.broadcast_to(leaf[None], move.shape).astype(dtype), move.astype(dtype))
                )
            else:
                up = leaf[None] + move
                stacked.append(jnp.concatenate([up, leaf[None] - move]) if self.scheme == "central" else up)
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
        """<ct, change of f> over the change of x, for each number in x; NaN for one whose points are all dropped.

        `y`, f(x), is needed by the forward scheme, and by the central one where points may be dropped.
        """
        leaves = jax.tree.leaves(x)
        if self.scheme == "complex":
            X, Y = jax.tree.map(jnp.imag, X), jax.tree.map(_imaginary, Y)
            at = [jnp.zeros_like(leaf[None]) for leaf in leaves]
        else:
            at = [leaf[None] for leaf in leaves]
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        moved = joined(jax.tree.leaves(X), dtype)
        own = jnp.diagonal(moved.reshape(-1, *moved.shape[-1:] * 2), axis1=1, axis2=2).ravel()
        run = jnp.subtract(*self._ends(own, joined(at, dtype)[0], kept))
        rise = jax.tree.map(lambda rows, at: jnp.subtract(*self._ends(rows, at, kept)), Y, self._base(Y, y, kept))
        return like(x, contracted(rise, ct, dtype) / run)

    def within(self, box: Box) -> BoundedDifference:
        return BoundedDifference(self, box)

    def usable(self, kept: np.ndarray) -> bool:
        if self.scheme == "central":
            up, down = np.split(kept, 2)
            return bool(np.all(up | down))
        return bool(np.all(kept))

    def _ends(self, rows: Array, at: Array, kept: Bool[Array, " n"] | None) -> tuple[Array, Array]:
        """The two ends of the difference in each coordinate; at x itself where a point was dropped."""
        if self.scheme != "central":
            return chosen(kept, rows, at), at
        (plus, minus), (up, down) = jnp.split(rows, 2), (None, None) if kept is None else jnp.split(kept, 2)
        return chosen(up, plus, at), chosen(down, minus, at)

    def _base(self, Y: PyTree[Array], y: PyTree[Array] | None, kept: Bool[Array, " n"] | None) -> PyTree[Array]:
        """What the values are compared with where there is no second one, on a leading axis of length 1."""
        if self.scheme == "complex" or (self.scheme == "central" and kept is None):
            return jax.tree.map(lambda values: jnp.zeros_like(values[:1]), Y)
        if y is None:
            raise SpanaxError(f"FiniteDifference({self.scheme!r}).combine needs the value at x", "y=f(x)")
        return jax.tree.map(lambda at: at[None], y)

    def steps(self, x: PyTree[Array]) -> list[Array]:
        """The step of each number in x."""
        if self.step is not None:
            steps = of_leaves("FiniteDifference(step", self.step, x)
            if self.scheme == "complex":
                return steps
            return [usable("step", step, leaf, 1) for step, leaf in zip(steps, jax.tree.leaves(x), strict=True)]
        if self.scheme == "complex":
            return [_tiny(leaf) for leaf in jax.tree.leaves(x)]
        raise SpanaxError(
            "FiniteDifference(step=None) has no points before its step is chosen",
            "FiniteDifference(step=1e-3), in the units of x",
            "bridge.fitted(x, P, values, y).points(x, key), with the values at P = bridge.pilot(x, key)",
        )

    def farthest(self, x: PyTree[Array]) -> list[Array]:
        """How far the step of each number in x may go."""
        if self.largest is None:
            return [jnp.maximum(jnp.abs(leaf), 1) for leaf in jax.tree.leaves(x)]
        given = of_leaves("FiniteDifference(largest", self.largest, x)
        return [jnp.broadcast_to(reach, leaf.shape) for reach, leaf in zip(given, jax.tree.leaves(x), strict=True)]


def _tiny(x: Array) -> Array:
    """A complex step whose square vanishes beside x, and that is no denormal number."""
    relative, least = (1e-20, 1e-200) if x.dtype == jnp.float64 else (1e-12, 1e-30)
    size = jnp.abs(x).astype(widest([x]))
    return jnp.where(size > 0, jnp.maximum(relative * size, least), relative)


def _imaginary(values: Array) -> Array:
    if not jnp.issubdtype(values.dtype, jnp.complexfloating):
        raise SpanaxError(
            f'FiniteDifference(scheme="complex") needs complex values, and f returned {values.dtype}',
            "an f that computes with complex numbers and returns them",
            'scheme="central"',
        )
    return jnp.imag(values)
