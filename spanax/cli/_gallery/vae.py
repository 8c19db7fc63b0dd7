"""`spanax gallery vae`."""

from pathlib import Path
from typing import Annotated

import typer

from ...gallery.names import VaeBridge
from .._messages import report_errors
from .._options import MOST, SEEDS, Traceback, even
from .._progress import show_progress
from .options import Out, Quick
from .running import end, gallery
from .vae_table import print_vae_table


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
    out: Out = Path("gallery-out/vae"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(
            min=1, max=MOST, help="Training steps for each bridge.", show_default="6,000, or 500 with --quick"
        ),
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=2, max=1000, callback=even, help="Decoder evaluations for each image and gradient; an even number."
        ),
    ] = 4,
    seed: Annotated[
        int, typer.Option(min=0, max=SEEDS, help="Fixes the split, the initial parameters and the draws.")
    ] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Train a VAE with 200 Bernoulli latents on real 8x8 digits, once for each bridge, and compare them.

    Ctrl-C ends the training early and reports what was learnt until then.
    """
    from ...gallery.vae import run

    with report_errors(show_traceback), show_progress() as on_progress:
        result = run(
            out,
            quick=quick,
            via=via or tuple(VaeBridge),
            steps=steps,
            samples=samples,
            seed=seed,
            on_progress=on_progress,
        )
    print_vae_table(result)
    end(result.interrupted, result.bridges)
