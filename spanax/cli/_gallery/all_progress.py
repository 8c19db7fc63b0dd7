"""How `spanax gallery --all` shows where it is: one bar on a terminal, elsewhere one line for each problem."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

NARROW = 60  # columns: below, there is no room for the bar


class Lines:
    """For a log: no control characters."""

    def __init__(self, console: Console, total: int):
        self.console, self.total, self.done = console, total, 0

    def begin(self, name: str) -> None:
        pass

    def stage(self, text: str) -> None:
        pass

    def skip(self, name: str) -> None:
        self._print(f"{name}: skipped")

    def end(self, name: str, outcome: str, seconds: float) -> None:
        self._print(f"{name}: {outcome}, {seconds:.1f} s")

    def _print(self, text: str) -> None:
        self.done += 1
        self.console.print(f"{self.done}/{self.total} {text}", soft_wrap=True, highlight=False, markup=False)


class Bar:
    """How many are done, which one runs, and how far that one says it is."""

    def __init__(self, bars: Progress, task: TaskID):
        self.bars, self.task, self.name = bars, task, ""

    def begin(self, name: str) -> None:
        self.name = name
        self.bars.update(self.task, now=name)

    def stage(self, text: str) -> None:
        self.bars.update(self.task, now=f"{self.name}: {text}")

    def skip(self, name: str) -> None:
        self.bars.advance(self.task)

    def end(self, name: str, outcome: str, seconds: float) -> None:
        self.bars.advance(self.task)


@contextmanager
def show_all(total: int) -> Iterator[Lines | Bar]:
    """The display on stderr while the context is open."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield Lines(console, total)
        return
    columns = (
        MofNCompleteColumn(),
        *([BarColumn(bar_width=20)] if console.width >= NARROW else []),
        TimeElapsedColumn(),
        # Last, and cut where the terminal ends: stages are of any length.
        TextColumn("{task.fields[now]}", markup=False, table_column=_cut()),
    )
    # Transient: the table says the same and more.
    with Progress(*columns, console=console, transient=True) as bars:
        yield Bar(bars, bars.add_task("", total=total, now=""))


def _cut():
    from rich.table import Column

    return Column(no_wrap=True, overflow="ellipsis", ratio=1)
