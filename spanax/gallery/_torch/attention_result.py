"""What came of the ways of training the attention, one run after the other and gathered over their seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

SCENES = 7  # that are shown


class Look(NamedTuple):
    """Some scenes, and the upper left corners (row, column) of the glimpses that a network takes in each."""

    scenes: Float[np.ndarray, "n side side"]
    corners: Int[np.ndarray, "n glimpses 2"]

    @staticmethod
    def of(scenes: Tensor, scores: Tensor, stride: int) -> Look:
        """At the places with the highest scores, which are numbered row by row."""
        # Scenes of one digit follow each other: of neighbours all would show the same.
        some = np.linspace(0, len(scenes) - 1, SCENES).astype(int)
        a_row = round(scores.shape[-1] ** 0.5)
        places = scores[some].argmax(-1).numpy()
        return Look(scenes[some].numpy(), stride * np.stack(np.divmod(places, a_row), axis=-1))


@dataclass(frozen=True)
class Outcome:
    """One training: pairs of a step and the accuracy after it; the seconds that the steps took; and where the network looks."""

    name: str
    seed: int
    curve: Sequence[tuple[int, float]]
    seconds: float
    look: Look


@dataclass(frozen=True)
class Learner:
    """The trainings of one way, one for each seed."""

    name: str
    outcomes: tuple[Outcome, ...]

    @property
    def accuracies(self) -> list[float]:
        """At the end, for each seed."""
        return [one.curve[-1][1] for one in self.outcomes]

    @property
    def accuracy(self) -> float:
        return statistics.fmean(self.accuracies)

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.outcomes)

    @property
    def curve(self) -> list[tuple[int, float]]:
        """The mean over the seeds."""
        curves = [one.curve for one in self.outcomes]
        return [(points[0][0], statistics.fmean(value for _, value in points)) for points in zip(*curves, strict=True)]


def collect(outcomes: Sequence[Outcome]) -> tuple[Learner, ...]:
    """By their names, in the order in which they came."""
    names = dict.fromkeys(one.name for one in outcomes)
    return tuple(Learner(name, tuple(one for one in outcomes if one.name == name)) for name in names)


def report_rows(learners: Sequence[Learner]) -> list[dict[str, Any]]:
    """The learners for result.json."""
    return [
        {
            "name": learner.name,
            "seeds": [one.seed for one in learner.outcomes],
            "accuracies": learner.accuracies,
            "accuracy": learner.accuracy,
            "seconds": learner.seconds,
            "curve": learner.curve,
        }
        for learner in learners
    ]
