"""`spanax gallery tour`: the story is told while it happens."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..._interrupts import keep
from .._messages import report_errors
from .._options import MOST, Traceback
from .options import Out, Quick, Seed
from .running import end, gallery
from .tour_story import Story


@gallery.command()
def tour(
    out: Out = Path("gallery-out/tour"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Steps of each training.", show_default="2,000, or 800 with --quick"),
    ] = None,
    seed: Seed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Start here: a step cuts the gradient of a network. Find it, bridge it, judge the bridges, and see the network learn.

    Ctrl-C ends it early.
    """
    # Before stdout is turned away for what libraries print.
    story = Story(sys.stdout)

    def stage(text: str) -> None:
        # From the first on there is something to report at Ctrl-C.
        keep()
        story.stage(text)

    story.begin()
    with report_errors(show_traceback):
        from ...gallery.tour import run

        result = run(out, quick=quick, steps=steps, seed=seed, on_stage=stage, on_found=story.tell)
    story.end(result)
    end(result.interrupted, result.learnt)
