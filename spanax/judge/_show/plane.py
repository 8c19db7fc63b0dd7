"""The bias-variance plane: where each candidate stands, and the lines of equal time to accuracy.

The mean of n gradients has the mean square error bias^2 + variance / n, and n = T / (seconds a gradient). Candidates on one line
variance x seconds = T (limit - bias^2), with the limit (accuracy |truth|)^2, therefore need the same time T.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .labels import Spot, duration, free_spot, leader_points, spread
from .scale import Scale, after_one_second, ends_of_bias, scale_of, squared_limit

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Shape and filling, so that no colour is needed.
MARKERS = {"no bias found": ("o", "black"), "undecided": ("D", "white"), "biased": ("s", "0.6")}
ISO = {"color": "0.5", "linewidth": 0.8, "linestyle": (0, (6, 3))}
LIMIT = {"color": "black", "linewidth": 1.2, "linestyle": ":"}
OWN_ERROR = "0.91"
WHISKER = {"color": "black", "linewidth": 1.0}
_GUIDE = {"color": "0.6", "linewidth": 0.5}
_BACKING = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
_NUMBER = {"fontsize": 9.5, "ha": "center", "va": "center", "zorder": 6, "bbox": _BACKING}


def draw_plane(ax: Axes, comparison: Any, rows: Sequence[Any]) -> None:
    """One marker for each candidate whose variance is finite, with its number; ranks count from 1."""
    standing = [(i, row) for i, row in enumerate(rows, 1) if math.isfinite(after_one_second(row))]
    limit = squared_limit(comparison)
    # The truth's own error squared: a bias below it cannot be told from that error.
    own = comparison.truth.standard_error**2
    x = scale_of([limit, 0.01 * limit, own, *(bias**2 for _, row in standing for bias in ends_of_bias(row))])
    y = scale_of([after_one_second(row) for _, row in standing])
    ax.set(xlim=x.ends, ylim=y.ends)
    _ticks(ax, x, y)
    if own:
        ax.axvspan(x.ends[0], x.at(own), facecolor=OWN_ERROR, edgecolor="none", zorder=0)
    _Plane(ax, x, y).draw(standing, limit, comparison.accuracy)


def _ticks(ax: Axes, x: Scale, y: Scale) -> None:
    for axis, scale, zero in ((ax.xaxis, x, "none\nfound"), (ax.yaxis, y, "0")):
        # Seven labels at the most, or they would run into each other.
        step = -(-(scale.high - scale.low) // 7)
        decades = range(scale.low, scale.high + 1, step)
        axis.set_ticks([scale.zero, *decades], [zero, *(f"$10^{{{k}}}$" for k in decades)], fontsize=8)
    ax.axvline(x.low, color="0.3", linewidth=0.8)
    ax.axhline(y.low, color="0.3", linewidth=0.8)
    ax.set_xlabel("squared bias", fontsize=9)
    ax.set_ylabel("variance after one second of gradients", fontsize=9)


class _Plane:
    """The axes and what on them is taken, in shares of the frame: texts and markers, and points on lines."""

    def __init__(self, ax: Axes, x: Scale, y: Scale):
        self.ax, self.x, self.y = ax, x, y
        self.taken: list[Spot] = []
        self.lines: list[Spot] = []

    def draw(self, standing: Sequence[tuple[int, Any]], limit: float, accuracy: float) -> None:
        if 0 < limit < math.inf:
            self._iso_lines(limit)
            self._limit(limit, accuracy)
        # All markers first: a number has to know of those that come after its own.
        rows = [row for _, row in standing]
        places = self._places(rows)
        for place, row in zip(places, rows, strict=True):
            self._mark(place, row)
        self.taken += [self._share(place) for place in places]
        # Both lines that set the strips of 0 apart are there for the numbers to avoid, too.
        self.lines += [self._share((self.x.low, height)) for height in np.linspace(*self.y.ends, 40)]
        self.lines += [self._share((along, self.y.low)) for along in np.linspace(*self.x.ends, 40)]
        for (number, _), place in zip(standing, places, strict=True):
            self._number(number, place)

    def _share(self, place: Spot) -> Spot:
        return (place[0] - self.x.ends[0]) / self.x.length, (place[1] - self.y.ends[0]) / self.y.length

    def _iso_lines(self, limit: float) -> None:
        """Where variance after one second = T (limit - bias^2), for T that are powers of 10 seconds."""
        x, y = self.x, self.y
        first, last = math.ceil(y.low - math.log10(limit)), math.floor(y.high - math.log10(limit))
        left, right = x.ends[0], min(math.log10(limit), x.high)
        # The line falls ever more steeply towards the limit: the points are dense there.
        along = np.concatenate([[left], right + np.log10(-np.expm1(-np.geomspace(1e-6, 12, 400)))[::-1]])
        along = np.unique(along[(along >= left) & (along < right)])
        room = np.where(along < x.low, limit, limit - 10.0**along)
        for k in range(first, last + 1, max(1, -(-(last - first) // 6))):
            self.ax.plot(along, np.log10(10.0**k * room), **ISO, zorder=1)
            height = k + math.log10(limit)
            if not 0.03 < self._share((left, height))[1] < 0.97:  # the frame would cut the text
                continue
            at = left + 0.008 * x.length
            text = {"fontsize": 7, "color": "0.25", "va": "center", "zorder": 2, "bbox": {**_BACKING, "pad": 0.6}}
            self.ax.text(at, height, duration(10.0**k), **text)
            self.taken += [self._share((at + share * x.length, height)) for share in (0.01, 0.04)]

    def _limit(self, limit: float, accuracy: float) -> None:
        """The bias that alone is as large as the error asked for; its name stands beside it where there is room."""
        at = math.log10(limit)
        self.ax.axvline(at, **LIMIT, zorder=1)
        share = self._share((at, 0.0))[0]
        self.lines += [(share, height) for height in np.linspace(0, 1, 40)]
        if 1 - share > 0.2:
            text = f"too biased for an\nerror of {100 * accuracy:g}%"
            self.ax.text(share + 0.012, 0.975, text, transform=self.ax.transAxes, fontsize=7, va="top", color="0.25")
            self.taken += [(share + along, 0.95) for along in (0.02, 0.06, 0.1, 0.14)]

    def _places(self, rows: Sequence[Any]) -> list[Spot]:
        """In the strip of "none found" the place along the axis means nothing: it keeps markers of one height apart."""
        x, y = self.x, self.y
        heights = [y.at(after_one_second(row)) for row in rows]
        inside = [i for i, row in enumerate(rows) if row.verdict != "biased"]
        offsets = dict(
            zip(inside, spread([heights[i] for i in inside], 0.042 * x.length, 0.04 * y.length), strict=True)
        )
        return [
            (x.zero + offsets[i] if i in offsets else x.at(row.bias.estimate**2), heights[i])
            for i, row in enumerate(rows)
        ]

    def _mark(self, place: Spot, row: Any) -> None:
        """The marker, and of the squared bias its 95% interval, or where no bias was found the upper limit as an arrow.

        A line all the way from the marker would run through whatever stands at this height, so it is a faint guide.
        """
        (px, py), x = place, self.x
        low, high = (x.at(bias**2) if bias > 0 else x.zero for bias in (row.bias.low, row.bias.high))
        if math.isfinite(high) and high > x.low:
            biased = row.verdict == "biased"
            start = low if biased else max(high - 0.045 * x.length, x.low)
            self.ax.plot([start, high], [py, py], **WHISKER, zorder=3)
            self.ax.plot([high], [py], marker="|", color="black", markersize=7, zorder=3)
            if not biased:
                self.ax.plot([px, start], [py, py], **_GUIDE, zorder=1)
            self.ax.plot([start], [py], marker="|" if biased else 8, color="black", markersize=7 - biased, zorder=3)
            self.lines += [self._share((along, py)) for along in np.linspace(min(px, start), high, 30)]
        marker, face = MARKERS[row.verdict]
        # The white rim parts the marker from the lines that pass below it.
        self.ax.plot([px], [py], marker=marker, color="white", markersize=10, zorder=4.5, gid="rim")
        self.ax.plot([px], [py], marker=marker, markerfacecolor=face, markeredgecolor="black", markersize=7, zorder=5)

    def _number(self, number: int, place: Spot) -> None:
        """The number where the least else is near, with a line to its marker."""
        spot = free_spot(self._share(place), self.taken, self.lines)
        at = (self.x.ends[0] + spot[0] * self.x.length, self.y.ends[0] + spot[1] * self.y.length)
        self.ax.plot([place[0], at[0]], [place[1], at[1]], color="0.3", linewidth=0.6, zorder=4)
        self.ax.text(*at, str(number), **_NUMBER)
        self.taken.append(spot)
        self.lines += [(float(a), float(b)) for a, b in leader_points(spot, self._share(place))]
