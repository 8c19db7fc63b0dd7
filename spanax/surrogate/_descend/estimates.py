"""What noisy values and gradients say: the level of the objective beyond its noise, and whether a slope is left.

The values of a descent are a level that changes, seen through noise. Their second differences show the noise, since a level that
changes smoothly has small ones; what the first differences hold beyond it shows how fast the level changes. The two give
the gain of the steady Kalman filter for a random walk seen through noise (Durbin and Koopman 2012, Time Series Analysis by State
Space Methods, section 2.11), value by value. Without noise the gain is 1, and nothing is smoothed.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_MEMORY = 0.9  # of what the differences were
_LEAST = 0.05  # gain: twenty values, averaged, are known well enough
_AVERAGE = 0.9  # of the gradients: a mean over about 19 of them


def smoothed(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The level at each value, from the values before it and after it."""
    if len(values) < 3:
        return np.array(values, float)
    # Forwards the filter lags behind a level that falls, backwards it runs ahead: the mean does neither.
    return (_filtered(values) + _filtered(values[::-1])[::-1]) / 2


def _filtered(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    result, level = np.array(values, float), float(values[0])
    moves = noise = weight = 0.0
    for k in range(1, len(values)):
        first = values[k] - values[k - 1]
        second = first - (values[k - 1] - values[k - 2]) if k > 1 else 0.0
        weight = _MEMORY * weight + 1 - _MEMORY
        share = (1 - _MEMORY) / weight
        moves += share * (first**2 - moves)
        noise += share * (second**2 / 6 - noise)
        gain = _gain(max(moves - 2 * noise, 0.0), noise) if k > 1 else 1.0
        level += gain * (values[k] - level)
        result[k] = level
    return result


def _gain(change: float, noise: float) -> float:
    """Of the steady filter, for these variances of the level's steps and of the noise."""
    if noise <= 0:
        return 1.0
    prior = change / 2 + (change**2 / 4 + change * noise) ** 0.5
    return max(prior / (prior + noise), _LEAST)


class Slope(NamedTuple):
    """The mean of past gradients, and the variance of their noise, of each number; both with the weights of Adam's moments.

    The noise is read off successive differences: a slope that changes along the way has small ones.
    """

    mean: np.ndarray
    noise: np.ndarray
    last: np.ndarray
    weights: np.ndarray  # of the two
    count: np.ndarray

    @classmethod
    def empty(cls, size: int) -> Slope:
        return cls(np.zeros(size), np.zeros(size), np.zeros(size), np.zeros(2), np.zeros((), np.int64))

    def add(self, gradient: Float[np.ndarray, " size"]) -> Slope:
        mean_weight, noise_weight = _AVERAGE * self.weights + (1 - _AVERAGE) * np.array([1, self.count > 0])
        mean = self.mean + (1 - _AVERAGE) / mean_weight * (gradient - self.mean)
        noise = self.noise
        if self.count > 0:
            noise = noise + (1 - _AVERAGE) / noise_weight * ((gradient - self.last) ** 2 / 2 - noise)
        return Slope(mean, noise, gradient, np.array([mean_weight, noise_weight]), self.count + 1)

    @property
    def standard_errors(self) -> float:
        """How many standard errors of its own noise the mean is long; infinite before 10 gradients."""
        if self.count < 10:
            return np.inf
        # The sum of the squared weights of the mean.
        effective = (1 - _AVERAGE) / (1 + _AVERAGE)
        error = float(np.sqrt(np.sum(self.noise) * effective))
        length = float(np.linalg.norm(self.mean))
        return length / error if error > 0 else (0.0 if length == 0 else np.inf)
