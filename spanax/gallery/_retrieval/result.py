"""What came of each way of training the two networks, over its seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .library import load
from .training import Outcome, tasks, test_queries


@dataclass(frozen=True)
class Way:
    """One way, over its seeds. `test_accuracy`: the share of held-out questions answered right, from the best document alone."""

    name: str
    outcomes: tuple[Outcome, ...]

    def mean(self, figure: str, point: int = -1) -> float:
        """Of `figure` of the judgements at the end, or before training (`point` 0)."""
        return statistics.fmean(getattr(one.curve[point], figure) for one in self.outcomes)

    @property
    def test_accuracy(self) -> float:
        return self.mean("accuracy")

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.outcomes)


@dataclass(frozen=True)
class Example:
    """One test query, the function that is meant, and which each way picked at its end."""

    words: tuple[str, ...]
    meant: str
    picked: dict[str, str]


def collect(outcomes: Iterable[Outcome]) -> tuple[Way, ...]:
    outcomes = list(outcomes)
    names = dict.fromkeys(one.name for one in outcomes)
    return tuple(Way(name, tuple(one for one in outcomes if one.name == name)) for name in names)


def example(ways: Sequence[Way]) -> Example | None:
    """The first query that tells the ways apart: those that are better than at the start find its document, the others do not."""
    if not ways:
        return None
    queries, start = test_queries(), ways[0].mean("right_document", 0)
    last = [way.outcomes[0].curve[-1].picked for way in ways]
    right = np.array([np.equal(picked, queries.document) for picked in last])
    learnt = np.array([way.mean("right_document") > start for way in ways])
    row = int(np.argmax((right == learnt[:, None]).sum(0)))
    known = tasks().known
    words = tuple(known[word] for word in queries.words[row] if word < len(known))
    names = [f"{one.module}.{one.name}" for one in load()]
    picked = {way.name: names[some[row]] for way, some in zip(ways, last, strict=True)}
    return Example(words, names[queries.document[row]], picked)


def report_rows(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """The ways for result.json."""
    return [
        {
            "name": way.name,
            "seeds": [one.seed for one in way.outcomes],
            "test_accuracy": way.test_accuracy,
            "test_accuracies": [one.curve[-1].accuracy for one in way.outcomes],
            "right_document": way.mean("right_document"),
            "accuracy_before": way.mean("accuracy", 0),
            "right_document_before": way.mean("right_document", 0),
            # Not from one document, but from all of them together.
            "marginal_accuracy": statistics.fmean(one.marginal for one in way.outcomes),
            "curves": [[(point.steps, point.accuracy) for point in one.curve] for one in way.outcomes],
            "seconds": way.seconds,
        }
        for way in ways
    ]
