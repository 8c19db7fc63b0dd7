"""The derivative of the smoothed step E f(x + sigma u) by both roads, and their mix.

- analytic (first order): the mean of J(x + sigma u);
- from values (zeroth order): the least-squares fit of g to (f(x + w) - f(x - w)) / 2 = g w over the chords, which is the
  smoothed derivative for normal u; of less chords than inputs, the shortest such g, which is 0 across them.

The mix is the analytic one; where that is clearly noisier than the other, it weights them by their inverse variances, and
where it is flagged it takes the values alone (Suh et al. 2022, arXiv:2202.00817, section 4, with the test of `trust` for its
bound on the bias).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .chords import Chords

_APART = 3.0  # standard errors between the two: then the analytic one is not used
_CLEARLY = 4.0  # times the other variance


class Mix(NamedTuple):
    """For each of m outputs: derivatives by d inputs, their standard errors, and the weight of the analytic one.

    `spread`: of the analytic derivative at a single point, as a multiple of the smoothed one's size; `ratio`: of what the
    analytic derivative makes of the chords to what the values change, 1 if it is right.
    """

    analytic: Float[np.ndarray, "m d"]
    zeroth_order: Float[np.ndarray, "m d"]
    analytic_errors: Float[np.ndarray, "m d"]
    zeroth_order_errors: Float[np.ndarray, "m d"]
    weights: Float[np.ndarray, " m"]
    derivative: Float[np.ndarray, "m d"]
    spread: Float[np.ndarray, " m"]
    ratio: Float[np.ndarray, " m"]


def mix(chords: Chords, untrusted: np.ndarray, sigma: Float[np.ndarray, " d"], rounding: np.ndarray) -> Mix:
    zeroth, of_zeroth = _zeroth_order(chords)
    zeroth_errors = np.sqrt(np.sum(of_zeroth**2, axis=0))
    if chords.before.slopes is None or chords.after.slopes is None:
        none = np.full_like(zeroth, np.nan)
        nothing = np.full(len(zeroth), np.nan)
        return Mix(none, zeroth, none, zeroth_errors, np.zeros(len(zeroth)), zeroth, nothing, nothing)
    both = np.stack([chords.before.slopes, chords.after.slopes])
    n = both.shape[1]
    analytic = both.mean((0, 1))
    # The two ends of a chord are not independent of each other: their mean is one draw.
    of_analytic = (both.mean(0) - analytic) / np.sqrt(n * (n - 1))
    analytic_errors = np.sqrt(np.sum(of_analytic**2, axis=0))
    first, second = (np.sum((e * sigma) ** 2, axis=1) for e in (analytic_errors, zeroth_errors))
    with np.errstate(all="ignore"):
        # The variances are of few chords, and known within a factor: the analytic one, which is not even biased by the fit,
        # is left only where it is clearly the noisier.
        weights = np.where(first > _CLEARLY * second, second / (first + second), 1.0)
    # A fit through as many unknowns as chords has no residual to tell its variance.
    fitted = n > len(sigma) + 1
    weights = np.where(np.isfinite(weights) & fitted, weights, 1.0)
    # Few points may all have missed the steep part of a slope, and then differ little from each other.
    apart = np.sum(((analytic - zeroth) * sigma) ** 2, axis=1) > _APART**2 * (first + second)
    beyond = np.max(np.abs((analytic - zeroth) * sigma), axis=1) > rounding
    weights = np.where(untrusted | (fitted & apart & beyond), 0.0, weights)
    derivative = np.where(weights[:, None] > 0, weights[:, None] * analytic, 0.0) + (1 - weights[:, None]) * zeroth
    size = np.linalg.norm(zeroth * sigma, axis=1)
    with np.errstate(all="ignore"):
        spread = np.sqrt(np.sum((both.reshape(2 * n, *analytic.shape).std(0) * sigma) ** 2, axis=1)) / size
        change = chords.change
        ratio = np.sum(chords.integral * change, axis=0) / np.sum(change**2, axis=0)
    ratio = np.where(np.max(np.abs(change), axis=0) > rounding, ratio, np.nan)
    return Mix(analytic, zeroth, analytic_errors, zeroth_errors, weights, derivative, spread, ratio)


def _zeroth_order(chords: Chords) -> tuple[Float[np.ndarray, "m d"], Float[np.ndarray, "n m d"]]:
    """The fit, and how far each chord may have moved it: by its residual as if it had not been fitted (HC3, MacKinnon and
    White)."""
    # In units of sigma, so that inputs of different scales weigh alike in a fit that is not unique.
    scale = np.sqrt(np.mean(chords.ways**2, axis=0))
    W, y = chords.ways / scale, np.nan_to_num(chords.change / 2)
    inverse = np.linalg.pinv(W)
    fit = inverse @ y
    leverage = np.sum(W * inverse.T, axis=1)[:, None]
    residuals = (y - W @ fit) / np.maximum(1 - leverage, 1e-3)
    moved = inverse.T[:, None, :] * residuals[:, :, None] / scale
    return (fit / scale[:, None]).T, moved
