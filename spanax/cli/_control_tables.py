"""What the control problems of `spanax gallery` print at their end."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from ..gallery import aim, cartpole, pendulum, trebuchet
    from ..gallery._trained import Training

WIDTH = 80
CHECK = "Gradient check: cosine of the first gradient with finite differences."


def print_pendulum(result: pendulum.Result) -> None:
    console = _console()
    training, judgement = result.training, result.judgement
    if training is not None and judgement is not None:
        rows = {
            "judged by": f"{judgement.judge}, {judgement.starts} fixed starts",
            "mean return": f"{judgement.mean:.1f} (the best there is: {judgement.optimum:.1f})",
            "regret": f"{judgement.regret:.1f}",
            "worst return": f"{judgement.worst:.1f}",
            **_training_rows(training),
        }
        console.print(_pairs(f"Pendulum by {training.name}, seed {result.settings.seed}", rows))
        _explained(console, training)
    _files(console, result.files)


def print_cartpole(result: cartpole.Result) -> None:
    console = _console()
    if result.learners:
        table = Table(title=f"CartPole, seed {result.settings.seed}", box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column("via", no_wrap=True, vertical="bottom")
        for heading in ("mean\nreturn", "worst\nreturn", "episodes", "steps", "compiling\n(s)", "running\n(s)"):
            table.add_column(heading, justify="right", no_wrap=True, vertical="bottom")
        for one in result.learners:
            training, judgement = one.training, one.judgement
            table.add_row(
                training.name,
                f"{judgement.mean:.1f}",
                f"{judgement.worst:.0f}",
                f"{training.episodes:,}",
                f"{training.env_steps:,}",
                f"{training.compile_s:.1f}",
                f"{training.run_s:.2f}",
            )
        console.print(table)
        judgement = result.learners[0].judgement
        console.print(f"Returns: in {judgement.judge}, from {judgement.starts} fixed starts; 475 is solved.")
    _files(console, result.files)


def print_trebuchet(result: trebuchet.Result) -> None:
    console = _console()
    training, misses = result.training, result.misses
    if training is not None and misses is not None:
        rows = {
            "judged by": f"{misses.cases} targets in reach, of {misses.drawn} drawn",
            "miss, mean": f"{100 * misses.mean:.1f} cm",
            "miss, median": f"{100 * misses.median:.1f} cm",
            "miss, 95%": f"{100 * misses.percentile_95:.1f} cm",
            "miss, worst": f"{100 * misses.worst:.1f} cm",
            **_training_rows(training),
        }
        console.print(_pairs(f"Trebuchet by {training.name}, seed {result.settings.seed}", rows))
        _explained(console, training)
    _files(console, result.files)


def print_aim(result: aim.Result) -> None:
    console = _console()
    settings = result.settings
    title = f"Aiming at {settings.target:g} m in a wind of {settings.wind:g} m/s"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("throw", "angle (°)", "weight (lb)", "distance (m)", "miss (m)"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in result.tries:
        numbers = one.angle, one.weight, one.distance, one.distance - settings.target
        table.add_row(str(one.iteration), *(f"{x:z.3f}" for x in numbers))
    console.print(table)
    console.print(f"Aiming took {1000 * result.run_s:.0f} ms, after {result.compile_s:.1f} s of compiling.")
    _files(console, result.files)


def _training_rows(training: Training) -> dict[str, str]:
    size = f"{training.updates:,} updates, {training.env_steps:,} steps, {training.episodes:,} episodes"
    checked = training.gradient_check
    return {
        "training": size,
        "seconds": f"{training.compile_s:.1f} to compile, {training.run_s:.1f} to run",
        **({} if checked is None else {"gradient check": f"{checked:.4f}"}),
    }


def _explained(console: Console, training: Training) -> None:
    if training.gradient_check is not None:
        console.print(CHECK)


def _console() -> Console:
    return Console(width=WIDTH, highlight=False)


def _pairs(title: str, rows: dict[str, str]) -> Table:
    table = Table(title=title, box=box.SIMPLE, show_header=False, title_justify="left")
    table.add_column(no_wrap=True)
    table.add_column()
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _files(console: Console, files: Iterable[Path]) -> None:
    for path in files:
        console.print(f"Wrote {path}", soft_wrap=True)
