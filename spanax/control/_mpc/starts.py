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


def first_plans(box: Box, horizon: int, count: int) -> Float[np.ndarray, "count T m"]:
    """The middle of the box, and random plans, always the same: held for a random time, then changed.

    What is held is one bound, the other, or something in between, with equal chances, for each action by itself. The times are
    geometric, a quarter of the horizon on average: a motion that is put off, or takes several swings, is among them.
    """
    middle, half = middle_and_half(box.low.ravel(), box.high.ravel())
    rng = np.random.default_rng(0)
    waves = [_wave(rng, horizon) for _ in range((count - 1) * middle.size)]
    waves = np.array([np.zeros(horizon)] * middle.size + waves).reshape(count, middle.size, horizon)
    return middle + SHARE * half * waves.swapaxes(1, 2)


def _wave(rng: np.random.Generator, horizon: int) -> Float[np.ndarray, " T"]:
    wave, t = np.zeros(horizon), 0
    while t < horizon:
        length = rng.geometric(min(1.0, 4 / horizon))
        wave[t : t + length] = rng.choice([-1.0, 1.0, rng.uniform(-1, 1)])
        t += length
    return wave
