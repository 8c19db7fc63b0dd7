"""Do predictions agree with measurements? A cosine with its standard error, and a test of whether they agree at all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

LEVEL = 1e-3  # of the tests: predictions that have nothing to do with fn pass in one of a thousand fits, at most


class Agreement(NamedTuple):
    """`cosine`: between changes predicted and measured, over all of them; `error`: its standard error (delete-one jackknife,
    Efron 1981); `signs`: the share of the changes, each by its size, whose sign is right; NaN without any."""

    cosine: float
    error: float
    signs: float

    @classmethod
    def of(
        cls, predicted: Float[np.ndarray, "n m"], measured: Float[np.ndarray, "n m"], noise: np.ndarray
    ) -> Agreement:
        """`noise`: (n, m), the variance of what is measured, which by itself would lower the cosine."""
        products, squares = np.sum(predicted * measured, axis=1), np.sum(predicted**2, axis=1)
        sizes = np.sum(measured**2 - noise, axis=1)
        left_out = [_cosine(*(v.sum() - v for v in (products, squares, sizes)))]
        n = len(products)
        error = np.sqrt((n - 1) / n * np.sum((left_out - np.mean(left_out)) ** 2))
        moved = np.abs(measured)
        signs = np.sum(moved * (predicted * measured > 0)) / np.sum(moved) if np.any(moved) else np.nan
        return cls(float(_cosine(products.sum(), squares.sum(), sizes.sum())), float(error), float(signs))


def _cosine(product: np.ndarray, predicted: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """0 where nothing is predicted or measured beyond the noise: then nothing is known to agree."""
    known = (predicted > 0) & (measured > 0)
    return np.where(known, np.clip(product / np.sqrt(np.where(known, predicted * measured, 1.0)), -1.0, 1.0), 0.0)


def related(predicted: Float[np.ndarray, "n m"], measured: Float[np.ndarray, "n m"]) -> Bool[np.ndarray, " m"]:
    """For each output: do predictions and measurements rise together, more than chance explains?

    By the rank correlation (Spearman 1904), one-sided, which needs no assumption on how fn's values are distributed: a few
    enormous values cannot fake it. `LEVEL` is divided by the number of outputs, for any of them may pass.
    """
    from scipy.special import stdtr
    from scipy.stats import rankdata

    n, outputs = predicted.shape
    a, b = (rankdata(v, axis=0) - (n + 1) / 2 for v in (predicted, measured))
    scale = np.sqrt(np.sum(a**2, axis=0) * np.sum(b**2, axis=0))
    # Without a difference among them there is no order: not related.
    r = np.where(scale > 0, np.sum(a * b, axis=0) / np.where(scale > 0, scale, 1.0), 0.0)
    t = r * np.sqrt((n - 2) / np.maximum(1 - r**2, 1e-12))
    return stdtr(n - 2, -t) < LEVEL / outputs
