"""Finite differences: one coordinate after the other, with a step that is given or chosen from the noise.

`_probing/schemes.py` has the differences and their errors, `_probing/pilot.py` the choice of the step.
"""

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
from ._probing.probes import check_positive, concatenate_rows, contract, like, of_leaves, split, usable
from ._probing.schemes import SCHEMES
from .base import Bounded, Tuned
from .box import Box
from .facts import Facts


class FiniteDifference(Tuned, Bounded):
    """The derivative in each coordinate from the values at x + step e_i, and at x - step e_i or at x.

    `step` is in the units of x: a positive number, or a pytree of x's structure with a positive number or an array of the
    leaf's shape for each leaf. The difference is divided by the distance of the points as they were rounded.

    - `"central"` (recommended): (f(x + h e_i) - f(x - h e_i)) / 2h, biased by O(h^2). Of a pair that lost one point the
      one-sided difference with f(x) is taken, which is biased by O(h);
    - `"forward"`: (f(x + h e_i) - f(x)) / h, biased by O(h), with half the evaluations;
    - `"complex"`: Im f(x + i h e_i) / h, for an analytic f that takes complex numbers and returns them (no `abs`, no comparison,
      no conjugate: not checked). Nothing cancels, so the step can be tiny: by default 1e-20 |x| (1e-12 |x| for float32), and the
      derivative is exact but for rounding.

    With `step=None` the other two choose it from 24 values on a line through x, so that noise of any size (or rounding) and
    curvature are balanced. The line is x + t v, -1 <= t <= 1; v moves every coordinate by a quarter to the whole of
    `largest`: how far a step may go, in the units of x, like `step`; max(|x|, 1) by default. **f is evaluated there**, with all
    coordinates moved at once; where its values are not finite the step stays below. The step is the same fraction of `largest`
    for all coordinates, so give a `largest` for each if their units differ. Measured, for functions that vary on the scale of x,
    of 1, or a tenth of these, and noise from rounding to 10 times f: the root mean square error is up to 4 times that of the
    best fixed step; up to 8 where noise of a tenth of f meets a scale a tenth of `largest` or less, and 25 where f varies within
    a millionth of it. In less than 1 of 1000 draws noise is taken for curvature, and the step is too short. Rounded values
    (printed with few digits) are told from a flat f if they begin to change below 4% of `largest`. Several outputs share one
    step, each counted in units of its largest change.

    The derivative is that of f itself: where f jumps or is flat it is useless, see `Smoothing`. Raises `SpanaxError` for a step
    that is not positive or is below the spacing of floats at x, for an unknown scheme, for values that are not complex
    where they must be, and if points are asked for before the step is chosen.

    Complex step: Squire and Trapp 1998 (SIAM Review 40, 110). Steps under noise: Moré and Wild 2012 (ACM TOMS 38, article 19);
    Shi, Xie, Xuan and Nocedal 2022 (SIAM J. Sci. Comput. 44, A2302).

    >>> import jax, jax.numpy as jnp, spanax as sx
    >>> f = sx.blackbox(lambda x: x[0] ** 2 * x[1], out=jax.ShapeDtypeStruct((), jnp.float32), via=sx.FiniteDifference(0.01))
    >>> print(jax.grad(f)(jnp.array([1.0, 3.0])).round(2))
    [6. 1.]
    """

    step: PyTree[Any] | None = None
    scheme: str = eqx.field(static=True, default="central")
    largest: PyTree[Any] | None = None

    def __check_init__(self):
        if self.scheme not in SCHEMES:
            one_of = ", ".join(map(repr, SCHEMES))
            raise SpanaxError(f"FiniteDifference(scheme={self.scheme!r})", f"one of {one_of}")
        check_positive("FiniteDifference(step", self.step)
        check_positive("FiniteDifference(largest", self.largest)

    @property
    def facts(self) -> Facts:
        scheme = SCHEMES[self.scheme]
        return Facts(
            unbiased_for=f"f without noise: {scheme.bias}",
            unbiased=False,
            evaluations=scheme.evaluations + (f", and {EVALUATIONS} to choose the step" if self.chooses else ""),
            orders=1,
            distributions="none: any function of floats",
            source=scheme.source,
        )

    @property
    def chooses(self) -> bool:
        """Is the step still open?"""
        return self.step is None and SCHEMES[self.scheme].order > 0

    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """24 points on a line through x; None if a step was given or need not be chosen. `key` is not used."""
        return pilot_points(x, self.farthest(x)) if self.chooses else None

    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> FiniteDifference:
        """The bridge with the step chosen from the values at the points P = `pilot(x, key)`; y is f(x)."""
        if not self.chooses:
            return self
        step = best_step(x, values, y, self.farthest(x), SCHEMES[self.scheme].order)
        return FiniteDifference(step, self.scheme)

    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """x + step e_i for each number in x, and then x - step e_i for each; complex x + i step e_i. `key` is not used."""
        leaves, tree = jax.tree.flatten(x)
        units = split(jnp.eye(sum(map(jnp.size, leaves)), dtype=widest(leaves)), leaves)
        stacked = []
        for leaf, step, unit in zip(leaves, self.steps(x), units, strict=True):
            move = jnp.broadcast_to(step, leaf.shape)[None] * unit.astype(leaf.dtype)
            stacked.append(SCHEMES[self.scheme].around(leaf, move))
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

        `y`, f(x), is needed by the forward scheme, and by the central one if points may be dropped.
        """
        scheme = SCHEMES[self.scheme]
        leaves, X, Y = scheme.real_parts(jax.tree.leaves(x), X, Y)
        dtype = widest([*leaves, *jax.tree.leaves(Y)])
        at = concatenate_rows([leaf[None] for leaf in leaves], dtype)[0]
        places = concatenate_rows(jax.tree.leaves(X), dtype)
        # Point i moves in coordinate i alone. Its place there, as it was rounded, is what the change is divided by.
        own = jnp.diagonal(places.reshape(-1, *places.shape[-1:] * 2), axis1=1, axis2=2).ravel()
        run = jnp.subtract(*scheme.ends(own, at, kept))
        rise = jax.tree.map(lambda rows, at: jnp.subtract(*scheme.ends(rows, at, kept)), Y, scheme.base(Y, y, kept))
        return like(x, contract(rise, ct, dtype) / run)

    def within(self, box: Box) -> BoundedDifference:
        return BoundedDifference(self, box)

    def usable(self, kept: np.ndarray) -> bool:
        return SCHEMES[self.scheme].usable(kept)

    def steps(self, x: PyTree[Array]) -> list[Array]:
        """The step of each number in x."""
        leaves, moves_x = jax.tree.leaves(x), SCHEMES[self.scheme].moves_x
        if self.step is not None:
            steps = of_leaves("FiniteDifference(step", self.step, x)
            # An imaginary step is beside x, not added to it: it may be below the spacing of floats there.
            return [usable("step", s, leaf, 1) for s, leaf in zip(steps, leaves, strict=True)] if moves_x else steps
        if not moves_x:
            return [_tiny(leaf) for leaf in leaves]
        raise SpanaxError(
            "FiniteDifference(step=None) has no points before its step is chosen",
            "FiniteDifference(step=1e-3), in the units of x",
            "bridge.fitted(x, P, values, y).points(x, key), with the values at P = bridge.pilot(x, key)",
        )

    def farthest(self, x: PyTree[Array]) -> list[Array]:
        """How far the step of each number in x may go."""
        # A function may vary on the scale of x or, for an x near 0, of 1.
        if self.largest is None:
            return [jnp.maximum(jnp.abs(leaf), 1) for leaf in jax.tree.leaves(x)]
        reaches = of_leaves("FiniteDifference(largest", self.largest, x)
        return [jnp.broadcast_to(reach, leaf.shape) for reach, leaf in zip(reaches, jax.tree.leaves(x), strict=True)]


def _tiny(x: Array) -> Array:
    """A complex step whose square vanishes beside x, but that is not a denormal number."""
    # The error of the quotient is (step/scale)^2, far below rounding for any scale that floats near x resolve.
    relative, least = (1e-20, 1e-200) if x.dtype == jnp.float64 else (1e-12, 1e-30)
    size = jnp.abs(x).astype(widest([x]))
    return jnp.where(size > 0, jnp.maximum(relative * size, least), relative)
