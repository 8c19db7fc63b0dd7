"""What a reference gradient is looked for: the program, its arguments, its draws, and the candidates that work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Key

from ..._errors import SpanaxError
from ...bridges import Drawing
from ...stochastic.expectation import expectation
from .._measure.arguments import Arguments
from .._measure.gradients import Gradient
from .._measure.groups import Groups
from .._measure.moments import moments
from .._measure.sites import Draw
from .._measure.statistics import Reference, size_of
from ..rows import Truth

MORE = 4  # times as many draws as of a candidate


class WorkingCandidate(NamedTuple):
    """A candidate that works: what it puts at the draws, its gradient, and the product of its variance and time so far."""

    label: str
    via: Mapping[str, Drawing] | None
    gradient: Gradient
    price: float


class Problem(NamedTuple):
    """The program, its arguments and its draws; `key` and `draws` are for gradients of the reference.

    `groups` and `ranked`: the leaves that are judged by themselves, and those that count for the rank.
    """

    f: Callable[..., Any]
    arguments: Arguments
    sites: list[Draw]
    key: Key[Array, ""]
    draws: int
    where: str
    groups: Groups
    ranked: Sequence[int]

    def own(self, tried: Sequence[WorkingCandidate]) -> Gradient:
        """The derivative of f itself, compiled already where f is a candidate."""
        # Compilation is the larger part of a small comparison, so a compiled gradient is used again.
        same = (t.gradient for t in tried if t.gradient.function is self.f)
        return next(same, None) or Gradient(self.f, self.arguments)

    def gradient(self, via: Mapping[str, Drawing], samples: int = 1) -> Gradient:
        return Gradient(expectation(self.f, via=via, samples=samples), self.arguments)

    def mean_of_draws(self, gradient: Gradient, times: int = MORE, stream: int = 0) -> Reference:
        """The mean of `times` as many gradients as a candidate has; a single one where it is not random."""
        # Streams of their own, so that two references that are compared are independent.
        key = jax.random.fold_in(self.key, stream)
        if not gradient.is_random:
            return Reference(gradient.rows(key, 0, 1)[0], None)
        found = moments(gradient, key, times * self.draws)
        # A mean over the finite ones only would be the gradient of another program.
        if found.not_finite:
            leaves = self.arguments.names_at(found.bad)
            raise SpanaxError(
                f"{found.not_finite} of {times * self.draws:,} gradients of the reference are not finite (in {leaves})",
                "truth= a gradient, or another function or bridge",
                where=self.where,
            )
        return Reference(found.mean, found)


Answer = tuple[Reference, Truth, list[str]]


def answer(kind: Any, how: str, reference: Reference, problem: Problem, warnings: Sequence[str] = ()) -> Answer:
    if not np.all(np.isfinite(reference.mean)):
        leaves = problem.arguments.names_at(np.flatnonzero(~np.isfinite(reference.mean)))
        raise SpanaxError(
            f"the reference gradient is not finite (in {leaves})", "truth= a gradient", where=problem.where
        )
    at = problem.arguments.elements(problem.ranked)
    # Over the ranked leaves only, as every other figure of a row.
    error = float(np.sqrt(reference.squared_error(at)))
    truth = Truth(
        kind,
        how,
        problem.arguments.as_tree(reference.mean),
        error,
        size_of(reference, at, problem.arguments.parts, problem.arguments.eps),
    )
    return reference, truth, list(warnings)


def of_draws(reference: Reference) -> str:
    return f" (the mean of {reference.moments.draws:,} draws)" if reference.moments else ""
