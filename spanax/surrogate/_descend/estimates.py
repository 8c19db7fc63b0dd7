"""What noisy values and gradients say: the level of the objective beyond its noise, and whether a slope is left.

The level at a step is that of a straight line through the values around it (local linear regression; Fan and Gijbels 1996, Local
Polynomial Modelling and Its Applications, section 2.2), over the widest window in which a line leaves no more than the noise. The
noise is read off products of successive second differences, which are negative for noise and positive for a curve, and whose
outliers are cut off: a few steps that fall far are none. Without noise no window fits, and the level is the value.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

_HALVES = 16, 8, 4, 2  # of the windows, in steps
_NEAR = 16  # steps to either side, whose second differences show the noise
_STEEP = 6.0  # times the median: what is above it is a step that falls far
_FITS = 2.0  # what a line may leave, in units of the noise, which is known roughly; a curve has none by this count
_AVERAGE = 0.9  # of the gradients: a mean over about 19 of them


def smoothed(values: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The level at each value, from the values before it and after it."""
    result = np.array(values, float)
    second = np.diff(result, 2)
    # Of independent noise their mean is the variance.
    squares = -second[1:] * second[:-1] / 4
    for k in range(len(values) if len(squares) else 0):
        near = squares[max(min(k, len(squares)) - _NEAR, 0) : k + _NEAR]
        most = _STEEP * np.median(np.abs(near))
        noise = max(float(np.mean(np.clip(near, -most, most))), 0.0) ** 0.5
        for half in _HALVES:
            level, left = _line(values[max(k - half, 0) : k + half + 1], min(k, half))
            if left <= _FITS * noise:
                result[k] = level
                break
    return result


def _line(values: Float[np.ndarray, " n"], at: int) -> tuple[float, float]:
    """The value of the fitted line at one of the points, and the standard deviation of what it leaves."""
    if len(values) < 4:
        return 0.0, np.inf
    t = np.arange(len(values)) - (len(values) - 1) / 2
    mean, slope = np.mean(values), t @ values / (t @ t)
    left = values - mean - slope * t
    return float(mean + slope * t[at]), float(np.sqrt(left @ left / (len(values) - 2)))


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
