"""The charts of the HTML page as inline SVG: times, biases and histograms, each as wide as a small telephone.

All text is 11 pixels high at that width, so that it can be read there; nothing is told by colour, so that it can be printed.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from .._numbers import duration, number, verdict_in_words
from ..rows import Row
from .histograms import BINS, shown_range
from .labels import shorten

WIDTH = 340
_LEFT, _RIGHT = 8, 332
_LINE = 36  # from one candidate to the next
_AXIS = 40  # below the last one
_RATIO = 100  # of the longest to the shortest time: bars of more would leave the shortest without a length


def time_chart(rows: Sequence[Row], accuracy: float) -> str:
    """A bar for each, as long as the time; where the times are too different for that, a dot on a logarithmic axis."""
    # Never, and 0, have no place on an axis: their text says it.
    finite = [row.time_to_accuracy for row in rows if 0 < row.time_to_accuracy < math.inf]
    low, high = min(finite, default=1.0), max(finite, default=1.0)
    # A bar on a logarithmic axis has no honest length, so that a dot stands there.
    logarithmic = high > _RATIO * low
    if logarithmic:
        decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        step = -(-len(decades) // 6)
        marks = {float(k): duration(10.0**k) for k in decades[::step]}
        place = _linear(decades[0], decades[-1])
    else:
        at = ticks(0.0, high)
        marks = {x: duration(x) if x else "0" for x in at}
        place = _linear(0.0, max(high, at[-1]))

    def one(row: Row, y: float) -> str:
        time = row.time_to_accuracy
        if not 0 < time < math.inf:
            return ""
        if logarithmic:
            return f'<circle cx="{place(math.log10(time)):.1f}" cy="{y:g}" r="4.5"/>'
        return f'<rect x="{_LEFT}" y="{y - 5:g}" width="{place(time) - _LEFT:.1f}" height="10" fill="#555"/>'

    texts = [f"{row.label}: {duration(row.time_to_accuracy)}" for row in rows]
    title = f"time to an error of {100 * accuracy:.3g}%" + (", logarithmic" if logarithmic else "")
    return _chart(texts, [one(row, _LINE * i + 23) for i, row in enumerate(rows)], place, marks, title)


def bias_chart(rows: Sequence[Row], size: float, error: float, accuracy: float) -> str:
    """A dot and its 95% interval where there is a bias, else an arrow from the upper end; the truth's own error is a band."""
    unit = size or 1.0
    at = ticks(0.0, _end_of_biases(rows, unit, error, accuracy))
    end = at[-1]
    place = _linear(0.0, end)
    behind = ""
    if error:
        behind += _band(_LEFT, place(min(error / unit, end)), len(rows), "#ccc")
    if size and accuracy < end:
        behind += _upright(place(accuracy), len(rows), "2 3")

    def one(row: Row, y: float) -> str:
        if not math.isfinite(row.bias.high):
            return ""
        low, middle, high = (place(min(x / unit, end)) for x in (row.bias.low, row.bias.estimate, row.bias.high))
        # An open arrowhead: the interval ends outside of the axis.
        beyond = row.bias.high / unit > end
        cap = f"M{high - 5:.1f} {y - 4:g}l5 4l-5 4" if beyond else f"M{high:.1f} {y - 4:g}v8"
        if row.verdict == "biased":
            dot = f'<circle cx="{middle:.1f}" cy="{y:g}" r="4"/>'
            return f'<path d="M{low:.1f} {y:g}H{high:.1f}{cap}M{low:.1f} {y - 4:g}v8" stroke="#000" fill="none"/>{dot}'
        # An arrow rather than a line from 0: no estimate is claimed in between.
        start = max(high - 18, _LEFT)
        arrow = f"M{start + 5:.1f} {y - 4:g}l-5 4l5 4"
        return f'<path d="M{start:.1f} {y:g}H{high:.1f}{cap}{arrow}" stroke="#000" fill="none"/>'

    texts = [f"{row.label}: {verdict_in_words(row.bias, row.verdict, size)}" for row in rows]
    # In per cent of the true gradient, which means the same for every program.
    marks = {x: f"{100 * x:,.3g}%" if size else number(x) for x in at}
    title = "bias, of |truth|" if size else "bias (the truth is 0)"
    return _chart(texts, [one(row, _LINE * i + 25) for i, row in enumerate(rows)], place, marks, title, behind)


def _end_of_biases(rows: Sequence[Row], unit: float, error: float, accuracy: float) -> float:
    """Of the axis: all that is biased, and what accuracy asks for; one undecided candidate does not flatten the others."""
    ends = [row.bias.high / unit for row in rows if math.isfinite(row.bias.high)]
    biased = [row.bias.high / unit for row in rows if row.verdict == "biased" and math.isfinite(row.bias.high)]
    middle = 2 * float(np.median(ends)) if ends else 0.0
    return min(max(ends, default=1.0), max([*biased, middle, 1.5 * accuracy, 2 * error / unit])) or 1.0


