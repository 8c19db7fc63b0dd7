"""`spanax gallery`: the worked problems."""

from pathlib import Path
from typing import Annotated

import typer

from ..gallery.problems import BY_NAME, PROBLEMS

# Each of these adds its commands.
from ._gallery import attention, calibrate, control, gap, renderer, retrieval, rlhf, sorting, torch, tour, vae, words
from ._gallery.running import gallery
from ._messages import show_help
from ._options import Traceback, writable_folder

__all__ = [
    "attention",
    "calibrate",
    "control",
    "gallery",
    "gap",
    "renderer",
    "retrieval",
    "rlhf",
    "sorting",
    "torch",
    "tour",
    "vae",
    "words",
]


def _name(command: typer.models.CommandInfo) -> str:
    return command.name or getattr(command.callback, "__name__", "")


# In the order of the registry, however the files above are imported: the help shows the tour first.
gallery.registered_commands.sort(key=lambda command: PROBLEMS.index(BY_NAME[_name(command)]))
for _command in gallery.registered_commands:
    _command.rich_help_panel = BY_NAME[_name(_command)].group


def _writable(path: Path | None) -> Path | None:
    return None if path is None else writable_folder(path)


@gallery.callback(invoke_without_command=True)
def _gallery(
    context: typer.Context,
    every: Annotated[
        bool,
        typer.Option("--all", help="Run all problems in turn, each in a process of its own, and write index.html."),
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="With --all: short runs, all in under 10 minutes on two cores.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=_writable, help="With --all: the folder, with one for each problem.", show_default="gallery-out"
        ),
    ] = None,
    show_traceback: Traceback = False,
) -> None:
    """Worked problems on real data, and in simulated worlds."""
    if every and context.invoked_subcommand is None:
        # Imported here: the help, and every single problem, do without it.
        from ._gallery.all import run_all

        run_all(out or Path("gallery-out"), quick, show_traceback)
        return
    if every:
        raise typer.BadParameter("--all runs every problem: name none beside it")
    # Said before the name of a problem, they would be without effect.
    if quick or out is not None:
        raise typer.BadParameter("say --all before it, or name the problem first: spanax gallery tour --quick")
    show_help(context)
