"""What is fitted: the square roots of an epidemic's counts, as a function of the logarithms of its parameters."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float

from .outbreak import WEEKS, outbreak

COUNT = 2 * WEEKS  # new cases, then people ill
Curve = Float[np.ndarray, "28"]
Logs = Mapping[str, np.ndarray]  # all rates stay positive, and a step of 0.1 is one of 10%


def logs(rates: Mapping[str, float]) -> dict[str, np.ndarray]:
    return {name: np.log(np.float32(rate)) for name, rate in rates.items()}


def rates(x: Logs) -> dict[str, float]:
    return {name: float(np.exp(np.float64(value))) for name, value in x.items()}


def curve(x: Logs, seed: int | list[int]) -> Curve:
    """One epidemic, as the square roots of its counts.

    The larger a count, the more it varies; its square root varies alike everywhere (Bartlett 1936; 3/8 is Anscombe's, 1948).
    """
    return np.sqrt(np.concatenate(outbreak(seed, **rates(x))) + 3 / 8)


def counts(roots: np.ndarray) -> np.ndarray:
    """`roots` back in people."""
    return np.maximum(np.maximum(roots, 0) ** 2 - 3 / 8, 0)
