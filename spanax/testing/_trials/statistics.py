"""Comparisons of noisy means with what they should be."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..report import require

# Standard errors: each comparison gives a false alarm in 6e-7 of the runs if the mean is normal, so that a hundred of them,
# with tails as heavy as those of means of 20,000 draws, stay well below 1 in 1,000.
LIMIT = 5.0


def require_mean(what: str, drawn: np.ndarray, truth: Any, *, rounding: float, scale: float = 0.0) -> None:
    """The mean over the leading axis of `drawn` is `truth`, within `LIMIT` standard errors and rounding.

    Raises as well where the draws are so noisy that an error of half the truth (or of `scale`, if that is more) would pass.
    """
    drawn, truth = np.asarray(drawn, np.float64), np.asarray(truth, np.float64)
    require(np.all(np.isfinite(drawn)), f"{what} is NaN or infinite in {_share(~np.isfinite(drawn))} of the draws")
    # By the sample's own spread: the draws are many enough for it to be known to a percent.
    error = LIMIT * np.std(drawn, axis=0) / np.sqrt(len(drawn))
    size = max(float(np.max(np.abs(truth))), scale)
    mean = drawn.mean(axis=0)
    # The worst element decides; the limit is wide enough for the number of elements there are here.
    off = np.abs(mean - truth) - error - rounding * (size + np.max(np.abs(mean)))
    k = np.unravel_index(np.argmax(off), off.shape)
    require(
        off[k] <= 0,
        f"the mean of {what} is {mean[k]:.4g} +- {error[k] / LIMIT:.2g}, and it should be {truth[k]:.4g}"
        + _factor(mean, error, truth),
    )
    k = np.unravel_index(np.argmax(error), error.shape)
    require(
        error[k] <= 0.5 * size,
        f"{what} is too noisy to be checked (mean {mean[k]:.3g} +- {error[k] / LIMIT:.2g}): give draws=..., more of them",
    )


def _factor(mean: np.ndarray, error: np.ndarray, truth: np.ndarray) -> str:
    """Says so where all elements are wrong by one factor, such as a wrong sign or a forgotten half."""
    square = float(np.sum(truth**2))
    if not square or truth.size == 1:
        return ""
    factor = float(np.sum(mean * truth)) / square
    uncertain = float(np.sqrt(np.sum((error * truth) ** 2))) / square
    alike = np.all(np.abs(mean - factor * truth) <= error + (uncertain + 1e-6) * np.abs(truth))
    return f" (it is about {factor:.2g} times that)" if alike and uncertain < 0.2 * abs(factor) else ""


def _share(bad: np.ndarray) -> str:
    return f"{100 * np.mean(np.any(bad.reshape(len(bad), -1), axis=1)):.2g}%"
