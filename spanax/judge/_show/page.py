"""A comparison as one page of HTML: no script, no network, no other file; for narrow screens and for printing in black.

The same fragment is what a notebook shows: its style holds inside its own element only.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from ..rows import Row, Truth
from .charts import bias_chart, histogram_charts, time_chart
from .group_lines import group_lines
from .table import cells, head, own_error, title_line

SHOWN = 12  # candidates whose draws are shown, from the best one on
_STYLE = """
.spanax { font: 16px/1.45 system-ui, sans-serif; color: #000; background: #fff; margin: 1rem auto; padding: 0 .6rem;
  max-width: 66rem; }
.spanax h1 { font-size: 1.3rem; } .spanax h2 { font-size: 1.05rem; margin: 1.2rem 0 .2rem; }
.spanax code { background: #eee; padding: .1rem .3rem; overflow-wrap: anywhere; color: #000; }
.spanax table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; color: #000; }
.spanax th, .spanax td { padding: .3rem .5rem; text-align: right; border-bottom: 1px solid #999; }
.spanax th:first-child, .spanax td:first-child { text-align: left; overflow-wrap: anywhere; }
.spanax .group td:first-child { padding-left: 1.5rem; }
.spanax .charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(20rem, 100%), 1fr)); gap: .6rem 1.4rem; }
.spanax svg { width: 100%; max-width: 30rem; height: auto; display: block; }
.spanax figure { margin: 0; break-inside: avoid; } .spanax tr { break-inside: avoid; }
.spanax .key { font-size: .85rem; margin: .1rem 0 .5rem; }
@media screen and (max-width: 50rem) {
  .spanax thead { display: none; }
  .spanax tr { display: block; border-bottom: 2px solid #000; padding: .4rem 0; }
  .spanax td { display: flex; justify-content: space-between; gap: 1rem; border: 0; padding: .1rem .2rem; text-align: right; }
  .spanax td::before { content: attr(data-name); }
  .spanax tr:not(.group) td:first-child { display: block; font-weight: bold; }
  .spanax tr.group { border: 0; padding: 0; display: flex; justify-content: space-between; gap: 1rem; }
  .spanax td:first-child::before { content: none; }
}
.spanax h2, .spanax .key { break-after: avoid; }
@media print {
  .spanax { font-size: 11pt; max-width: none; -webkit-print-color-adjust: exact; print-color-adjust: exact; }
  .spanax table { font-size: 8.5pt; } .spanax td:not(:first-child) { white-space: nowrap; }
}
"""


def page(content: str) -> str:
    """The whole page around a `fragment`."""
    # Without the viewport a telephone would show the page at the width of a desk.
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{meta}<title>Bridges compared</title></head>\n'
        f'<body style="margin: 0">\n{content}\n</body></html>\n'
    )


def fragment(
    rows: Sequence[Row],
    truth: Truth,
    draws: int,
    accuracy: float,
    notes: Sequence[tuple[str, str]],
    histograms: Mapping[str, Any],
) -> str:
    """The comparison as one element, with its style."""
    size = truth.norm
    body = [
        "<h1>Bridges compared</h1>",
        f"<p>{html.escape(title_line(truth, draws))}</p>",
        *(_note(what, text) for what, text in notes),
        _table(rows, size, accuracy),
        f"<h2>Time to an error of {100 * accuracy:.3g}%, and bias</h2>",
        f'<p class="key">{html.escape(_key_of_bias(truth, accuracy))}</p>',
        _charts([time_chart(rows, accuracy), bias_chart(rows, size, truth.standard_error, accuracy)]),
        *_histograms(rows, histograms),
    ]
    return f'<div class="spanax"><style>{_STYLE}</style>\n' + "\n".join(body) + "\n</div>"


def _key_of_bias(truth: Truth, accuracy: float) -> str:
    parts = ["Dot and line: the bias and its 95% interval", "arrow: no bias found, the interval's upper end"]
    if truth.norm:
        parts.append(f"dotted: an error of {100 * accuracy:.3g}%")
    if truth.standard_error:
        parts.append(f"grey: the truth's own standard error, {own_error(truth).rpartition(' of ')[2]}")
    return "; ".join(parts) + "."


def _histograms(rows: Sequence[Row], histograms: Mapping[str, Any]) -> list[str]:
    # A candidate may have been left out of the pictures, such as one read back from JSON.
    labels = [row.label for row in rows if row.label in histograms.get("draws", ())][:SHOWN]
    if not labels or not len(histograms["coordinates"]):
        return []
    grey = ", grey: its 95% interval" if any(histograms["standard_errors"]) else ""
    few = f" of the {SHOWN} best" if len(rows) > SHOWN else ""
    return [
        f"<h2>Single gradients{few}, by element</h2>",
        f'<p class="key">Dashed: the truth{grey}; triangle: the mean of these draws.</p>',
        _charts(histogram_charts(histograms, labels)),
    ]


def _charts(charts: Sequence[str]) -> str:
    return f'<div class="charts">{"".join(f"<figure>{chart}</figure>" for chart in charts)}</div>'


def _note(what: str, text: str) -> str:
    shown = f"<code>{html.escape(text)}</code>" if what == "code" else html.escape(text)
    return f"<p><b>{what}</b>: {shown}</p>"


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
        f'<tr class="group"><td colspan="{columns - 1}">{html.escape(name)}</td>'
        f'<td data-name="">{html.escape(verdict)}</td></tr>'
        for name, verdict in group_lines(row)
    )
