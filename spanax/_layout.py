"""Text and tables for a given number of columns: nothing is cut off, and what does not fit continues on the next line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import zip_longest

WIDTH = 100  # where there is no terminal
_GAP = "  "
_NARROWEST = 8  # columns of a cell, however narrow the terminal
_NO_BREAK = "\xa0"
# Behind an opening bracket, a comma or a slash, and between a dot and a letter (but not inside 1.5).
_DIVIDES = re.compile(r"(?<=[(\[{,/\xa0])|(?<=\.)(?=[A-Za-z])")


def filled(text: str, width: int, indent: str = "", *, cut: bool = True) -> list[str]:
    """The lines of a text; those after the first start with `indent`. Leading spaces are kept.

    A word longer than a line (see also `together`) is divided after a bracket, a comma or another sign of code, or anywhere if
    it has none. With `cut=False` its line is as long as the word.
    """
    # Code in a message must stay whole where it can: a name that is cut in two cannot be copied.
    start = text[: len(text) - len(text.lstrip())]
    most = max(width - max(len(start), len(indent)), _NARROWEST)
    lines = [start]
    for word in re.findall(r"[^ \t\n]+", text):
        space = " " if lines[-1].strip() else ""
        for piece in _pieces(word, most) if cut and len(word) > most else [word]:
            if lines[-1].strip() and len(lines[-1]) + len(space) + len(piece) > width and len(piece) <= most:
                lines.append(indent)
                space = ""
            lines[-1] += space + piece
            space = ""
    return [line.replace(_NO_BREAK, " ").rstrip() for line in lines]


def together(text: str) -> str:
    """The text, which `filled` does not divide as long as it fits on a line."""
    return text.replace(" ", _NO_BREAK)


def longest_part(text: str) -> int:
    """How many columns the text needs so that its words are divided at signs of code only."""
    return max((len(part) for word in text.split() for part in _DIVIDES.split(word)), default=0)


def _pieces(word: str, most: int) -> list[str]:
    """The parts of a word of code, none of them longer than `most`."""
    return [part[k : k + most] for part in _DIVIDES.split(word) for k in range(0, len(part), most)]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int, *, right: Sequence[int] = ()) -> list[str]:
    """Rows in columns below their heads; columns listed in `right` are aligned to the right.

    If words would have to be divided for that, one block of lines for each row (`records`).
    """
    lines = [list(heads), *map(list, rows)]
    widths = _widths(lines, width)
    if widths is None:
        return records(heads, rows, width)
    printed = []
    for line in lines:
        cells = [filled(cell, room) for cell, room in zip(line, widths, strict=True)]
        for parts in zip_longest(*cells, fillvalue=""):
            placed = [
                p.rjust(w) if k in right else p.ljust(w) for k, (p, w) in enumerate(zip(parts, widths, strict=True))
            ]
            printed.append(_GAP.join(placed).rstrip())
    return printed


def records(heads: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """One block for each row: its first cell, and below it the other cells, each after its head."""
    lines = []
    for row in rows:
        lines += filled(row[0], width, "  ")
        for head, cell in zip(heads[1:], row[1:], strict=True):
            if cell:
                lines += filled(f"  {head}: {cell}", width, "    ")
    return lines


def _widths(lines: Sequence[Sequence[str]], width: int) -> list[int] | None:
    """The width of each column; None if the table does not fit."""
    columns = list(zip(*lines, strict=True))
    widths = [max(map(len, column)) for column in columns]
    least = [max(map(longest_part, column)) for column in columns]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    # The widest column gives way first, one character at a time, down to the longest part that must not be divided.
    for _ in range(max(excess, 0)):
        widest = max(range(len(widths)), key=lambda k: (widths[k] > least[k], widths[k]))
        if widths[widest] <= least[widest]:
            return None
        widths[widest] -= 1
    return widths
