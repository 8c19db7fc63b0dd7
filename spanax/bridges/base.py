"""What a bridge needs from the program around the gap, as abstract classes, and nothing else.

A bridge is an Equinox module (so it is a pytree and may hold traced arrays) that is passed as `via=`. To add an
estimator, write one class: of a draw from `Local`, `Score` or `Branching`, of a hard operation from `Step`, of a whole
function from `Probing`. Nothing registers it anywhere.
"""

from __future__ import annotations

import abc
import dataclasses
import types
from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from .._pytree import PyTree
from .facts import Facts

if TYPE_CHECKING:
    from numpyro.distributions import Distribution

    from .box import Box
    from .operation import Operation


def _shown(value: object) -> str:
    if isinstance(value, types.FunctionType | types.BuiltinFunctionType):
        return value.__name__
    return eqx.tree_pformat(value) if eqx.is_array(value) else repr(value)


class Bridge(eqx.Module):
    """Gives a step without a useful derivative a gradient."""

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What the estimate is unbiased for, its evaluations per gradient, its derivative orders, its source."""

    def __repr__(self):
        given = [(f.name, getattr(self, f.name)) for f in dataclasses.fields(self)]
        unset = {f.name for f in dataclasses.fields(self) if f.default is None}
        fields = (f"{name}={_shown(value)}" for name, value in given if value is not None or name not in unset)
        return f"{type(self).__name__}({', '.join(fields)})"


class Drawing(Bridge):
    """Gives a draw from a distribution a gradient."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], distribution: Distribution) -> Array:
        """One draw, of shape `batch_shape + event_shape` (a relaxed or one-hot draw adds its axis at the end).

        The derivative of a `Local` draw is used; that of any other draw is stopped.
        """


class Local(Drawing):
    """A bridge that needs nothing around it: the draw carries its own derivative."""


class Score(Drawing):
    """A bridge that needs the costs that come later: the gradient is E[(cost - baseline) grad log p]."""

    @abc.abstractmethod
    def advantage(self, togo: Float[Array, "*loops"], others: Float[Array, "*loops"] | None) -> Float[Array, "*loops"]:
        """The costs that answer to a draw, less a baseline that is independent of it.

        `togo`: the sum of the costs that the draw reaches, with one axis for each `scan` around the site.
        `others`: its mean over the other replicates, or None where there is one replicate. Array fields of this
        bridge arrive with the same leading axes. Neither is to be stopped: their derivatives make second
        derivatives right.
        """


class Scored(Score):
    """A `Score` that makes its draw and the score of it together, from one key: it may know more than the draw tells.

    The draw may carry a derivative of its own, which is used beside the score: E[f'(z) dz] is then a part of the gradient.
    """

    @abc.abstractmethod
    def draw_with_score(self, key: Key[Array, ""], distribution: Distribution) -> tuple[Array, Float[Array, ""]]:
        """What `draw` gives with this key, and log p - stop_gradient(log p), 0 in value, with derivatives of every order."""


class Branching(Drawing):
    """A bridge that runs the rest of the program again, for several values of the draw."""

    @abc.abstractmethod
    def branches(self, distribution: Distribution) -> int:
        """How many times the rest of the program runs, for one evaluation."""

    @abc.abstractmethod
    def objective(
        self, key: Key[Array, ""], distribution: Distribution, rest: Callable[[Array], Float[Array, ""]]
    ) -> Float[Array, ""]:
        """A scalar: its value estimates E[rest(z)], its derivative the derivative of E[rest(z)].

        `rest(z)` takes one draw and may be vmapped; its own derivative with respect to everything but z is right.
        """


class Step(Bridge):
    """A bridge of a hard operation, such as a comparison, `round` or `argmax`: a value of the operation, with a derivative."""

    @abc.abstractmethod
    def step(self, operation: Operation, x: Float[Array, "*shape"], key: Key[Array, ""] | None) -> Float[Array, "*out"]:
        """The operation at x, exact or relaxed, with the bridge's derivative; `key` is what the user gave, if anything."""


class Probing(Bridge):
    """A bridge that needs the function at other points: two pure JAX functions, with the values evaluated in between.

    x is a pytree of floating-point arrays; one of size 0 has no points and no derivative. X and Y are pytrees with a leading axis
    of length n, one row for each point: X of x's structure, Y of that of a value of the function.
    """

    @abc.abstractmethod
    def points(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array]:
        """X: where the function is to be evaluated. n depends on shapes alone.

        `key` is None where the user gave none; a bridge that needs one raises `SpanaxError`.
        """

    @abc.abstractmethod
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
        """The derivative of <ct, f> at x, of x's structure, shapes and dtypes; linear in ct, as `linear_transpose` needs it.

        `X` are `points(x, key)`, `Y` the values there, `y` the value at x; `ct` weights the elements of one value, a number all
        of them alike. `kept`: which points have a value (None: all). What Y holds in the other rows, NaN it may be, has no
        influence; where too few are kept (see `usable`) the derivative is NaN.
        """

    @abc.abstractmethod
    def usable(self, kept: np.ndarray) -> bool:
        """Is an estimate left with these of the n points only? On the host: `kept` is a NumPy array of n booleans."""


class Bounded(Probing):
    """A probing bridge that can keep its points between bounds."""

    @abc.abstractmethod
    def within(self, box: Box) -> Probing:
        """A bridge for the same derivative, all of whose points, also those of a pilot, lie in the box. x does."""


class Tuned(Probing):
    """A probing bridge that first evaluates a few points, to choose its step."""

    @abc.abstractmethod
    def pilot(self, x: PyTree[Array], key: Key[Array, ""] | None) -> PyTree[Array] | None:
        """Points on a leading axis, or None where nothing is to be chosen. Their number depends on nothing."""

    @abc.abstractmethod
    def fitted(self, x: PyTree[Array], P: PyTree[Array], values: PyTree[Array], y: PyTree[Array]) -> Probing:
        """The bridge with its step chosen: `values` are those at the points P = `pilot(x, key)`, `y` that at x."""
