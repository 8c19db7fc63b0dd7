"""The search for the best bridges of one program: all combinations, or one name after the other."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
from jaxtyping import Array, Key

from ..._errors import SpanaxError
from ..._jaxprs import defined
from ...bridges import Drawing
from .._measure.arguments import Arguments
from .._measure.gradients import Gradient
from .._measure.sites import Draw, bridge_at
from .halving import Trial, halve
from .proposals import Proposal, bridges_that_fit, combinations, likely_best, proposal

COMBINATIONS = 16  # of bridges at the most, to be tried all together
FINALISTS = 2, 1  # unbiased by their facts, and others

Ranking = list[tuple[Proposal, Trial]]  # the best first, the unbiased before the others


class Search:
    """The proposals for the draws of f, and what was found out about them. Each is traced and compiled once."""

    def __init__(
        self,
        f: Callable[..., Any],
        arguments: Arguments,
        draws: Sequence[Draw],
        key: Key[Array, ""],
        *,
        accuracy: float,
        ranked: Sequence[int] = (),
    ):
        self.f, self.arguments, self.draws, self.accuracy = f, arguments, draws, accuracy
        self._ranked = ranked or range(len(arguments.leaves))
        self.progress = Progress()
        self._key = key
        self._gradients: dict[str, Gradient | str] = {}  # by label; what is wrong where there is none
        self._trials: dict[str, Trial] = {}
        self._proposed: set[str] = set()

    def best(self, deadline: float) -> Ranking:
        """At most 2 proposals that are unbiased by their facts, and 1 other. `deadline` is a reading of `time.perf_counter`."""
        self.progress.show("which bridges fit")
        names = dict.fromkeys(draw.name for draw in self.draws if draw.name)
        fit = {name: bridges_that_fit(name, self.draws, self.problem) for name in names}
        # Two names with 9 bridges each make 81 programs to compile: beyond a few the names are gone through one by one.
        if len(fit) == 1 or math.prod(map(len, fit.values())) <= COMBINATIONS:
            return self._halve(self._and_as_written(combinations(fit, self.draws)), deadline)
        return self._one_by_one(fit, deadline)

    def _one_by_one(self, fit: dict[str, list[Drawing]], deadline: float) -> Ranking:
        best = self._start(fit)
        ranking: Ranking = []
        for number, (name, bridges) in enumerate(fit.items()):
            now = time.perf_counter()
            # What an earlier name leaves of its time goes to those that follow.
            share = now + (deadline - now) / (len(fit) - number)
            tried = [proposal({**best.via, name: bridge}, self.draws) for bridge in bridges]
            ranking = self._halve(self._and_as_written(tried), share)
            # The first with bridges of its own: as written, there is nothing to carry on to the next name.
            best = next((proposed for proposed, _ in ranking if proposed.via), best)
        return ranking

    def _start(self, fit: dict[str, list[Drawing]]) -> Proposal:
        start = proposal({name: likely_best(name, bridges, self.draws) for name, bridges in fit.items()}, self.draws)
        if not self.problem(start):
            return start
        return proposal({name: bridges[0] for name, bridges in fit.items()}, self.draws)

    def _and_as_written(self, proposals: list[Proposal]) -> list[Proposal]:
        """With f as it is written, unless that is one of them."""
        # The program as its author wrote it is what every proposal has to beat.
        own = self._bridges({})
        if any(proposed.samples == 1 and self._bridges(proposed.via) == own for proposed in proposals):
            return proposals
        return [*proposals, proposal({}, self.draws)]

    def _bridges(self, via: Mapping[str, Drawing]) -> list[str]:
        return [repr(bridge_at(draw, via)) for draw in self.draws]

    def _halve(self, proposals: Sequence[Proposal], deadline: float) -> Ranking:
        # By label: two combinations that read alike are one, and run once.
        fit = {proposed.label: proposed for proposed in proposals if not self.problem(proposed)}
        if not fit:
            raise SpanaxError(f"no combination of bridges fits: {self.problem(proposals[0])}", where=defined(self.f))
        self._proposed |= fit.keys()
        trials = [self._trial(proposed) for proposed in fit.values()]
        best = halve(trials, keep=FINALISTS, deadline=deadline, accuracy=self.accuracy, on_round=self.progress.round)
        return [(fit[trial.label], trial) for trial in best]

    def _trial(self, proposed: Proposal) -> Trial:
        label, gradient = proposed.label, self._gradients[proposed.label]
        assert isinstance(gradient, Gradient)
        if label not in self._trials:
            # A key of its own for each: shared noise would make the means of related bridges agree by chance.
            key = jax.random.fold_in(self._key, len(self._trials))
            self._trials[label] = Trial(
                label, gradient, key, unbiased=proposed.unbiased, sound=proposed.sound, leaves=self._ranked
            )
        return self._trials[label]

    def problem(self, proposed: Proposal) -> str:
        """Why f cannot be differentiated with these bridges; "" where it can."""
        label = proposed.label
        if label not in self._gradients:
            self._gradients[label] = self._trace(proposed)
        gradient = self._gradients[label]
        return gradient if isinstance(gradient, str) else ""

    def _trace(self, proposed: Proposal) -> Gradient | str:
        try:
            gradient = Gradient(proposed.function(self.f), self.arguments)
            # Traced, not compiled: most that cannot work shows here, in a hundredth of the time.
            jax.eval_shape(lambda key: gradient(key, 0), self._key)
        except SpanaxError as error:
            return error.problem
        return gradient

    def warnings(self, budget_seconds: float) -> list[str]:
        """What a reader of the result should know."""
        warnings, untried = [], [label for label in self._proposed if not self._is_tried(label)]
        if untried:
            warnings.append(
                f"budget_seconds={budget_seconds:g} was too little for one round: {len(untried)} of "
                f"{len(self._proposed)} candidates were not tried; the best of the others is recommended"
            )
        if broken := [label for label, trial in self._trials.items() if not trial.finite]:
            warnings.append(f"gradients that are NaN or infinite: {'; '.join(broken)}")
        return warnings

    def _is_tried(self, label: str) -> bool:
        return self._trials[label].count > 0


class Progress:
    """One line on stderr that changes, where that is a terminal; nothing elsewhere."""

    def __init__(self):
        self._width = 0

    def show(self, text: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write("\r" + f"spanax: {text}".ljust(self._width))
            sys.stderr.flush()
            self._width = len(text) + 8

    def round(self, number: int, left: int) -> None:
        self.show(f"round {number}, {left} candidates")

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        if self._width:
            sys.stderr.write("\r" + " " * self._width + "\r")
            sys.stderr.flush()
