"""A comparison as text of a given width."""

from __future__ import annotations

from collections.abc import Sequence

from ..._layout import filled, longest_part, together
from .._numbers import duration, number, share, verdict_in_words
from ..rows import Row, Truth
from .group_lines import group_lines


def table(
    rows: Sequence[Row], truth: Truth, draws: int, accuracy: float, notes: Sequence[tuple[str, str]], width: int
) -> str:
    lines = filled(title_line(truth, draws), width)
    lines += ["", *_columns(rows, truth, accuracy, width), ""]
    for what, text in notes:
        # Code is left on one line where it fits, so that it can be copied.
        whole = what == "code" and len(text) <= width - 6
        lines += [f"{what}: {text}"] if whole else filled(f"{what}: {text}", width, "  ")
    return "\n".join(lines)


def title_line(truth: Truth, draws: int) -> str:
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
        verdict_in_words(row.bias, row.verdict, norm),
    ]


def _columns(rows: Sequence[Row], truth: Truth, accuracy: float, width: int) -> list[str]:
    names, body = _names_and_cells(rows, truth, accuracy)
    widths = [max(map(len, column)) for column in zip(*body, strict=True)]
    room = min(max(len(row.label) for row in rows), width - sum(widths) - 2 * len(widths))
    if all(len(row.label) <= room or longest_part(row.label) <= room - 2 for row in rows):
        return _align_columns(names, body, widths, room)
    # A label that does not fit gets a line of its own, and so do all others then: figures in one column can be compared.
    figures = _align_columns([""] * len(names), body, widths, 0)
    if max(map(len, figures)) > width:
        return _blocks(names, body, width)
    return [figures[0], *(line for k in range(1, len(names)) for line in _apart(names[k], body[k], figures[k], width))]


def _names_and_cells(rows: Sequence[Row], truth: Truth, accuracy: float) -> tuple[list[str], list[list[str]]]:
    """The head, then each candidate and below it its groups, which have a verdict only and are told by their indent."""
    names, body = [""], [head(accuracy)]
    for row in rows:
        names.append(row.label)
        body.append(cells(row, truth.norm))
        for name, verdict in group_lines(row):
            names.append(f"  {name}")
            body.append([*[""] * (len(body[0]) - 1), verdict])
    return names, body


def _apart(name: str, cells: Sequence[str], figures: str, width: int) -> list[str]:
    """A label on a line of its own; that of a group with its verdict."""
    if name.startswith("  "):
        return filled(f"  {name}: {together(cells[-1])}", width, "      ")
    return [*filled(name, width, "  "), figures]


def _blocks(names: Sequence[str], body: Sequence[Sequence[str]], width: int) -> list[str]:
    """Where the figures do not fit beside each other: below each label, with their heads."""
    lines = []
    for name, line in zip(names[1:], body[1:], strict=True):
        if name.startswith("  "):
            lines += _apart(name, line, "", width)
        else:
            figures = " ".join(together(f"{head}: {cell};") for head, cell in zip(body[0], line, strict=True))
            lines += [*filled(name, width, "  "), *filled(f"  {figures[:-1]}", width, "  ")]
    return lines


def _align_columns(names: Sequence[str], body: Sequence[Sequence[str]], widths: Sequence[int], room: int) -> list[str]:
    """Figures to the right, verdicts to the left; a name that is longer than its column goes on below."""
    lines, before = [], room + sum(widths[:-1]) + 2 * len(widths[:-1])
    for name, line in zip(names, body, strict=True):
        cells = [c.rjust(w) for c, w in zip(line[:-1], widths, strict=False)]
        first, *rest = filled(name, room if any(line[:-1]) else before, "  ")
        figures = "  ".join([first.ljust(room), *cells]) if any(line[:-1]) else first.ljust(before)
        lines += [f"{figures}  {line[-1]}".rstrip(), *rest]
    return lines