def histogram_charts(histograms: Mapping[str, Any], labels: Sequence[str]) -> list[str]:
    """One chart for each coordinate: below each candidate's name its draws, with the truth and their mean."""
    draws = {label: np.asarray(histograms["draws"][label], np.float64) for label in labels}
    errors = np.asarray(histograms["standard_errors"], np.float64)
    charts = []
    for j, name in enumerate(histograms["coordinates"]):
        columns = {label: x[:, j] for label, x in draws.items()}
        truth = float(histograms["truth"][j])
        charts.append(_histograms(name, columns, truth, 1.96 * float(errors[j])))
    return charts


def _histograms(name: str, columns: Mapping[str, np.ndarray], truth: float, error: float) -> str:
    low, high = shown_range(list(columns.values()), truth)
    place = _linear(low, high)
    behind = ""
    if error:
        left, right = (place(max(low, min(high, x))) for x in (truth - error, truth + error))
        behind = _band(left, right, len(columns), "#bbb")
    behind += _upright(place(truth), len(columns), "5 3")

    def one(x: np.ndarray, y: float) -> str:
        # NaN would be counted nowhere, silently: the text says how many there are.
        finite = x[np.isfinite(x)]
        counts, edges = np.histogram(finite, BINS, (low, high))
        # Each histogram fills its row: shapes are compared, not counts.
        tall = 17 / max(1, int(counts.max()))
        steps = "".join(f"H{place(b):.1f}V{y - tall * n:.1f}" for n, b in zip(counts, edges, strict=False))
        outline = f"M{_LEFT} {y:g}{steps}H{_RIGHT}V{y:g}z"
        shape = f'<path d="{outline}" fill="#888" fill-opacity=".45" stroke="#000" stroke-width=".7"/>'
        if not finite.size or not low <= float(finite.mean()) <= high:
            return shape
        return f'{shape}<path d="M{place(float(finite.mean())):.1f} {y - 3:g}l4 7h-8z"/>'

    marks = {x: f"{x:,.6g}" for x in ticks(low, high) if low <= x <= high}
    texts = [f"{label}{_left_out(x, low, high)}" for label, x in columns.items()]
    drawn = [one(x, _LINE * i + 34) for i, x in enumerate(columns.values())]
    return _chart(texts, drawn, place, marks, shorten(name, 48), behind)


def _left_out(x: np.ndarray, low: float, high: float) -> str:
    outside = np.isfinite(x) & ((x < low) | (x > high))
    shares = {"outside": float(np.mean(outside)), "not finite": float(np.mean(~np.isfinite(x)))}
    return "".join(f" ({max(1.0, 100 * part):.0f}% {what})" for what, part in shares.items() if part > 0.005)


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover low to high: steps of 1, 2 or 5 times a power of 10."""
    # As few digits as the range needs, for the width of a telephone.
    rough = (high - low) / most or 1.0
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(k * power for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))
    return [float(f"{step * k:.12g}") for k in range(math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9) + 1)]


def _band(left: float, right: float, rows: int, fill: str) -> str:
    """Behind the mark of each row, and not behind its text."""
    boxes = "".join(f"M{left:.1f} {_LINE * i + 17}H{right:.1f}v19H{left:.1f}z" for i in range(rows))
    return f'<path d="{boxes}" fill="{fill}"/>'


def _upright(x: float, rows: int, dashes: str) -> str:
    """A vertical line in each row, and not through its text."""
    pieces = "".join(f"M{x:.1f} {_LINE * i + 17}v19" for i in range(rows))
    return f'<path d="{pieces}" stroke="#000" stroke-dasharray="{dashes}"/>'


def _linear(low: float, high: float) -> Callable[[float], float]:
    scale = (_RIGHT - _LEFT) / ((high - low) or 1.0)
    return lambda x: _LEFT + scale * (x - low)


def _chart(
    texts: Sequence[str],
    drawn: Sequence[str],
    place: Callable[[float], float],
    marks: Mapping[float, str],
    title: str,
    behind: str = "",
) -> str:
    """A line of text above each mark, and below all of them the axis with its ticks."""
    bottom = _LINE * len(texts) + 4
    lines = "".join(
        f'<text x="{_LEFT}" y="{_LINE * i + 13}">{html.escape(shorten(text, 54))}</text>{mark}'
        for i, (text, mark) in enumerate(zip(texts, drawn, strict=True))
    )
    axis = f'<path d="M{_LEFT} {bottom}H{_RIGHT}" stroke="#000"/>' + "".join(
        f'<path d="M{place(x):.1f} {bottom}v4" stroke="#000"/>'
        f'<text x="{place(x):.1f}" y="{bottom + 15}" text-anchor="{_anchor(place(x))}">{html.escape(text)}</text>'
        for x, text in marks.items()
    )
    name = f'<text x="{_RIGHT}" y="{bottom + 31}" text-anchor="end" font-style="italic">{html.escape(title)}</text>'
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + _AXIS}" role="img" aria-label="{html.escape(title)}" '
        f'font-family="system-ui, sans-serif" font-size="11">{behind}{lines}{axis}{name}</svg>'
    )


def _anchor(x: float) -> str:
    """Texts at the ends stay inside the picture."""
    return "start" if x < _LEFT + 12 else "end" if x > _RIGHT - 12 else "middle"
