"""What came of each way of training the writer, over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .numbers import in_words
from .training import Numbers, Outcome

SHOWN = 4  # numbers in the report, with what was written for them


@dataclass(frozen=True)
class Way:
    """One way of training; BLEU is the mean sentence BLEU on held-out numbers, from 0 to 100, over the seeds."""

    name: str
    outcomes: tuple[Outcome, ...]

    def mean(self, figure: str, point: int) -> float:
        """Of `figure` of the judgements before (`point` 0) or after (-1) the training."""
        return statistics.fmean(getattr(one.curve[point], figure) for one in self.outcomes)

    @property
    def bleu_before(self) -> float:
        return self.mean("bleu", 0)

    @property
    def bleu_after(self) -> float:
        return self.mean("bleu", -1)

    @property
    def gains(self) -> list[float]:
        return [one.curve[-1].bleu - one.curve[0].bleu for one in self.outcomes]

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.outcomes)


@dataclass(frozen=True)
class Sample:
    """A held-out number that was wrong at the start, and what the first way wrote for it before and after."""

    number: int
    right: str
    before: str
    after: str


def collect(outcomes: Iterable[Outcome]) -> tuple[Way, ...]:
    outcomes = list(outcomes)
    names = dict.fromkeys(one.name for one in outcomes)
    return tuple(Way(name, tuple(one for one in outcomes if one.name == name)) for name in names)


def samples(way: Way) -> tuple[Sample, ...]:
    one = way.outcomes[0]
    before, after = one.curve[0].written, one.curve[-1].written
    every = [
        Sample(int(number), in_words(int(number)), *both)
        for number, both in zip(Numbers.of(one.seed).held_out, zip(before, after, strict=True), strict=True)
    ]
    return tuple(one for one in every if one.before != one.right)[:SHOWN]


def report_rows(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """The ways for result.json."""
    return [
        {
            "name": way.name,
            "seeds": [one.seed for one in way.outcomes],
            "bleu_before": way.bleu_before,
            "bleu_after": way.bleu_after,
            "gains": way.gains,
            "corpus_bleu_before": way.mean("corpus_bleu", 0),
            "corpus_bleu_after": way.mean("corpus_bleu", -1),
            "exact_before": way.mean("exact", 0),
            "exact_after": way.mean("exact", -1),
            "curves": [[(point.updates, point.bleu) for point in one.curve] for one in way.outcomes],
            "seconds": way.seconds,
        }
        for way in ways
    ]
