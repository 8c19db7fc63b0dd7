"""The bias-variance plane: where each candidate stands, and the lines of equal time to accuracy."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

# Shape and filling, so that no colour is needed.
MARKERS = {"no bias found": ("o", "black"), "undecided": ("D", "white"), "biased": ("s", "0.6")}
MEANING = {
    "no bias found": "no bias found: below its line's end",
    "undecided": "undecided: too few draws to tell",
    "biased": "biased",
}
_DECADES = 9  # of one axis at the most: what lies lower is drawn at the axis
_ISO = {"color": "0.45", "linewidth": 0.8, "linestyle": (0, (6, 3))}
_LIMIT = {"color": "black", "linewidth": 1.2, "linestyle": ":"}
_OWN_ERROR = "0.85"
_WHISKER = {"color": "black", "linewidth": 0.9}
_NUMBER = {"fontsize": 9, "ha": "center", "va": "center", "zorder": 6}


class Scale(NamedTuple):
    """A logarithmic axis from 10**low to 10**high with a place for 0 before it; positions are in decades."""

    low: int
    high: int

    @property
    def strip(self) -> float:
        """Width of the place for 0."""
        return 0.22 * (self.high - self.low)

    @property
    def zero(self) -> float:
        return self.low - 0.4 * self.strip

    def at(self, value: float) -> float:
        """The position of a number; of 0, and of all that is too small for the axis, that of 0."""
        return self.zero if value <= 10.0**self.low else math.log10(value)

    @property
    def ends(self) -> tuple[float, float]:
        return self.low - self.strip, float(self.high)


def scale_of(values: Iterable[float]) -> Scale:
    """The decades that hold the positive ones of these values."""
    logs = [math.log10(value) for value in values if 0 < value < math.inf]
    if not logs:
        return Scale(-3, 0)
    high = math.floor(max(logs) + 0.3) + 1
    return Scale(max(min(math.floor(min(logs) - 0.1), high - 2), high - _DECADES), high)


def squared_limit(comparison: Any) -> float:
    """The square of the error that is asked for: (accuracy |truth|)^2."""
    return (comparison.accuracy * comparison.truth.norm) ** 2


def after_one_second(row: Any) -> float:
    """The variance of the mean of as many gradients as one second has."""
    return row.variance * row.microseconds * 1e-6


def draw_plane(ax: Axes, comparison: Any, rows: Sequence[Any]) -> None:
    """One marker for each candidate whose variance is finite, with its number; ranks count from 1."""
    standing = [(i, row) for i, row in enumerate(rows, 1) if math.isfinite(after_one_second(row))]
    limit = squared_limit(comparison)
    own = comparison.truth.standard_error**2
    x = scale_of([limit, 0.01 * limit, own, *(bias**2 for _, row in standing for bias in _ends_of_bias(row))])
    y = scale_of([after_one_second(row) for _, row in standing])
    ax.set(xlim=x.ends, ylim=y.ends)
    _ticks(ax, x, y)
    if own:
        ax.axvspan(x.ends[0], x.at(own), facecolor=_OWN_ERROR, edgecolor="none", zorder=0)
    labels = _iso_lines(ax, x, y, limit, comparison.accuracy)
    places = [_marked(ax, x, y, row) for _, row in standing]
    taken = [*places, *labels]
    for (number, _), place in zip(standing, places, strict=True):
        taken.append(_numbered(ax, x, y, number, place, taken))


def _ends_of_bias(row: Any) -> list[float]:
    ends = [row.bias.high, row.bias.estimate, row.bias.low]
    return [end for end in (ends if row.verdict == "biased" else ends[:1]) if math.isfinite(end)]


def _ticks(ax: Axes, x: Scale, y: Scale) -> None:
    for axis, scale, zero in ((ax.xaxis, x, "none\nfound"), (ax.yaxis, y, "0")):
        step = -(-(scale.high - scale.low) // 7)
        decades = range(scale.low, scale.high + 1, step)
        axis.set_ticks([scale.zero, *decades], [zero, *(f"$10^{{{k}}}$" for k in decades)], fontsize=8)
    ax.axvline(x.low, color="0.3", linewidth=0.8)
    ax.axhline(y.low, color="0.3", linewidth=0.8)
    ax.set_xlabel("squared bias", fontsize=9)
    ax.set_ylabel("variance after one second of gradients", fontsize=9)


def _iso_lines(ax: Axes, x: Scale, y: Scale, limit: float, accuracy: float) -> list[tuple[float, float]]:
    """Where variance after one second = T (limit - bias^2), for T that are powers of 10 seconds; where it wrote them."""
    if not 0 < limit < math.inf:
        return []
    first, last = math.ceil(y.low - math.log10(limit)), math.floor(y.high - math.log10(limit))
    left, right = x.ends[0], min(math.log10(limit), x.high)
    along = np.concatenate([[left], right + np.log10(-np.expm1(-np.geomspace(1e-6, 12, 400)))[::-1]])
    along = np.unique(along[(along >= left) & (along < right)])
    room = np.where(along < x.low, limit, limit - 10.0**along)
    written = []
    for k in range(first, last + 1, max(1, -(-(last - first) // 6))):
        ax.plot(along, np.log10(10.0**k * room), **_ISO, zorder=1)
        height = k + math.log10(limit)
        ax.text(left, height, f" {duration(10.0**k)}", fontsize=7, color="0.25", va="bottom", zorder=2)
        written.append((left + 0.04 * (x.high - left), height + 0.02 * (y.high - y.ends[0])))
    ax.axvline(math.log10(limit), **_LIMIT, zorder=1)
    told = f"bias alone exceeds {100 * accuracy:g}% of |truth|"
    room_right = x.high - math.log10(limit) > 0.08 * (x.high - x.low)
    ax.text(
        math.log10(limit) + (0.01 if room_right else -0.01) * (x.high - left),
        y.high - 0.02 * (y.high - y.low),
        told,
        fontsize=7,
        rotation=90,
        va="top",
        ha="left" if room_right else "right",
    )
    return written


def _marked(ax: Axes, x: Scale, y: Scale, row: Any) -> tuple[float, float]:
    """Draws the marker and the 95% interval of the squared bias; returns the place, in decades."""
    found = row.verdict == "biased"
    px, py = x.at(row.bias.estimate**2) if found else x.zero, y.at(after_one_second(row))
    marker, face = MARKERS[row.verdict]
    low, high = (x.at(bias**2) if bias > 0 else x.zero for bias in (row.bias.low, row.bias.high))
    if math.isfinite(high) and high > px:
        ax.plot([low if found else px, high], [py, py], **_WHISKER, zorder=3)
        ax.plot([high], [py], marker="|", color="black", markersize=7, zorder=3)
    ax.plot([px], [py], marker=marker, markerfacecolor=face, markeredgecolor="black", markersize=7, zorder=5)
    return px, py


def _numbered(
    ax: Axes, x: Scale, y: Scale, number: int, place: tuple[float, float], taken: Sequence[tuple[float, float]]
) -> tuple[float, float]:
    """Writes the number where the least else is near, with a line to its marker; returns where."""
    (px, py), wide, tall = place, x.ends[1] - x.ends[0], y.ends[1] - y.ends[0]

    def crowding(spot: tuple[float, float]) -> float:
        sx, sy = spot
        outside = not (x.ends[0] < sx - 0.02 * wide and sx + 0.02 * wide < x.ends[1] and y.ends[0] < sy - 0.02 * tall)
        near = [math.hypot((sx - tx) / wide, (sy - ty) / tall) for tx, ty in [*taken, (x.low, sy), (sx, y.low)]]
        return sum(max(0.0, 0.05 - distance) for distance in near) + 10 * (outside or sy + 0.02 * tall > y.ends[1])

    spots = [
        (px + radius * wide * math.cos(angle), py + radius * tall * math.sin(angle))
        for radius in (0.045, 0.08, 0.12, 0.17)
        for angle in np.linspace(0.4, 0.4 + 2 * math.pi, 12, endpoint=False)
    ]
    best = min(spots, key=crowding)
    ax.plot([px, best[0]], [py, best[1]], color="0.3", linewidth=0.5, zorder=4)
    backing = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
    ax.text(*best, str(number), **_NUMBER, bbox=backing)
    return best


def key_of_plane(ax: Axes, comparison: Any, rows: Sequence[Any]) -> None:
    """What the markers, the lines and the numbers mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    ax.set_axis_off()
    handles: list[Artist] = [
        Line2D(
            [], [], linestyle="", marker=marker, markerfacecolor=face, markeredgecolor="black", label=MEANING[verdict]
        )
        for verdict, (marker, face) in MARKERS.items()
        if any(row.verdict == verdict for row in rows)
    ]
    handles.append(Line2D([], [], **_WHISKER, marker="|", label="95% interval of the squared bias"))
    if comparison.truth.standard_error:
        handles.append(
            Patch(facecolor=_OWN_ERROR, edgecolor="none", label="below the truth's own standard error, squared")
        )
    goal = f"error of {100 * comparison.accuracy:g}% of |truth|"
    if 0 < squared_limit(comparison) < math.inf:
        handles.append(Line2D([], [], **_ISO, label=f"equal time to an {goal}"))
        handles.append(Line2D([], [], **_LIMIT, label=f"a bias as large as an {goal}"))
    for number, row in enumerate(rows, 1):
        lost = "" if math.isfinite(after_one_second(row)) else " (not finite: not drawn)"
        text = textwrap.fill(plain(row.label) + lost, 40, max_lines=3, placeholder=" …")
        handles.append(Line2D([], [], linestyle="", marker=f"${number}$", color="black", markersize=7, label=text))
    ax.legend(
        handles=handles,
        title="Numbers: the rank by time to accuracy",
        title_fontsize=7.5,
        alignment="left",
        loc="upper left",
        fontsize=7.5,
        frameon=False,
        handlelength=3,
        borderaxespad=0,
    )


def plain(text: str) -> str:
    """For matplotlib, which takes what is between two dollars for mathematics."""
    return text.replace("$", r"\$")


def duration(seconds: float) -> str:
    """A power of 10 seconds in words: "10 ms"."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= 0.999 * size:
            return f"{seconds / size:.4g} {unit}"
    return f"{seconds / 1e-9:.4g} ns"
