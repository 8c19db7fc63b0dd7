"""The command line's root: its subcommands and `--version`."""

from importlib.metadata import version
from typing import Annotated

import typer

from .bridges import bridges
from .compare import compare
from .find import find
from .gallery import gallery

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command()(find)
app.command()(bridges)
app.command()(compare)
app.add_typer(gallery, name="gallery")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"spanax {version('spanax')}")
        raise typer.Exit()


@app.callback()
def spanax(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Gradients across the steps of a JAX program that have none."""
