"""What came of each way of training the router: its gradients, its accuracy, and how it uses the experts."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Cosine:
    """Of the router's gradient with the exact one, after `steps` of training.

    `single`: the mean over gradients of one batch, which are noisy; `mean`: of their mean, where only a bias is left.
    """

    name: str
    k: int
    seed: int
    steps: int
    single: float
    mean: float


@dataclass(frozen=True)
class Outcome:
    """One training.

    `accuracy`: with the k best experts; `everyone`: with all, weighted; `shares`: of the images, for each expert.
    """

    name: str
    k: int
    seed: int
    accuracy: float
    everyone: float
    shares: Sequence[float]
    seconds: float

    @property
    def entropy(self) -> float:
        """Of the shares, in bits: 3 if all 8 experts are used alike."""
        return -sum(share * math.log2(share) for share in self.shares if share > 0)


@dataclass(frozen=True)
class Way:
    """One way with one k, over its seeds."""

    name: str
    k: int
    cosines: tuple[Cosine, ...]
    outcomes: tuple[Outcome, ...]

    def cosine(self, *, later: bool, of_the_mean: bool) -> float:
        """Before training, or `later`; over the seeds."""
        # Compared twice for each seed: in the order of the steps.
        first, *_, last = sorted({one.steps for one in self.cosines})
        some = [one for one in self.cosines if one.steps == (last if later else first)]
        return statistics.fmean(one.mean if of_the_mean else one.single for one in some)

    @property
    def accuracy(self) -> float:
        return statistics.fmean(one.accuracy for one in self.outcomes)

    @property
    def everyone(self) -> float:
        return statistics.fmean(one.everyone for one in self.outcomes)

    @property
    def entropy(self) -> float:
        return statistics.fmean(one.entropy for one in self.outcomes)

    @property
    def shares(self) -> list[float]:
        """From the most to the least used expert, over the seeds."""
        ranked = [sorted(one.shares, reverse=True) for one in self.outcomes]
        return [statistics.fmean(share) for share in zip(*ranked, strict=True)]

    @property
    def seconds(self) -> float:
        return statistics.median(one.seconds for one in self.outcomes)


def collect(cosines: Iterable[Cosine], outcomes: Iterable[Outcome]) -> tuple[Way, ...]:
    """Those with at least one training."""
    cosines, outcomes = list(cosines), list(outcomes)
    # top-1 first, whichever seed came when; the ways in their order.
    keys = sorted(dict.fromkeys((one.k, one.name) for one in outcomes), key=lambda key: key[0])
    return tuple(Way(name, k, _those(cosines, name, k), _those(outcomes, name, k)) for k, name in keys)


def _those(every: list[Any], name: str, k: int) -> tuple[Any, ...]:
    return tuple(one for one in every if (one.name, one.k) == (name, k))


def report_rows(ways: Sequence[Way]) -> list[dict[str, Any]]:
    """The ways for result.json."""
    return [
        {
            "name": way.name,
            "k": way.k,
            "seeds": [one.seed for one in way.outcomes],
            "cosines": [
                {"seed": one.seed, "steps": one.steps, "single": one.single, "mean": one.mean} for one in way.cosines
            ],
            "accuracies": [one.accuracy for one in way.outcomes],
            "accuracies_of_all_experts": [one.everyone for one in way.outcomes],
            "shares": [list(one.shares) for one in way.outcomes],
            "entropies": [one.entropy for one in way.outcomes],
            "seconds": way.seconds,
        }
        for way in ways
    ]
