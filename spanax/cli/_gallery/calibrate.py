"""`spanax gallery calibrate`."""

from pathlib import Path
from typing import Annotated

import typer

from .._options import SEEDS, Traceback
from .calibrate_table import print_calibrate
from .options import Out, Quick
from .running import gallery, run_problem


@gallery.command()
def calibrate(
    out: Out = Path("gallery-out/calibrate"),
    quick: Quick = False,
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes that run the simulator.")] = 2,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the epidemic, and all draws of the fits.")] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Fit five parameters of a stochastic epidemic to one curve: by least squares, by descent and by a surrogate.

    What has been evaluated is kept in the folder: the same command again runs none of it twice, Ctrl-C or not.
    """
    run_problem("calibrate", print_calibrate, "methods", show_traceback, out, quick=quick, workers=workers, seed=seed)
