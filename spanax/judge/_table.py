"""A comparison as text of at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ._json import norm
from ._numbers import bias, duration, number
from .rows import Row, Truth

WIDTH = 100


def table(rows: Sequence[Row], truth: Truth, draws: int, accuracy: float, notes: Sequence[tuple[str, str]]) -> str:
    lines = _wrapped(heading(truth, draws), "")
    lines += ["", *_columns(rows, truth, accuracy), ""]
    for what, text in notes:
        lines += [f"{what}: {text}"] if what == "code" and len(text) <= WIDTH - 6 else _wrapped(f"{what}: {text}", "  ")
    return "\n".join(lines)


def heading(truth: Truth, draws: int) -> str:
    error = f" +- {number(truth.standard_error)}" if truth.standard_error else ""
    return f"{draws:,} draws each. Truth, of norm {number(norm(truth))}{error}: {truth.how}."


def head(accuracy: float) -> list[str]:
    return ["bias/|truth|", "variance", "snr", "cosine", "a gradient", "runs", f"to {100 * accuracy:.3g}%", "verdict"]


def cells(row: Row, size: float) -> list[str]:
    return [
        bias(row, size),
        number(row.variance),
        number(row.snr),
        f"{row.cosine:.2f}" if row.cosine == row.cosine else "-",
        duration(1e-6 * row.microseconds),
        "-" if row.evaluations is None else number(row.evaluations),
        duration(row.time_to_accuracy),
        row.verdict,
    ]


def _columns(rows: Sequence[Row], truth: Truth, accuracy: float) -> list[str]:
    size = norm(truth)
    body = [head(accuracy), *(cells(row, size) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    room = min(max(len(row.label) for row in rows), WIDTH - sum(widths) - 2 * len(widths))
    labels = [abridged(row.label, max(room, 1)) for row in rows]
    if len(set(labels)) < len(rows):  # abridged, they are no longer apart: each on a line of its own
        figures = _lined(["", *[" "] * len(rows)], body, widths, 1)
        named = [
            line for row, of_row in zip(rows, figures[1:], strict=True) for line in (*_wrapped(row.label, "  "), of_row)
        ]
        return [figures[0], *named]
    return _lined(["", *labels], body, widths, room)


def _lined(labels: Sequence[str], body: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> list[str]:
    return [
        "  ".join([label.ljust(room), *(c.rjust(w) for c, w in zip(line, widths, strict=True))]).rstrip()
        for label, line in zip(labels, body, strict=True)
    ]


def abridged(label: str, room: int) -> str:
    """The middle left out: the beginning names the draw, and the end the settings."""
    if len(label) <= room:
        return label
    end = (room - 1) // 2
    return label[: room - 1 - end] + "…" + label[len(label) - end :]


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, subsequent_indent=indent, break_on_hyphens=False) or [""]
