"""`spanax gallery`: the worked problems."""

from pathlib import Path
from typing import Annotated

import typer

from .._errors import SpanaxError
from ..gallery._names import VaeBridge
from ._messages import INTERRUPTED
from ._progress import show_progress
from ._vae_table import print_vae_table

gallery = typer.Typer(no_args_is_help=True)


@gallery.callback()
def _gallery() -> None:
    """Worked problems on real data."""


@gallery.command()
def vae(
    via: Annotated[
        list[VaeBridge] | None,
        typer.Option(
            metavar="NAME",
            help=f"A bridge to train; repeat the option for several. One of {', '.join(VaeBridge)}.",
            show_default="all of them",
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder for the pictures and result.json.")] = Path("gallery-out/vae"),
    quick: Annotated[bool, typer.Option("--quick", help="A short training: under a minute on two cores.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, help="Training steps for each bridge.", show_default="6000, or 500 with --quick"),
    ] = None,
    samples: Annotated[
        int, typer.Option(min=2, help="Decoder evaluations for each image and gradient; an even number.")
    ] = 4,
    seed: Annotated[int, typer.Option(min=0, help="Fixes the split, the initial parameters and the draws.")] = 0,
) -> None:
    """Train a VAE with 200 Bernoulli latents on real 8x8 digits, once for each bridge, and compare them.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    from ..gallery.vae import run

    try:
        with show_progress() as on_progress:
            result = run(
                out,
                quick=quick,
                via=via or tuple(VaeBridge),
                steps=steps,
                samples=samples,
                seed=seed,
                on_progress=on_progress,
            )
    except (SpanaxError, OSError) as error:
        typer.echo(f"spanax: {error}", err=True)
        raise typer.Exit(1) from error
    print_vae_table(result)
    if result.interrupted:
        typer.echo("spanax: interrupted; these are the results so far", err=True)
        raise typer.Exit(INTERRUPTED)
