"""`spanax gallery attention`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._options import MOST, Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import FirstSeed, Out, Quick, Seeds
from .running import gallery, run_problem

if TYPE_CHECKING:
    from ...gallery.attention import Learner, Result

HEADS = "places by", "right\n(%)", "over the\nseeds", "places\nused", "seconds\na seed", "to\ncompile"
LEGEND = (
    "Right: of 297 held-out digits, each glimpse where its score is highest; random places are drawn in use as well. "
    "Fixed places: learnt, but the same for every picture. Soft attention sees all 64 pixels, the others at most 27. "
    "Places used: at the third glimpse, of 36 (exp of the entropy of their shares); 1: it does not depend on what was seen."
)


@gallery.command()
def attention(
    out: Out = Path("gallery-out/attention"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,500, or 400 with --quick"),
    ] = None,
    seeds: Seeds = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Read digits through three glimpses: five bridges that teach a network where to look, beside three baselines.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed}
    run_problem("attention", print_attention, "learners", show_traceback, out, **options)


def print_attention(result: Result) -> None:
    """One row for each way of training, and where the files are."""
    where = console()
    if result.learners:
        title = f"Three glimpses of 3x3 pixels: {result.settings.steps:,} steps, {_seeds(result.learners[0])}"
        show_rows(where, title, HEADS, [_row(learner) for learner in result.learners])
        show_text(where, LEGEND)
    show_files(where, result.files)


def _seeds(learner: Learner) -> str:
    first = learner.outcomes[0].seed
    return f"seed {first}" if len(learner.outcomes) == 1 else f"{len(learner.outcomes)} seeds from {first} on"


def _row(learner: Learner) -> tuple[str, ...]:
    right = [100 * one for one in learner.accuracies]
    spread = f"{min(right):.1f} to {max(right):.1f}" if len(right) > 1 else ""
    seconds = f"{learner.seconds:.1f}", f"{learner.compile_seconds:.1f}"
    # Soft attention looks at all of them, always.
    used = f"{learner.places[-1]:.1f}" if learner.name != "soft attention" else "all"
    return learner.name, f"{100 * learner.accuracy:.1f}", spread, used, *seconds
