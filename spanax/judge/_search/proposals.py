"""The bridges that are tried at the draws of a program, and the candidates that they make up."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..._errors import SpanaxError
from ..._math.parts import has_mixture
from ...bridges import (
    Componentwise,
    DisARM,
    Drawing,
    Enumerate,
    GumbelSoftmax,
    LeaveOneOut,
    Pathwise,
    ReinMax,
    Score,
    ScoreFunction,
    StraightThrough,
)
from ...bridges.best import needs_continuity
from ...stochastic.expectation import expectation
from .._measure.candidates import short
from .._measure.sites import Draw, bridge_at, evaluations

REPLICATES = 4  # of the whole program, where a draw goes by a `Score` bridge, whose baseline is the other replicates
ENUMERATED = 1024  # values of a draw at the most, for which enumeration is proposed
FEW = 32  # values of a draw at the most, for which it is taken before anything is measured

# The best ones first, as a rule: they are what is known where the time is too short to try all.
PROPOSALS: tuple[Drawing, ...] = (
    Pathwise(),
    Componentwise(),
    DisARM(),
    LeaveOneOut(2),
    Enumerate(),
    LeaveOneOut(8),
    DisARM(4),
    ScoreFunction(),
    ReinMax(),
    GumbelSoftmax(0.5),
    StraightThrough(),
)


class Proposal(NamedTuple):
    """Bridges by the name of their draws; a draw that is not in `via` keeps the bridge that the program gives it.

    `unbiased`: are all bridges so, by their facts? `sound`: and that for every program, one that jumps included?
    """

    via: Mapping[str, Drawing]
    samples: int
    unbiased: bool
    sound: bool

    @property
    def label(self) -> str:
        # One line: labels head the rows of tables.
        named = ", ".join(f"{name}={short(bridge)}" for name, bridge in self.via.items()) or "as written"
        named = " ".join(named.split())
        return named if self.samples == 1 else f"{named}, samples={self.samples}"

    def code(self, name: str) -> str:
        """To paste; `name` is the program's."""
        bridges = ", ".join(f'"{site}": sx.{short(bridge)}' for site, bridge in self.via.items())
        samples = "" if self.samples == 1 else f", samples={self.samples}"
        return f"sx.expectation({name}{samples}{f', via={{{bridges}}}' if bridges else ''})"

    def evaluations(self, draws: Sequence[Draw]) -> float | None:
        """Runs of the program for one gradient; None where that is not known."""
        once = evaluations(draws, self.via)
        return None if once is None else once * self.samples

    def function(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return expectation(f, samples=self.samples, via=self.via)


def proposal(via: Mapping[str, Drawing], draws: Sequence[Draw]) -> Proposal:
    """With several replicates where a bridge needs them for its baseline; `draws` are those of the program."""
    bridges = [bridge_at(draw, via) for draw in draws]
    # With one replicate their baseline would be empty, and the plain score function wins nothing.
    samples = REPLICATES if via and any(isinstance(b, Score) for b in bridges) else 1
    unbiased = all(b.facts.unbiased for b in bridges)
    return Proposal(dict(via), samples, unbiased, unbiased and not any(map(needs_continuity, bridges)))


def combinations(fit: Mapping[str, Sequence[Drawing]], draws: Sequence[Draw]) -> list[Proposal]:
    return [proposal(dict(zip(fit, chosen, strict=True)), draws) for chosen in itertools.product(*fit.values())]


def bridges_that_fit(name: str, draws: Sequence[Draw], problem: Callable[[Proposal], str]) -> list[Drawing]:
    """The bridges with which the program can be differentiated at the draws of that name.

    `problem(proposal)` says what is wrong with one, "" where nothing is. Raises `SpanaxError` where no bridge fits.
    """
    here = [draw for draw in draws if draw.name == name]
    problems = {bridge: problem(proposal({name: bridge}, draws)) for bridge in _possible(here)}
    fit = [bridge for bridge, text in problems.items() if not text]
    if not fit:
        # ScoreFunction asks least of a draw: what stops it stops all others.
        text = next(text for bridge, text in problems.items() if isinstance(bridge, ScoreFunction))
        raise SpanaxError(f"no bridge fits the draw {name!r}; with ScoreFunction(): {text}", where=here[0].where)
    return fit


def _possible(draws: Sequence[Draw]) -> Iterator[Drawing]:
    """All proposals but an enumeration of too many values, and what is for mixtures where none is one."""
    for bridge in PROPOSALS:
        # Without a mixture it is the bridge of its parts, which is tried anyway.
        if isinstance(bridge, Componentwise) and not all(has_mixture(draw.distribution) for draw in draws):
            continue
        if not isinstance(bridge, Enumerate) or all(_values(bridge, draw) <= ENUMERATED for draw in draws):
            yield bridge


def likely_best(name: str, bridges: Sequence[Drawing], draws: Sequence[Draw]) -> Drawing:
    """The one of these bridges that is taken for the best at the draws of that name, before anything is measured."""
    here = [draw for draw in draws if draw.name == name]
    # Enumeration has no noise at all; beyond a few values it runs the program too often to be guessed the best.
    for bridge in bridges:
        if isinstance(bridge, Enumerate) and all(_values(bridge, draw) <= FEW for draw in here):
            return bridge
    return bridges[0]


def _values(bridge: Enumerate, draw: Draw) -> float:
    try:
        return bridge.branches(draw.distribution)
    except SpanaxError:
        return math.inf  # it cannot be enumerated at all
