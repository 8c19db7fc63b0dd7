"""Following what the derivative misses into ever smaller intervals: a jump, a wrong rule, or only a steep slope.

On an interval of length h, the change of f beyond what slopes between those at the two ends can make is what is missing there.
Halved again and again, it vanishes faster than h where f is smooth, and altogether once both ends lie on one steep slope; it stays
in proportion to h where the derivative is wrong, and as large as it is where f jumps.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .chords import Chords, Line
from .step import Step

HALVINGS = 16  # 1 / 65536 of a part of a chord: what rises within that jumps
LEAST = 6  # halvings for a verdict
_SEEN = 8.0  # times the rounding: less is not followed


class Interval(NamedTuple):
    """One interval of a chord: t, outputs and slopes at its ends."""

    t: tuple[float, float]
    values: tuple[np.ndarray, np.ndarray]
    slopes: tuple[np.ndarray, np.ndarray]

    @property
    def length(self) -> float:
        return self.t[1] - self.t[0]

    def missing(self, rounding: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """The change beyond what any slope between those at the ends would make, of each output."""
        change = self.values[1] - self.values[0]
        low, high = self.length * np.minimum(*self.slopes), self.length * np.maximum(*self.slopes)
        with np.errstate(all="ignore"):
            beyond = np.maximum(change - high, low - change) - rounding
        return np.maximum(np.nan_to_num(beyond, nan=0.0, posinf=0.0), 0.0)


def intervals_of(line: Line) -> list[Interval]:
    """Those between neighbouring points of a chord."""
    return [
        Interval(
            (float(line.t[k]), float(line.t[k + 1])),
            (line.values[k], line.values[k + 1]),
            (line.slopes[k], line.slopes[k + 1]),
        )
        for k in range(len(line.t) - 1)
    ]


class Followed(NamedTuple):
    """What became of an interval.

    - `certified`: outputs whose derivative is wrong there, as far as halving shows it; `jumps`: those among them that jump;
    - `released`: outputs for which nothing is missing any more in the end, such as on a steep slope;
    - `last`: the interval of the end, on the chord `chord`; `sizes`: what is missing in it, of each output.
    """

    certified: np.ndarray
    jumps: np.ndarray
    released: np.ndarray
    last: Interval
    chord: int
    sizes: Float[np.ndarray, " m"]


def follow(
    step: Step, chords: Chords, chord: int, first: Interval, output: int, rounding: np.ndarray, most: int
) -> Followed:
    """Halves `first`, towards the half in which more of this output is missing; `most` evaluations."""
    way, key = chords.ways[chord], chords.keys[chord : chord + 1]
    now, seen = first, [first]
    for _ in range(min(most, HALVINGS)):
        middle = (now.t[0] + now.t[1]) / 2
        found = step((step.x + middle * way)[None], key)
        assert found.slopes is not None
        values, slopes = found.outputs[0], found.slopes[0] @ way
        left = Interval((now.t[0], middle), (now.values[0], values), (now.slopes[0], slopes))
        right = Interval((middle, now.t[1]), (values, now.values[1]), (slopes, now.slopes[1]))
        now = left if left.missing(rounding)[output] >= right.missing(rounding)[output] else right
        seen.append(now)
        # Nothing is missing, or rounding would hide it.
        if now.missing(rounding)[output] <= _SEEN * rounding[output]:
            break
    return _verdict(seen, output, chord, rounding)


def _verdict(seen: list[Interval], output: int, chord: int, rounding: np.ndarray) -> Followed:
    lengths = np.array([interval.length for interval in seen])
    missing = np.stack([interval.missing(rounding) for interval in seen])
    rates = missing / lengths[:, None]
    # Of each output the last interval in which what its first one misses would still be seen above rounding.
    visible = rates[0] * lengths[:, None] > _SEEN * rounding
    last = np.maximum(np.sum(np.cumprod(visible, axis=0), axis=0) - 1, 0).astype(int)
    every = np.arange(len(last))
    # A jump stays as large as it is; a wrong rule misses as much for each unit of length. What grows for each unit, and yet
    # vanishes, is continuous: a square root beside 0.
    jumps = (last >= LEAST) & (missing[last, every] >= missing[np.maximum(last - LEAST, 0), every] / 2)
    with np.errstate(all="ignore"):
        growth = np.nan_to_num(rates[last, every] / rates[0])
    jumps &= growth >= 0.5
    certified = jumps | ((last >= LEAST) & (growth >= 0.5) & (growth <= 4))
    # From the highest rate that was seen on, a wrong rule would still miss so much in the end, and a jump more.
    expected = rates.max(0) * lengths[-1]
    vanished = (expected > 4 * rounding) & (missing[-1] < expected / 4)
    released = np.zeros(len(last), bool)
    # The halves were chosen for one output: of the others nothing may be missing here, and much elsewhere.
    released[output] = not certified[output] and (vanished[output] or last[output] >= LEAST)
    return Followed(certified, jumps, released, seen[-1], chord, missing[-1])
