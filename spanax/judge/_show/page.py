"""A comparison as one page of HTML: no script, no network, no other file; for narrow screens and for printing in black."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

from .._numbers import compare_candidates, duration
from ..rows import Row, Truth
from .group_lines import group_lines
from .table import cells, head, heading, own_error

_WIDTH, _LEFT, _LINE = 340, 6, 34  # of a chart, in pixels: it is as wide as a small telephone
_STYLE = """
body { font: 16px/1.45 system-ui, sans-serif; color: #000; background: #fff; margin: 1rem auto; padding: 0 .6rem;
  max-width: 62rem; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.05rem; }
code { background: #eee; padding: .1rem .3rem; overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid #999; }
th:first-child, td:first-child { text-align: left; overflow-wrap: anywhere; }
.group td:first-child { padding-left: 1.5rem; }
svg { width: 100%; max-width: 42rem; height: auto; }
@media (max-width: 50rem) {
  thead { display: none; } tr { display: block; border-bottom: 2px solid #000; padding: .4rem 0; }
  td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem .2rem; text-align: right; }
  td::before { content: attr(data-name); } tr:not(.group) td:first-child { display: block; font-weight: bold; }
  tr.group { border: 0; padding: 0; display: flex; justify-content: space-between; gap: 1rem; }
  td:first-child::before { content: none; }
}
"""


def page(rows: Sequence[Row], truth: Truth, draws: int, accuracy: float, notes: Sequence[tuple[str, str]]) -> str:
    size = truth.norm
    band = (
        f"; grey: the truth's own standard error, {own_error(truth).rpartition(' of ')[2]}"
        if truth.standard_error
        else ""
    )
    body = [
        "<h1>Bridges compared</h1>",
        f"<p>{html.escape(heading(truth, draws))}</p>",
        *(_note(what, text) for what, text in notes),
        _table(rows, size, accuracy),
        f"<h2>Time to an error of {100 * accuracy:.3g}%</h2>",
        _times(rows),
        f"<h2>Bias, with its 95% interval, in units of the true gradient's norm{band}</h2>",
        _biases(rows, size, truth.standard_error),
    ]
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{meta}<title>Bridges compared</title><style>{_STYLE}</style></head>\n'
        + "<body>\n"
        + "\n".join(body)
        + "\n</body></html>\n"
    )


def _note(what: str, text: str) -> str:
    said = f"<code>{html.escape(text)}</code>" if what == "code" else html.escape(text)
    return f"<p><b>{what}</b>: {said}</p>"


def _table(rows: Sequence[Row], size: float, accuracy: float) -> str:
    names = ["candidate", *head(accuracy)]
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "".join(_row(names, [row.label, *cells(row, size)]) + _groups(row, len(names)) for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _row(names: Sequence[str], cells: Sequence[str]) -> str:
    both = [(html.escape(name), html.escape(cell)) for name, cell in zip(names, cells, strict=True)]
    inside = "".join(f'<td data-name="{name}">{cell}</td>' for name, cell in both)
    return f"<tr>{inside}</tr>"


def _groups(row: Row, columns: int) -> str:
    return "".join(
        f'<tr class="group"><td colspan="{columns - 1}">{html.escape(name)}</td><td data-name="">{html.escape(told)}</td></tr>'
        for name, told in group_lines(row)
    )


def _times(rows: Sequence[Row]) -> str:
    """A bar for each, on a logarithmic scale: ten times the time adds the same length everywhere."""
    finite = [row.time_to_accuracy for row in rows if 0 < row.time_to_accuracy < math.inf]
    low = math.floor(math.log10(min(finite, default=1.0))) - 0.2
    high = math.log10(max(finite, default=1.0))

    def one(row: Row, y: float) -> str:
        if not 0 < row.time_to_accuracy < math.inf:
            return ""
        share_of_width = (math.log10(row.time_to_accuracy) - low) / max(high - low, 1e-9)
        return (
            f'<rect x="{_LEFT}" y="{y:g}" width="{share_of_width * (_WIDTH - 2 * _LEFT):.1f}" height="9" fill="#555"/>'
        )

    said = [f"{row.label}: {duration(row.time_to_accuracy)}" for row in rows]
    return _chart(said, (one(row, _LINE * i + 20) for i, row in enumerate(rows)))


def _biases(rows: Sequence[Row], size: float, error: float) -> str:
    """A dot and a line for each; an open dot where no bias was found. Behind them a band as wide as the truth's own error."""
    ends = [row.bias.high for row in rows if math.isfinite(row.bias.high)]
    scale = (_WIDTH - 2 * _LEFT - 6) / (max([*ends, error]) or 1.0)
    height = _LINE * len(rows)
    band = f'<rect x="{_LEFT + 4}" y="0" width="{scale * error:.1f}" height="{height}" fill="#ccc"/>' if error else ""

    def one(row: Row, y: float) -> str:
        if not math.isfinite(row.bias.high):
            return ""
        low, middle, high = (_LEFT + 4 + scale * x for x in (row.bias.low, row.bias.estimate, row.bias.high))
        fill = "#000" if row.verdict == "biased" else "#fff"
        return (
            f'<path d="M{low:.1f} {y:g}H{high:.1f}M{high:.1f} {y - 4:g}v8M{low:.1f} {y - 4:g}v8" stroke="#000" fill="none"/>'
            f'<circle cx="{middle:.1f}" cy="{y:g}" r="4" fill="{fill}" stroke="#000"/>'
        )

    said = [f"{row.label}: {compare_candidates(row.bias, row.verdict, size)}" for row in rows]
    return _chart(said, (one(row, _LINE * i + 25) for i, row in enumerate(rows)), band)


def _chart(said: Sequence[str], marks: Iterable[str], behind: str = "") -> str:
    """A line of text above each mark."""
    lines = "".join(
        f'<text x="{_LEFT}" y="{_LINE * i + 14}" font-size="11">{html.escape(_fitted(text))}</text>{mark}'
        for i, (text, mark) in enumerate(zip(said, marks, strict=True))
    )
    height = _LINE * len(said) + 4
    return f'<svg viewBox="0 0 {_WIDTH} {height}" role="img" font-family="system-ui, sans-serif">{behind}{lines}</svg>'


def _fitted(text: str, room: int = 58) -> str:
    end = (room - 1) // 2
    return text if len(text) <= room else text[: room - 1 - end] + "…" + text[len(text) - end :]
