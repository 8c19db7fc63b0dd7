"""The command line's root: its subcommands and `--version`."""

from typing import Annotated

import typer

from .. import __version__
from ._messages import show_help
from .bridges import bridges
from .compare import compare
from .find import find
from .gallery import gallery
from .serve import serve

# No completion: it would edit the user's shell files. No pretty exceptions: ours have their own form.
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
app.command()(find)
app.command()(bridges)
app.command()(compare)
app.command()(serve)
app.add_typer(gallery, name="gallery")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spanax {__version__}")
        raise typer.Exit()


@app.callback(
    invoke_without_command=True,
    epilog="Status 0: done. 1: what find, and compare --fail-on-bias, are asked to report. 2: it cannot be done; a message says "
    "why. 130, 143: ended by Ctrl-C, by SIGTERM.",
)
def spanax(
    context: typer.Context,
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Gradients across the steps of a JAX program that have none."""
    show_help(context)
