"""Options that several problems have."""

from pathlib import Path
from typing import Annotated

import typer

from .._options import FOLDER, SEEDS, writable_folder

Quick = Annotated[bool, typer.Option("--quick", help="A short run: under a minute on two cores.")]
Seed = Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the initial parameters and the draws.")]
Out = Annotated[Path, typer.Option(callback=writable_folder, help=FOLDER)]
Seeds = Annotated[
    int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="3, or 1 with --quick")
]
FirstSeed = Annotated[
    int, typer.Option(min=0, max=SEEDS, help="The first of the seeds: of the split, the weights, the draws.")
]
