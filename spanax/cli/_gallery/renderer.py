"""`spanax gallery renderer`."""

from pathlib import Path
from typing import Annotated

import typer

from .._options import MOST, SEEDS, Traceback
from .options import Out, Quick
from .renderer_table import print_renderer
from .running import gallery, run_problem


@gallery.command()
def renderer(
    out: Out = Path("gallery-out/renderer"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Steps of each fit.", show_default="400, or 200 with --quick"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the start and the draws.")] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Fit coloured triangles to a picture through a renderer without a derivative, in four ways.

    Ctrl-C ends the fits early and reports how far they came.
    """
    options = {"quick": quick, "steps": steps, "seed": seed}
    run_problem("renderer", print_renderer, "fits", show_traceback, out, **options)
