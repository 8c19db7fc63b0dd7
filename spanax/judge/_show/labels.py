"""Texts in the pictures: where numbers go so that nothing covers them, and what matplotlib would misread."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Spot = tuple[float, float]

_CLEAR = 0.05  # of the frame: nothing else is nearer to a number than this, where there is room
_MARGIN = 0.025
_RADII = (0.045, 0.08, 0.12, 0.17)
_ANGLES = np.linspace(0.4, 0.4 + 2 * math.pi, 16, endpoint=False)


def free_spot(place: Spot, taken: Sequence[Spot], lines: Sequence[Spot]) -> Spot:
    """The spot around `place` with the least near it, in shares of the frame from its lower left corner.

    `taken` are middles of markers and texts; `lines` are points on lines, which may be passed more closely. What counts is near
    the number, or near the line from it to its marker.
    """
    others = np.array([other for other in taken if other != place] or [(9.0, 9.0)])
    # What lies under its own marker is not an obstacle: every line to it ends there.
    points = np.array([point for point in lines if math.dist(point, place) > _MARGIN] or [(9.0, 9.0)])

    def clutter(spot: Spot) -> float:
        outside = not all(_MARGIN < x < 1 - _MARGIN for x in spot)
        leader = leader_points(spot, place)
        # Of two free spots the nearer one is better: its line to the marker is shorter.
        return (
            10 * outside
            + _nearness(np.array([spot]), others, _CLEAR)
            + _nearness(np.array([spot]), points, 0.5 * _CLEAR)
            + _nearness(leader, others, 0.4 * _CLEAR)
            + 0.2 * _nearness(leader, points, 0.2 * _CLEAR)
            + 0.05 * math.dist(spot, place)
        )

    spots = [(place[0] + r * math.cos(a), place[1] + r * math.sin(a)) for r in _RADII for a in _ANGLES]
    return min(spots, key=clutter)


def leader_points(spot: Spot, place: Spot) -> np.ndarray:
    """Points on the line from a number to its marker, (5, 2), without its end at the marker."""
    return np.linspace(spot, place, 7)[1:-1]


def _nearness(ours: np.ndarray, theirs: np.ndarray, clear: float) -> float:
    """By how much in all they are nearer to each other than `clear`."""
    distances = np.linalg.norm(ours[:, None] - theirs[None], axis=-1)
    return float(np.sum(np.maximum(0.0, clear - distances)))


def spread(heights: Sequence[float], step: float, gap: float, most: int = 3) -> list[float]:
    """Offsets, in multiples of `step`, that keep apart markers of one column whose heights differ by less than `gap`.

    Each takes the first of 0, 1, -1, ... (`most` of them) that no earlier marker of nearly its height has; where all are
    taken, the one whose marker is farthest off.
    """
    columns = [0.0, *(sign * k * step for k in range(1, most // 2 + 1) for sign in (1, -1))][:most]
    offsets: list[float] = []
    for i, height in enumerate(heights):
        nearest = {
            c: min((abs(height - heights[j]) for j in range(i) if offsets[j] == c), default=math.inf) for c in columns
        }
        offsets.append(next((c for c in columns if nearest[c] >= gap), max(columns, key=lambda c: nearest[c])))
    return offsets


def plain(text: str) -> str:
    """For matplotlib, which takes what is between two dollars for mathematics."""
    return text.replace("$", r"\$")


def shorten(text: str, limit: int) -> str:
    """Without its middle, where it is too long: labels differ at their ends."""
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[1 - limit + limit // 2 :]}"


def duration(seconds: float) -> str:
    """A power of 10 seconds in words: "10 ms"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.999 * size:
            return f"{seconds / size:,.4g} {unit}" if seconds < 9e3 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds / 1e-9:.4g} ns"
