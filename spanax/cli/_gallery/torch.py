"""`spanax gallery torch-attention` and `torch-router`."""

from pathlib import Path
from typing import Annotated

import typer

from .._options import MOST, Traceback, between
from .options import FirstSeed, Out, Quick
from .running import gallery, run_problem
from .torch_tables import print_torch_attention, print_torch_router


@gallery.command("torch-attention")
def torch_attention(
    out: Out = Path("gallery-out/torch-attention"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,500, or 500 with --quick"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="3, or 1 with --quick")
    ] = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Hard attention in PyTorch: find the dead line, and train where to look in five ways.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed}
    run_problem("torch_attention", print_torch_attention, "learners", show_traceback, out, **options)


@gallery.command("torch-router")
def torch_router(
    out: Out = Path("gallery-out/torch-router"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,500, or 500 with --quick"),
    ] = None,
    balance: Annotated[
        float, typer.Option(callback=between(0, 100), help="Weight of the term that keeps all experts in use.")
    ] = 0.3,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="5, or 1 with --quick")
    ] = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """A mixture of 8 experts in PyTorch: the router's gradient in five ways, beside the exact one.

    Ctrl-C ends the work early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed, "balance": balance}
    run_problem("torch_router", print_torch_router, "ways", show_traceback, out, **options)
