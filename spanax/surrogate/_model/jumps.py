"""Jumps of fn, found by halving segments, and the width over which a surrogate smooths them.

Of each half the one with the larger change is kept. The change of a smooth function shrinks with the segment, that of a function
with a jump does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Key

from .plan import ROUNDS
from .source import Source

_LOOK_BACK, _LEFT = 5, 0.7  # over so many halvings so much of the change is left, where fn jumps
_SMALLEST = 0.02  # of an output's standard deviation
_FINE = 401  # points along a line through a jump


@dataclasses.dataclass(frozen=True, eq=False)
class Jump:
    """A jump of one output, by `height`, between two points of [-1, 1]^d; `width`: how far apart the points are between which
    the surrogate makes as much of a change as fn does at once, in widths of the box; infinite where it makes none."""

    output: int
    height: float
    below: Float[np.ndarray, " d"]
    above: Float[np.ndarray, " d"]
    width: float


def segments(U: np.ndarray, Z: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The neighbours among the points whose results differ the most."""
    from scipy.spatial import cKDTree

    near = min(4, len(U) - 1)
    _, order = cKDTree(U).query(U, k=near + 1)
    a, b = np.repeat(np.arange(len(U)), near), order[:, 1:].ravel()
    pairs = np.unique(np.sort(np.stack([a, b], axis=1), axis=1), axis=0)
    size = np.max(np.abs(Z[pairs[:, 0]] - Z[pairs[:, 1]]), axis=1)
    # Stable, so that equal ones are in the same order everywhere.
    chosen = pairs[np.argsort(-size, kind="stable")]
    kept: list[np.ndarray] = []
    used: set[int] = set()
    for pair in chosen:
        if len(kept) < count and not used & set(pair.tolist()):
            kept.append(pair)
            used |= set(pair.tolist())
    a, b = np.array(kept).T
    # Upwards along the number of x that differs the most, so that the sign of a jump has a meaning.
    move = U[b] - U[a]
    largest = np.argmax(np.abs(move), axis=1)
    downwards = move[np.arange(len(a)), largest] < 0
    return np.where(downwards, b, a), np.where(downwards, a, b)


def search(
    source: Source,
    keys: Key,
    ends: tuple[np.ndarray, np.ndarray],
    values: tuple[np.ndarray, np.ndarray],
    sd: np.ndarray,
    noise: np.ndarray,
    line: Callable[[np.ndarray], np.ndarray],
) -> list[Jump]:
    """`ends`: (s, d) each, with their `values` (s, m); `sd`, `noise`: of the outputs; `line`: the surrogate at rows of points."""
    low, high = (np.array(end) for end in ends)
    at_low, at_high = (np.array(value) for value in values)
    sizes = [_sizes(at_high - at_low, sd)]
    for turn in range(ROUNDS):
        middle, at_middle, kept = source.values((low + high) / 2, keys[turn])
        first = _sizes(at_middle - at_low, sd).max(axis=1) >= _sizes(at_high - at_middle, sd).max(axis=1)
        upper, lower = kept & first, kept & ~first
        high[upper], at_high[upper] = middle[upper], at_middle[upper]
        low[lower], at_low[lower] = middle[lower], at_middle[lower]
        sizes.append(_sizes(at_high - at_low, sd))
        # Nearer than this, two points are the same float.
        if np.max(np.abs(high - low)) < 8 * source.space.resolution:
            break
    found = []
    for s in range(len(low)):
        j = int(np.argmax(sizes[-1][s]))
        least = max(_SMALLEST, 5 * float(noise[j] / sd[j]))
        back = sizes[max(len(sizes) - 1 - _LOOK_BACK, 0)][s, j]
        if len(sizes) > _LOOK_BACK and sizes[-1][s, j] > least and sizes[-1][s, j] > _LEFT * back:
            height = float(at_high[s, j] - at_low[s, j])
            width = _width(low[s], high[s], ends[1][s] - ends[0][s], height, lambda rows, j=j: line(rows)[:, j])
            found.append(Jump(j, height, low[s], high[s], width))
    return found


def measured_again(jump: Jump, line: Callable[[np.ndarray], np.ndarray]) -> Jump:
    """The same jump, smoothed by another surrogate."""
    width = _width(
        jump.below, jump.above, jump.above - jump.below, jump.height, lambda rows: line(rows)[:, jump.output]
    )
    return dataclasses.replace(jump, width=width)


def _sizes(change: np.ndarray, sd: np.ndarray) -> np.ndarray:
    return np.nan_to_num(np.abs(change) / sd)


def _width(low: np.ndarray, high: np.ndarray, along: np.ndarray, height: float, line: Callable) -> float:
    """The height over the surrogate's steepest slope near the jump, as a ramp of that height would have."""
    unit = along / np.linalg.norm(along)
    t = np.linspace(-1, 1, _FINE)
    rows = (low + high) / 2 + t[:, None] * unit
    inside = np.all(np.abs(rows) <= 1, axis=1)
    rows, t = rows[inside], t[inside]
    if len(t) < 3:
        return float("nan")
    slope = np.gradient(line(rows), t) * np.sign(height)
    near = np.abs(t) <= 0.5
    steepest = float(np.max(slope[near])) if np.any(near) else 0.0
    # Half of it: the box is 2 wide in these units.
    return abs(height) / steepest / 2 if steepest > 0 else float("inf")
