"""First plans from which the search starts: each leads to a local minimum of its own."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from ..env import Box

# Of the way from the middle to a bound: a plan at the bound itself would have few free actions to begin with.
SHARE = 0.9


def middle_and_half(low: Float[np.ndarray, " m"], high: Float[np.ndarray, " m"]) -> tuple[np.ndarray, np.ndarray]:
    """The middle of the box and its half-width; where a side is open, 1 from the other side, or 0, and a half-width of 1."""
    open_low, open_high = np.isinf(low), np.isinf(high)
    low = np.where(open_low, np.where(open_high, -1.0, high - 2), low)
    high = np.where(open_high, low + 2, high)
    return (low + high) / 2, (high - low) / 2


def first_plans(box: Box, horizon: int, starts: int) -> Float[np.ndarray, "starts T m"]:
    """The middle of the box; then pairs of one plan and its opposite: held, or with one change of sign, or as square waves.

    Of several actions each changes sign by itself, at random (always the same).
    """
    middle, half = middle_and_half(box.low.ravel(), box.high.ravel())
    rng, pairs = np.random.default_rng(0), -(-(starts - 1) // 2)
    waves = [np.zeros((horizon, middle.size))]
    for pair in range(pairs):
        wave = np.stack([_wave(pair, horizon)] * middle.size, axis=1)
        # The first of them is never turned: for one action there is nothing random.
        wave = wave * np.append(1.0, rng.choice([-1.0, 1.0], middle.size - 1))
        waves += [wave, -wave]
    return middle + SHARE * half * np.stack(waves[:starts])


def _wave(number: int, horizon: int) -> Float[np.ndarray, " T"]:
    t = (np.arange(horizon) + 0.5) / horizon
    changes = (None, 1 / 2, 1 / 3, 2 / 3)
    if number < len(changes):
        change = changes[number]
        return np.where(t < (2.0 if change is None else change), 1.0, -1.0)
    return np.sign(np.sin(np.pi * (number - 1) * t) + 1e-9)
