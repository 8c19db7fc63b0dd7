"""`spanax gallery`, to which each problem adds its command, and what these commands do alike."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer

from ..._interrupts import keep
from .._messages import end_interrupted, report_errors

gallery = typer.Typer()


def run_problem(
    problem: str, show: Callable[[Any], None], results: str, show_traceback: bool, out: Path, **options: Any
) -> None:
    """Runs a gallery problem, prints its tables, and ends with the status of an interrupt if Ctrl-C cut it short.

    `results` names the part of its result that holds something where anything was learnt.
    """
    with report_errors(show_traceback):
        # Here: it imports jax, which --help does not need, or torch, which may not be there.
        run = importlib.import_module(f"...gallery.{problem}", __package__).run
        result = run(out, on_stage=_show_training, **options)
    show(result)
    end(result.interrupted, getattr(result, results))


def end(interrupted: bool, results: object) -> None:
    if interrupted:
        end_interrupted(*(["these are the results so far"] if results else []))


def show(stage: str) -> None:
    typer.echo(stage, err=True)


def _show_training(stage: str) -> None:
    """A stage of a problem that trains: from its first update on there are results to report at Ctrl-C."""
    # From here on an interrupt is to report what there is, and not to end the process at once.
    keep()
    show(stage)
