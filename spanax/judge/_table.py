"""A comparison as text of a given width."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from ._group_lines import group_lines
from ._numbers import duration, judged, number, share
from .rows import Row, Truth

NARROWEST = 80
_ROOM = 12  # columns for a label, below which it has a line of its own


def table(
    rows: Sequence[Row], truth: Truth, draws: int, accuracy: float, notes: Sequence[tuple[str, str]], width: int
) -> str:
    width = max(width, NARROWEST)
    lines = _wrapped(heading(truth, draws), "", width)
    lines += ["", *_columns(rows, truth, accuracy, width), ""]
    for what, text in notes:
        whole = what == "code" and len(text) <= width - 6
        lines += [f"{what}: {text}"] if whole else _wrapped(f"{what}: {text}", "  ", width)
    return "\n".join(lines)


def heading(truth: Truth, draws: int) -> str:
    return f"{draws:,} draws each. Truth, of norm {number(truth.norm)}{own_error(truth)}: {truth.how}."


def own_error(truth: Truth) -> str:
    if not truth.standard_error:
        return ""
    of = f" ({share(truth.standard_error, truth.norm)})" if truth.norm else ""
    return f" and with a standard error of its own of {number(truth.standard_error)}{of}"


def head(accuracy: float) -> list[str]:
    return ["variance", "snr", "cosine", "a gradient", "runs", f"to {100 * accuracy:.3g}%", "bias, of |truth|"]


def cells(row: Row, norm: float) -> list[str]:
    return [
        number(row.variance),
        number(row.snr),
        f"{row.cosine:.2f}" if row.cosine == row.cosine else "-",
        duration(1e-6 * row.microseconds),
        "-" if row.evaluations is None else number(row.evaluations),
        duration(row.time_to_accuracy),
        judged(row.bias, row.verdict, norm),
    ]


def _columns(rows: Sequence[Row], truth: Truth, accuracy: float, width: int) -> list[str]:
    names, body = [""], [head(accuracy)]
    for row in rows:
        names.append(row.label)
        body.append(cells(row, truth.norm))
        for name, told in group_lines(row):
            names.append(f"  {name}")
            body.append([*[""] * (len(body[0]) - 1), told])
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    room = min(max(len(row.label) for row in rows), width - sum(widths) - 2 * len(widths))
    labels = [name if name.startswith("  ") else abridged(name, max(room, 1)) for name in names]
    of_rows = {label for name, label in zip(names, labels, strict=True) if label and not name.startswith("  ")}
    if len(of_rows) == len(rows) and (room >= _ROOM or of_rows == {row.label for row in rows}):
        return _lined(labels, body, widths, room)
    figures = _lined([""] * len(names), body, widths, 0)
    return [figures[0], *(line for k in range(1, len(names)) for line in _apart(names[k], body[k], figures[k], width))]


def _apart(name: str, cells: Sequence[str], figures: str, width: int) -> list[str]:
    """A label on a line of its own; that of a group with its verdict."""
    if name.startswith("  "):
        return _wrapped(f"  {name}: {cells[-1]}", "      ", width)
    return [*_wrapped(name, "  ", width), figures]


def _lined(labels: Sequence[str], body: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> list[str]:
    """Figures to the right, verdicts to the left."""
    lines, before = [], room + sum(widths[:-1]) + 2 * len(widths[:-1])
    for label, line in zip(labels, body, strict=True):
        cells = [c.rjust(w) for c, w in zip(line[:-1], widths, strict=False)]
        figures = "  ".join([label.ljust(room), *cells]) if any(line[:-1]) else abridged(label, before).ljust(before)
        lines.append(f"{figures}  {line[-1]}".rstrip())
    return lines


def abridged(label: str, room: int) -> str:
    """The middle left out: the beginning names the draw, and the end the settings."""
    if len(label) <= room:
        return label
    end = (room - 1) // 2
    return label[: room - 1 - end] + "…" + label[len(label) - end :]


def _wrapped(text: str, indent: str, width: int) -> list[str]:
    first = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(), width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False
    ) or [""]
