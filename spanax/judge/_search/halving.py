"""Successive halving: all candidates are drawn a few times, the better half of them twice as often, and so on.

Jamieson and Talwalkar 2016 (arXiv:1502.07943), algorithm 1, with the time to a given accuracy for the loss.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import jax
import numpy as np
from jaxtyping import Array, Key

from .._measure.gradients import Gradient

FIRST = 16  # draws in the first round
AT_LEAST = 4  # draws of each candidate before the time is looked at
SIGNIFICANT = 4.0  # a squared distance from the reference above so many times its own variance is bias


class Trial:
    """One candidate, and the moments of its gradients so far (Welford 1962), in the leaves at these positions.

    `unbiased`: does it say so? `sound`: and for every program, so that it may stand for the truth?
    """

    def __init__(
        self,
        label: str,
        gradient: Gradient,
        key: Key[Array, ""],
        *,
        unbiased: bool,
        sound: bool,
        leaves: Sequence[int] = (0,),
    ):
        self.label, self.unbiased, self.sound = label, unbiased, sound
        self._gradient, self._key, self._leaves = gradient, key, leaves
        self.count, self.squares, self.compiling = 0, 0.0, 0.0
        self.mean: np.ndarray | float = 0.0
        # All of them, for the median: a mean would hold the pauses of other work.
        self.seconds: list[float] = []

    def compile(self) -> None:
        """The first call; its gradient is not counted."""
        self.compiling, _ = self._time(0)

    def draw(self) -> None:
        """One more gradient."""
        seconds, leaves = self._time(self.count)
        self.seconds.append(seconds)
        self.count += 1
        new = np.concatenate([np.asarray(leaves[i], np.float64).ravel() for i in self._leaves])
        # Welford's update: sums of squares would cancel where the mean is large beside the noise.
        apart = new - self.mean
        self.mean = self.mean + apart / self.count
        self.squares += float(np.sum(apart * (new - self.mean)))

    def _time(self, i: int) -> tuple[float, Sequence[Array]]:
        start = time.perf_counter()
        # JAX returns before the work is done: without the wait the time would be that of dispatching it.
        leaves = jax.block_until_ready(self._gradient(self._key, i))
        return time.perf_counter() - start, leaves

    @property
    def finite(self) -> bool:
        return math.isfinite(self.squares)

    @property
    def variance(self) -> float:
        """The trace of the covariance of one gradient."""
        return self.squares / (self.count - 1) if self.count > 1 else math.inf

    @property
    def error(self) -> float:
        """The variance of the mean."""
        return self.variance / max(self.count, 1)

    @property
    def second(self) -> float:
        """Seconds a gradient: the median."""
        return float(np.median(self.seconds)) if self.seconds else math.inf


def rank_trials(trials: Sequence[Trial], accuracy: float) -> list[Trial]:
    """By the seconds until the mean has a root mean square error of accuracy |truth|; then by that error itself.

    For the truth stands the mean of the sound candidate whose mean varies least.
    """
    # One draw has no variance yet, and a gradient that is not finite none at all: both come last.
    finite = [trial for trial in trials if trial.finite and trial.count > 1]
    if not finite:
        return list(trials)
    reference = min([t for t in finite if t.sound] or finite, key=lambda t: t.error)
    # E|mean|^2 = |truth|^2 + error: without the correction noise would pass for size.
    goal = accuracy**2 * max(0.0, float(np.sum(reference.mean**2)) - reference.error)

    def cost(trial: Trial) -> tuple[float, float]:
        if trial not in finite:
            return math.inf, math.inf
        bias = 0.0 if trial is reference else _squared_bias(trial, reference)
        # What of the squared error the bias leaves to the variance; where it leaves nothing, no number of draws helps.
        room = goal - bias
        seconds = trial.second * max(1.0, trial.variance / room) if room > 0 else math.inf
        return seconds, bias + trial.variance * trial.second

    return sorted(trials, key=cost)


def _squared_bias(trial: Trial, reference: Trial) -> float:
    # Two noisy means differ by their noise: only what is well beyond it counts as bias.
    apart, noise = float(np.sum((trial.mean - reference.mean) ** 2)), trial.error + reference.error
    # Two means without any noise still differ by rounding, which is not a bias.
    rounding = float(np.finfo(np.float32).eps) * float(np.sum(reference.mean**2))
    return apart - noise if apart > SIGNIFICANT * noise + rounding else 0.0


def halve(
    trials: Sequence[Trial],
    *,
    keep: tuple[int, int],
    deadline: float,
    accuracy: float,
    on_round: Callable[[int, int], None],
) -> list[Trial]:
    """The best trials: at most `keep[0]` of those that say they are unbiased, and behind them `keep[1]` of the others.

    The two compete among themselves only, as a biased estimate may be cheap and is not an answer; and one that is sound stays in
    any case, as what is unbiased for programs without jumps may not be so for this one. `deadline` is a reading of
    `time.perf_counter`; the first trial is drawn a few times in any case, and those that there was no time for are not among
    the best. `on_round(round, left)` is called at each round.
    """
    # Compiled before the first round, so that the rounds compare running times only.
    alive, draws, number = _compile(trials, deadline), FIRST, 1
    while True:
        on_round(number, len(alive))
        in_time = _round(alive, draws, deadline)
        leagues = _leagues(rank_trials(alive, accuracy))
        if not in_time or all(len(league) <= n for league, n in zip(leagues, keep, strict=True)):
            return _first_of_each(leagues, keep)
        # Never fewer than are kept in the end: the next round may turn their order around.
        halves = [max(n, -(-len(league) // 2)) for league, n in zip(leagues, keep, strict=True)]
        alive, draws, number = _first_of_each(leagues, halves), 2 * draws, number + 1


def _first_of_each(leagues: Sequence[list[Trial]], numbers: Sequence[int]) -> list[Trial]:
    return [trial for league, n in zip(leagues, numbers, strict=True) for trial in _first(league, n)]


def _leagues(ranking: list[Trial]) -> tuple[list[Trial], list[Trial]]:
    """Those that say they are unbiased, and the others: a cheap biased one must not push an honest one out."""
    return [trial for trial in ranking if trial.unbiased], [trial for trial in ranking if not trial.unbiased]


def _first(ranking: list[Trial], n: int) -> list[Trial]:
    """The first n; the last of them makes room for the best sound one if none of them is."""
    # A candidate that needs a program without jumps may look best on one that has them: a sound one is kept to show it.
    first, behind = ranking[:n], [trial for trial in ranking[n:] if trial.sound and trial.finite]
    return [*first[:-1], behind[0]] if behind and not any(trial.sound for trial in first) else first


def _compile(trials: Sequence[Trial], deadline: float) -> list[Trial]:
    """Those that there was time to compile."""
    ready = []
    for trial in trials:
        # The first is compiled in any case: without one there would be nothing to recommend.
        if ready and time.perf_counter() > deadline:
            break
        if not trial.compiling:
            trial.compile()
        ready.append(trial)
    return ready


def _round(trials: Sequence[Trial], draws: int, deadline: float) -> bool:
    """All in turn, so that a machine that slows down slows them all; was there time for every draw?"""
    for k in range(draws):
        if k >= AT_LEAST and time.perf_counter() > deadline:
            return False
        for trial in trials:
            trial.draw()
    return True
