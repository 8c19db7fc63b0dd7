"""Standard errors of means of skewed numbers."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def standard_errors(differences: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    """Of the means; of skewed ones as if the mean were 0, where that is more (Johnson 1978, as in `compare`)."""
    n, mean = len(differences), differences.mean(0)
    apart = differences - mean
    variance = np.sum(apart**2, axis=0) / max(n - 1, 1)
    # Johnson: a skewed sample has a small mean and a small variance by the same chance; the variance is raised to
    # where it would be if the mean were 0.
    lean = np.divide(np.mean(apart**3, axis=0), variance, out=np.zeros_like(variance), where=variance > 0)
    return np.sqrt((variance + np.maximum(-lean * mean, 0.0)) / n)
