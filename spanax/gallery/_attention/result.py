"""What came of the ways of training the attention, one run after the other and gathered over their seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int

from .._shared.digits import Pictures
from .._shared.fitting import Fitted
from .reader import ROW

BASELINES = "random places", "fixed places"
NO_CHOICE = "soft attention"


class Looks(NamedTuple):
    """One picture of each digit, what was said of it, and the weight of each place at each glimpse."""

    images: Float[np.ndarray, "digits 8 8"]
    said: Int[np.ndarray, " digits"]
    weights: Float[np.ndarray, "digits glimpses places"]

    @property
    def corners(self) -> Int[np.ndarray, "digits glimpses 2"]:
        """The upper left pixel (row, column) of each window, where the weight is largest."""
        return np.stack(np.divmod(self.weights.argmax(-1), ROW), axis=-1)


@dataclass(frozen=True)
class Outcome:
    """One training.

    - `curve`: (steps, seconds, accuracy on held-out digits) at some points of it;
    - `places`: how many places are used at each glimpse, over all held-out digits: exp of the entropy of their shares.
    """

    name: str
    seed: int
    curve: tuple[tuple[int, float, float], ...]
    compile_seconds: float
    places: tuple[float, ...]
    looks: Looks

    @staticmethod
    def of(
        name: str,
        seed: int,
        fitted: Fitted,
        held_out: Pictures,
        answers: Float[Array, "n 10"],
        weights: Float[Array, "n glimpses places"],
    ) -> Outcome:
        # The digits that are shown are the first of their kind, not those that came out well.
        labels = np.asarray(held_out.labels)
        one_of_each = np.array([np.argmax(labels == digit) for digit in range(10)])
        said = np.asarray(answers).argmax(-1)
        looks = Looks(*(np.asarray(part)[one_of_each] for part in (held_out.images, said, weights)))
        used = tuple(_how_many(places) for places in np.asarray(weights).argmax(-1).T)
        return Outcome(name, seed, fitted.curve, fitted.compile_seconds, used, looks)


def _how_many(places: Int[np.ndarray, " n"]) -> float:
    shares = np.unique(places, return_counts=True)[1] / len(places)
    return float(np.exp(-np.sum(shares * np.log(shares))))


@dataclass(frozen=True)
class Learner:
    """The trainings of one way, one for each seed."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def accuracies(self) -> list[float]:
        """On held-out digits at the end, for each seed."""
        return [one.curve[-1][-1] for one in self.outcomes]

    @property
    def accuracy(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def seconds(self) -> float:
        """Of the steps of one training, without compilation: the median over the seeds."""
        return statistics.median(one.curve[-1][1] for one in self.outcomes)

    @property
    def compile_seconds(self) -> float:
        """Of the first seed: the others find it done."""
        return self.outcomes[0].compile_seconds

    @property
    def places(self) -> list[float]:
        """The mean over the seeds of how many places are used at each glimpse: 1 if all pictures are looked at alike."""
        return [statistics.fmean(used) for used in zip(*(one.places for one in self.outcomes), strict=True)]

    @property
    def is_bridge(self) -> bool:
        """Does it learn, for each picture anew, where to look?"""
        return self.name not in (*BASELINES, NO_CHOICE)


def collect(outcomes: Sequence[Outcome]) -> tuple[Learner, ...]:
    """By their names, in the order in which they came."""
    names = dict.fromkeys(one.name for one in outcomes)
    return tuple(Learner(name, tuple(one for one in outcomes if one.name == name)) for name in names)


def best_bridge(learners: Sequence[Learner]) -> Learner | None:
    return max((one for one in learners if one.is_bridge), key=lambda one: one.accuracy, default=None)


def figures(learners: Sequence[Learner]) -> dict[str, Any]:
    """The figures of the whole run for result.json: None where a way did not come to its end."""
    # The best by the same digits that it is judged by: with five bridges alike, half a point of it is luck.
    best, by_name = best_bridge(learners), {one.name: one for one in learners}
    random = by_name.get("random places")
    return {
        "best_bridge": best and best.name,
        "test_accuracy": best and best.accuracy,
        "random_test_accuracy": random and random.accuracy,
    }


def report_rows(learners: Sequence[Learner]) -> list[dict[str, Any]]:
    """The learners for result.json."""
    return [
        {
            "name": learner.name,
            "seeds": [one.seed for one in learner.outcomes],
            "test_accuracies": learner.accuracies,
            "test_accuracy": learner.accuracy,
            "places": learner.places,
            "seconds": learner.seconds,
            "compile_seconds": learner.compile_seconds,
            "curves": [one.curve for one in learner.outcomes],
        }
        for learner in learners
    ]
