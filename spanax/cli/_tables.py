"""Tables of the worked problems: at most 80 columns wide, or as wide as the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from .._layout import filled, records, together
from ._messages import columns

WIDTH = 80


def console() -> Console:
    return Console(width=columns(most=WIDTH), highlight=False)


def show_rows(
    where: Console, title: str, heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: int = 1
) -> None:
    """One row below the other, the columns from `right` on to the right; a block for each where they are too wide."""
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for number, head in enumerate(heads):
        table.add_column(head, justify="right" if number >= right else "left", no_wrap=True, vertical="bottom")
    for row in rows:
        table.add_row(*row)
    # Measured without a limit: rich would squeeze the columns before it said that they do not fit.
    if Measurement.get(where, where.options.update(max_width=1000), table).maximum <= where.width:
        where.print(table)
    else:
        names = [" ".join(head.split("\n")) for head in heads]
        blocks = records(names, [[row[0], *map(together, row[1:])] for row in rows], where.width)
        _lines(where, [*filled(title, where.width), "", *blocks, ""])


def show_pairs(where: Console, title: str, pairs: Mapping[str, str]) -> None:
    """A name and what is to be said of it, on each line."""
    table = Table(title=title, box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in pairs.items():
        table.add_row(name, value)
    # Below that a second column would be a few letters wide.
    if where.width >= WIDTH // 2 + max(map(len, pairs)):
        where.print(table)
    else:
        lines = [line for name, value in pairs.items() for line in filled(f"  {name}: {value}", where.width, "    ")]
        _lines(where, [*filled(title, where.width), "", *lines, ""])


def show_text(where: Console, text: str) -> None:
    _lines(where, filled(text, where.width))


def show_files(where: Console, files: Iterable[Path]) -> None:
    """A path stays on one line, so that it can be copied."""
    _lines(where, [f"Wrote {path}" for path in files])


def _lines(where: Console, lines: Iterable[str]) -> None:
    for line in lines:
        where.print(line, soft_wrap=True, markup=False)
