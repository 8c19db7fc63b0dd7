"""How long work shows itself: a bar for each bridge on a terminal, elsewhere one line for each finished bridge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress as Bars, TaskID, TextColumn, TimeRemainingColumn

from .._interrupts import keep

if TYPE_CHECKING:
    from ..gallery.vae import Progress

NARROW = 60  # columns: below, there is room for the figures only


@contextmanager
def show_progress() -> Iterator[Callable[[Progress], None]]:
    """A callback that shows progress on stderr while the context is open. After a step there are results to keep."""
    console = Console(stderr=True)
    # A log gets one line a bridge, and no control characters.
    if not console.is_terminal:
        yield lambda progress: _line(console, progress)
        return
    wide = console.width >= NARROW
    columns = (
        TextColumn("{task.description:<16}"),
        *([BarColumn(bar_width=24)] if wide else []),
        TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
        TextColumn("{task.fields[elbo]}"),
        *([TimeRemainingColumn(compact=True, elapsed_when_finished=True)] if wide else []),
    )
    with Bars(*columns, console=console) as bars:
        # Bars appear as bridges begin: how long one takes to compile is not known before.
        tasks: dict[str, TaskID] = {}
        yield lambda progress: _advance(bars, tasks, progress)


def _line(console: Console, progress: Progress) -> None:
    _keep(progress)
    if progress.step == progress.steps:
        console.print(
            f"{progress.bridge}: {progress.steps:,} steps, {_elbo(progress)}", soft_wrap=True, highlight=False
        )


def _advance(bars: Bars, tasks: dict[str, TaskID], progress: Progress) -> None:
    if progress.bridge not in tasks:
        tasks[progress.bridge] = bars.add_task(progress.bridge, total=progress.steps, elbo="compiling")
    _keep(progress)
    if progress.step:
        bars.update(tasks[progress.bridge], completed=progress.step, elbo=_elbo(progress))


def _keep(progress: Progress) -> None:
    if progress.step:
        keep()


def _elbo(progress: Progress) -> str:
    return f"ELBO {progress.elbo:.2f}"
