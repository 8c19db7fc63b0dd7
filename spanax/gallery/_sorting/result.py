"""What came of the ways of learning an order, one run after the other and gathered over their seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

TOLD_MORE = "told the digits"
WITHOUT_A_RANK = "ranks, regressed", "order, by pairs", "order, as a list"  # losses made by hand


class Judged(NamedTuple):
    """On groups of held-out pictures: the share whose whole order is right, and the share of pictures at the right place."""

    exact_match: float
    element_wise: float

    @staticmethod
    def of(scores: Float[np.ndarray, "groups n"], digits: Int[np.ndarray, "groups n"]) -> Judged:
        right = placed_right(scores, digits)
        return Judged(float(right.all(-1).mean()), float(right.mean()))


def placed_right(
    scores: Float[np.ndarray, "groups n"], digits: Int[np.ndarray, "groups n"]
) -> Bool[np.ndarray, "groups n"]:
    """For each place from the smallest score on: does the picture there show the digit that belongs there?"""
    # By the digits, not the pictures: no two of a group show the same.
    placed = np.take_along_axis(digits, np.argsort(scores, axis=-1), -1)
    return placed == np.sort(digits, axis=-1)


class Shown(NamedTuple):
    """What the picture shows of one network: the scores of all held-out pictures, and some groups as it sorts them."""

    scores: Float[np.ndarray, " n"]
    labels: Int[np.ndarray, " n"]
    sorted_images: Float[np.ndarray, "groups n 8 8"]
    sorted_digits: Int[np.ndarray, "groups n"]


@dataclass(frozen=True)
class Outcome:
    """One training. `seconds`: of its steps; `compile_seconds`: near 0 if that was done before."""

    name: str
    size: int
    seed: int
    judged: Judged
    seconds: float
    compile_seconds: float
    shown: Shown


@dataclass(frozen=True)
class Learner:
    """The trainings of one way with groups of `size` pictures, one for each seed."""

    name: str
    size: int
    outcomes: tuple[Outcome, ...]

    @property
    def exact_matches(self) -> list[float]:
        return [one.judged.exact_match for one in self.outcomes]

    @property
    def exact_match(self) -> float:
        return statistics.fmean(self.exact_matches)

    @property
    def element_wise(self) -> float:
        return statistics.fmean(one.judged.element_wise for one in self.outcomes)

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.outcomes)

    @property
    def is_bridge(self) -> bool:
        return self.name not in (TOLD_MORE, *WITHOUT_A_RANK)


def collect(outcomes: Sequence[Outcome]) -> tuple[Learner, ...]:
    """By size and name, in the order in which they came."""
    keys = dict.fromkeys((one.size, one.name) for one in outcomes)
    return tuple(
        Learner(name, size, tuple(one for one in outcomes if (one.size, one.name) == (size, name)))
        for size, name in sorted(keys, key=lambda key: key[0])
    )


def best_bridge(learners: Sequence[Learner]) -> Learner | None:
    """Of the largest groups, in which bridges differ most."""
    bridges = [one for one in learners if one.is_bridge]
    return max(bridges, key=lambda one: (one.size, one.exact_match), default=None)


def report_rows(learners: Sequence[Learner]) -> list[dict[str, Any]]:
    """The learners for result.json."""
    return [
        {
            "name": learner.name,
            "group": learner.size,
            "seeds": [one.seed for one in learner.outcomes],
            "exact_match": learner.exact_match,
            "exact_matches": learner.exact_matches,
            "element_wise": learner.element_wise,
            "seconds": learner.seconds,
            "compile_seconds": learner.outcomes[0].compile_seconds,
        }
        for learner in learners
    ]
