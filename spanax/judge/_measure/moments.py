"""Mean, covariance and a few draws of a gradient, without holding all draws in memory."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Array, Float, Int, Key

from .gradients import Gradient

KEPT = 2_000  # gradients, of a few coordinates, for the histograms
_IN_MEMORY = 1 << 22  # numbers of one chunk of gradients
_OF_BATCHES = 1 << 25  # numbers of all batch means


class Moments(NamedTuple):
    """What is kept of `draws` independent gradients, as float64 vectors over all elements of all leaves.

    - `mean`, `variance` (unbiased, exactly 0 where all draws are alike), `third` (the third central moment) and `largest` (the
      largest distance of a draw from the mean): of each element;
    - `batches`: the means of (almost) equal, consecutive batches of draws: 50 of them, fewer for very large gradients;
    - `cosine`: the mean over draws of the cosine, in the elements `at`, with the vector given as `toward`;
    - `picked`: the chosen coordinates of the first 2,000 draws;
    - `not_finite`: how many gradients held a NaN or an infinity, and `bad`: in which elements, of which nothing else is known.
    """

    draws: int
    mean: Float[np.ndarray, " size"]
    variance: Float[np.ndarray, " size"]
    third: Float[np.ndarray, " size"]
    largest: Float[np.ndarray, " size"]
    batches: Float[np.ndarray, "batches size"]
    cosine: float
    picked: Float[np.ndarray, "kept coordinates"]
    not_finite: int
    bad: Int[np.ndarray, " elements"]

    def without_batches(self) -> Moments:
        return self._replace(batches=self.batches[:0].copy())


def moments(
    gradient: Gradient,
    key: Key[Array, ""],
    draws: int,
    toward: Float[np.ndarray, " size"] | None = None,
    coordinates: Sequence[int] = (),
    advance: Callable[[int], None] = lambda done: None,
    at: Any = slice(None),
) -> Moments:
    """The moments of the first `draws` gradients of a key, merged chunk by chunk (Pebay 2008, SAND2008-6212, equation 2.1).

    `advance` is told how many draws were added, after each chunk.
    """
    size = gradient.arguments.size
    # Batch means for the tests: 50 give the noise of |bias|^2 well enough, and large models get fewer, to fit memory.
    count = min(draws, int(np.clip(_OF_BATCHES // size, 20, 50)))
    chunk = max(1, _IN_MEMORY // size)
    total = _Total(size, toward, at, coordinates)
    batches = np.empty((count, size))
    ends = np.linspace(0, draws, count + 1).round().astype(int)
    for k, (start, end) in enumerate(itertools.pairwise(ends.tolist())):
        before, mean_before = total.count, total.apart.copy()
        for begin in range(start, end, chunk):
            # Draw i is the i-th of its key whatever the chunk: memory does not change the result.
            rows = gradient.rows(key, begin, min(begin + chunk, end))
            total.add(rows)
            advance(len(rows))
        added = max(total.count - before, 1)
        # The mean of the batch alone, from the running means before and after it.
        batches[k] = mean_before + (total.apart - mean_before) * (total.count / added)
    return total.moments(batches)


class _Total:
    """Running sums over chunks. Means are kept less the first gradient, so that those that are all alike have no rounding."""

    def __init__(self, size: int, toward: np.ndarray | None, at: Any, coordinates: Sequence[int]):
        self.count, self.origin = 0, None
        self.apart, self.squares, self.cubes = np.zeros(size), np.zeros(size), np.zeros(size)
        # The extremes bound what values no draw has shown may add.
        self.low, self.high = np.zeros(size), np.zeros(size)  # of the draws, less the first
        self.at, self.toward = at, None if toward is None else toward[at]
        self.cosines, self.not_finite = 0.0, 0
        self.bad = np.zeros(size, bool)
        self.coordinates, self.picked = list(coordinates), []

    def add(self, rows: Float[np.ndarray, "rows size"]) -> None:
        self._pick(rows)
        rows = self._finite(rows)
        if self.toward is not None:
            self.cosines += float(np.sum(_cosines(rows[:, self.at], self.toward)))
        # Less the first gradient: gradients that are all alike then have moments of exactly 0.
        if self.origin is None:
            self.origin = rows[0].copy()
        rows -= self.origin
        np.minimum(self.low, rows.min(0), out=self.low)
        np.maximum(self.high, rows.max(0), out=self.high)
        mean = rows.mean(0)
        rows -= mean
        # einsum, without a temporary matrix of squares.
        squares = np.einsum("ij,ij->j", rows, rows)
        self._merge(len(rows), mean, squares, np.einsum("ij,ij,ij->j", rows, rows, rows))

    def _merge(self, n: int, mean: np.ndarray, squares: np.ndarray, cubes: np.ndarray) -> None:
        m, total, step = self.count, self.count + n, mean - self.apart
        # Pebay's update for merging two sets of moments: no catastrophic cancellation, whatever the mean.
        self.cubes += (
            cubes + step**3 * (m * n * (m - n) / total**2) + 3 * step * (m * squares - n * self.squares) / total
        )
        self.squares += squares + step**2 * (m * n / total)
        self.apart += step * (n / total)
        self.count = total

    def _pick(self, rows: np.ndarray) -> None:
        if sum(map(len, self.picked)) < KEPT:
            self.picked.append(rows[:, self.coordinates])

    def _finite(self, rows: np.ndarray) -> np.ndarray:
        finite = np.isfinite(rows)
        whole = finite.all(1)
        if whole.all():
            return rows
        self.not_finite += int(np.sum(~whole))
        self.bad |= ~finite.all(0)
        # A row that is not finite counts with zeros, so that the sums go on; `bad` says of which elements nothing is
        # known.
        return np.where(finite, rows, 0.0)

    def moments(self, batches: Float[np.ndarray, "batches size"]) -> Moments:
        """`batches`: means less the first gradient."""
        origin = 0.0 if self.origin is None else self.origin
        return Moments(
            self.count,
            origin + self.apart,
            self.squares / max(self.count - 1, 1),
            self.cubes / max(self.count, 1),
            np.maximum(self.high - self.apart, self.apart - self.low),
            origin + batches,
            self.cosines / max(self.count, 1),
            np.concatenate(self.picked)[:KEPT],
            self.not_finite,
            np.flatnonzero(self.bad),
        )


def _cosines(rows: np.ndarray, toward: np.ndarray) -> np.ndarray:
    """Of each row; 0 where it, or the vector, is 0."""
    # 0 for a gradient of 0, which has no direction: it does not point along the truth.
    norms = np.sqrt(np.einsum("ij,ij->i", rows, rows)) * np.linalg.norm(toward)
    return np.divide(rows @ toward, norms, out=np.zeros(len(rows)), where=norms > 0)
