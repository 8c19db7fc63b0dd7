"""The local surrogate: a Gaussian process that is told slopes of a function along directions.

In units of sigma, z = x / sigma, a pair of points at z + u and z - u tells the slope D of the function along u. With the prior
covariance l^2 exp(-|z - z'|^2 / 2 l^2) of the function, that of two slopes is

    u . [I - r r^T / l^2] u' exp(-|r|^2 / 2 l^2),   r = z - z'

and the mean after slopes D_i along u_i at c_i is s(z) = sum_i w_i u_i . (z - c_i) exp(-|z - c_i|^2 / 2 l^2), where w solves
(G + noise I) w = D (Rasmussen and Williams 2006, Gaussian Processes for Machine Learning, section 9.4). The width l and the noise
are those of a grid that have the greatest likelihood. Slopes, and not values: differences of values that are close together
would have to be taken apart again by a nearly singular matrix. On the way down a function gets flatter: slopes that were told
where it was steeper count as less well known, by the ratio of their squares, or what the model is off there would drown what is
left.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

_WIDTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)  # in units of the distance between the centres
_NOISES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)  # in units of the prior variance of a slope
_COLUMNS = 16  # of the results: more are summed up by random signs, where only widths are compared
_PLAIN = 3.0  # width in units of the typical length of a direction, before there is a distance to compare with


class Local(NamedTuple):
    """A fixed number of slopes, the oldest of which make room for new ones.

    `count`: how many there are; `since`: how many have come since width and noise were chosen.
    """

    centres: Float[Array, "n size"]
    directions: Float[Array, "n size"]
    slopes: Float[Array, "n outputs"]
    weights: Float[Array, "n outputs"]
    width: Float[Array, ""]
    noise: Float[Array, ""]  # variance, of the latest slopes
    scales: Float[Array, " n"]  # that of each, in units of the latest ones'
    count: Int[Array, ""]
    since: Int[Array, ""]

    @classmethod
    def empty(cls, n: int, size: int, outputs: int, dtype: Any) -> Local:
        """Nothing is known: s is 0."""
        rows: Any = np.zeros((n, size), dtype)
        columns: Any = np.zeros((n, outputs), dtype)
        width: Any = np.asarray(_PLAIN * max(size, 1) ** 0.5, dtype)
        noise: Any = np.asarray(1e-2 * max(size, 1), dtype)
        scales: Any = np.ones(n, dtype)
        none: Any = np.zeros((), np.int32)
        return cls(rows, rows, columns, columns, width, noise, scales, none, none)


def value(local: Local, z: Float[Array, " size"]) -> Float[Array, " outputs"]:
    """s(z)."""
    away = z[None] - local.centres
    # Rows that hold nothing have the weight 0.
    along = jnp.sum(away * local.directions, axis=-1) * jnp.exp(-jnp.sum(away**2, axis=-1) / (2 * local.width**2))
    return jnp.matmul(along, local.weights, precision=lax.Precision.HIGHEST)


def posterior_slope(
    local: Local, z: Float[Array, " size"], u: Float[Array, "k size"], slopes: Float[Array, "k outputs"]
) -> Float[Array, "outputs size"]:
    """The gradient of s at z, for each result, after these slopes at z too. Linear in the slopes, those of `local` included."""
    centres = jnp.concatenate([local.centres, jnp.broadcast_to(z, u.shape)])
    directions = jnp.concatenate([local.directions, u])
    told = jnp.concatenate([local.slopes, slopes])
    known = jnp.concatenate([jnp.arange(len(local.centres)) < local.count, jnp.ones(len(u), bool)])
    noises = local.noise * jnp.concatenate([local.scales, jnp.ones(len(u), local.scales.dtype)])
    gram = covariance(jnp, centres, directions, local.width)
    # An empty row is a slope along nothing: a 1 on the diagonal makes its weight 0, and leaves the others alone.
    gram = jnp.where(known[:, None] & known[None], gram, 0) + jnp.diag(jnp.where(known, noises, 1))
    factor = jax.scipy.linalg.cho_factor(gram)
    weights = jax.scipy.linalg.cho_solve(factor, jnp.where(known[:, None], told, 0))
    away = z[None] - centres
    near = jnp.exp(-jnp.sum(away**2, axis=-1) / (2 * local.width**2))
    pull = directions - away * (jnp.sum(away * directions, axis=-1) / local.width**2)[:, None]
    return jnp.matmul(weights.T, near[:, None] * pull, precision=lax.Precision.HIGHEST)


def covariance(xp: Any, centres: Any, directions: Any, width: Any) -> Any:
    """Of the slopes with each other, (n, n); in NumPy or JAX."""
    # From inner products: all differences at once would be n^2 size numbers.
    across, own = centres @ centres.T, xp.sum(centres**2, axis=1)
    far = xp.maximum(own[:, None] + own[None] - 2 * across, 0)
    from_row = xp.sum(directions * centres, axis=1)[:, None] - directions @ centres.T  # u_i . (c_i - c_j)
    to_row = -from_row.T  # u_j . (c_i - c_j)
    return (directions @ directions.T - from_row * to_row / width**2) * xp.exp(-far / (2 * width**2))


def told(local: Local, centre: np.ndarray, u: np.ndarray, slopes: np.ndarray) -> Local:
    """With these slopes at one centre; the oldest make room. On the host, in float64; a slope that is not finite is left out."""
    finite = np.isfinite(u).all(axis=1) & np.isfinite(slopes).all(axis=1) & np.isfinite(centre).all()
    n, dtype = len(local.centres), np.asarray(local.centres).dtype
    u, slopes = u[finite][-n:], slopes[finite][-n:]
    if not len(u):
        return local
    first = max(0, int(local.count) + len(u) - n)
    kept = slice(first, int(local.count))
    news = (np.broadcast_to(centre, u.shape), u, slopes)
    olds = (local.centres, local.directions, local.slopes)
    parts = [np.concatenate([np.asarray(old)[kept], new]) for old, new in zip(olds, news, strict=True)]
    centres, directions, all_slopes = (part.astype(np.float64) for part in parts)
    count, since = len(centres), int(local.since) + len(u)
    # The search costs as much as many solutions: anew when a third of what is known has come since, or where it is little.
    width, noise, scales = float(local.width), float(local.noise), _scales(centres, all_slopes)
    if 3 * since >= count:
        width, noise, since = *_chosen(centres, directions, all_slopes, scales), 0
    gram = covariance(np, centres, directions, width) + noise * np.diag(scales)
    weights = np.linalg.solve(gram, all_slopes)
    filled: Any = [_padded(part, n, dtype) for part in (centres, directions, all_slopes, weights)]
    counts: Any = [np.asarray(x, np.int32) for x in (count, since)]
    chosen: Any = [np.asarray(x, dtype) for x in (width, noise)]
    padded: Any = np.concatenate([scales, np.ones(n - count)]).astype(dtype)
    return Local._make([*filled, *chosen, padded, *counts])


def _scales(centres: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """The mean square of the slopes at the centre of each, in units of that at the latest centre; 1 at least."""
    moved = np.any(np.diff(centres, axis=0) != 0, axis=1)
    number = np.concatenate([[0], np.cumsum(moved)])
    typical = np.sqrt(np.mean(slopes**2, axis=0))
    squares = np.mean((slopes / np.where(typical > 0, typical, 1)) ** 2, axis=1)
    means = np.bincount(number, squares) / np.bincount(number)
    # One call's few slopes are a noisy estimate of their size: its neighbours along the way help.
    means = np.convolve(np.concatenate([means[:1], means, means[-1:]]), [0.25, 0.5, 0.25], "valid")
    return np.maximum(means / max(means[-1], 1e-300), 1)[number] if means[-1] > 0 else np.ones(len(slopes))


def _chosen(centres: np.ndarray, directions: np.ndarray, slopes: np.ndarray, scales: np.ndarray) -> tuple[float, float]:
    """The width and the noise of the greatest likelihood."""
    typical = float(np.mean(np.sum(directions**2, axis=1)))
    # The centres differ by rounding only where x has not moved.
    spread = float(np.sqrt(np.median(np.sum((centres - centres.mean(0)) ** 2, axis=1))))
    widths = [w * spread for w in _WIDTHS] if spread > 1e-6 * (1 + np.abs(centres).max()) else [_PLAIN * typical**0.5]
    # No wiggles narrower than the probes are wide: they could not be told from noise.
    widths = sorted({max(width, typical**0.5) for width in widths})
    scale = np.sqrt(np.mean(slopes**2, axis=0))
    columns = _summed(slopes / np.where(scale > 0, scale, 1))
    best: tuple[float, float, float] | None = None
    for width in widths:
        # In units of each slope's own noise, in which one decomposition serves all noises.
        gram = covariance(np, centres, directions, width) / np.sqrt(scales[:, None] * scales[None])
        values, vectors = np.linalg.eigh(gram)
        parts = vectors.T @ (columns / np.sqrt(scales)[:, None])
        for noise in _NOISES:
            likelihood = _likelihood(np.maximum(values, 0) + noise * typical, parts)
            if best is None or likelihood > best[0]:
                best = likelihood, width, noise * typical
    assert best is not None
    return best[1:]


def _likelihood(variances: np.ndarray, parts: np.ndarray) -> float:
    """Its logarithm, with the scale of each column at its own best value, and no constants."""
    scales = np.mean(parts**2 / variances[:, None], axis=0)
    scales = scales[scales > 0]
    return -0.5 * (len(variances) * float(np.sum(np.log(scales))) + len(scales) * float(np.sum(np.log(variances))))


def _summed(columns: np.ndarray) -> np.ndarray:
    """At most 16 of them: with random signs, which keep how alike the rows are."""
    count = columns.shape[1]
    if count <= _COLUMNS:
        return columns
    signs = np.where(np.random.default_rng(0).random((count, _COLUMNS)) < 0.5, -1.0, 1.0)
    return columns @ signs / _COLUMNS**0.5


def _padded(rows: np.ndarray, n: int, dtype: Any) -> np.ndarray:
    return np.concatenate([rows, np.zeros((n - len(rows), *rows.shape[1:]))]).astype(dtype)
