"""What a bridge needs from the program around the gap: three abstract classes, and nothing else.

A bridge is an Equinox module (so it is a pytree and may hold traced arrays) that is passed as `via=`. To add an
estimator, write one class that derives from `Local`, `Score` or `Branching`; nothing registers it anywhere.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
from jaxtyping import Array, Float, Key

from ._facts import Facts

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def _shown(value: object) -> str:
    return eqx.tree_pformat(value) if eqx.is_array(value) else repr(value)


class Bridge(eqx.Module):
    """Gives a draw from a distribution a gradient."""

    @property
    @abc.abstractmethod
    def facts(self) -> Facts:
        """What the estimate is unbiased for, its evaluations per gradient, its derivative orders, its source."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], distribution: Distribution) -> Array:
        """One draw, of shape `batch_shape + event_shape` (a relaxed or one-hot draw adds its axis at the end).

        The derivative of a `Local` draw is used; that of any other draw is stopped.
        """

    def __repr__(self):
        fields = (f"{f.name}={_shown(getattr(self, f.name))}" for f in dataclasses.fields(self))
        return f"{type(self).__name__}({', '.join(fields)})"


class Local(Bridge):
    """A bridge that needs nothing around it: the draw carries its own derivative."""


class Score(Bridge):
    """A bridge that needs the costs that come later: the gradient is E[(cost - baseline) grad log p]."""

    @abc.abstractmethod
    def advantage(self, togo: Float[Array, "*loops"], others: Float[Array, "*loops"] | None) -> Float[Array, "*loops"]:
        """The costs that answer to a draw, less a baseline that is independent of it.

        `togo`: the sum of the costs that the draw reaches, with one axis for each `scan` around the site.
        `others`: its mean over the other replicates, or None where there is one replicate. Array fields of this
        bridge arrive with the same leading axes. Neither is to be stopped: their derivatives make second
        derivatives right.
        """


class Branching(Bridge):
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
