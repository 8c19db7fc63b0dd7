"""`spanax gallery sorting`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._options import MOST, Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import FirstSeed, Out, Quick, Seeds
from .running import gallery, run_problem

if TYPE_CHECKING:
    from ...gallery.sorting import Learner, Result

HEADS = "learns by", "whole order\nright (%)", "over the\nseeds", "pictures\nright (%)", "seconds\na seed"
LEGEND = (
    "Whole order right: of 2,000 groups of held-out pictures; pictures right: the share at the right place. All are told the "
    "order only, but for the last way, which is told the digits."
)


@gallery.command()
def sorting(
    out: Out = Path("gallery-out/sorting"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,000, or 400 with --quick"),
    ] = None,
    seeds: Seeds = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Learn what digits are worth from their order alone: through ranks with four bridges, beside losses made by hand.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed}
    run_problem("sorting", print_sorting, "learners", show_traceback, out, **options)


def print_sorting(result: Result) -> None:
    """A table for each size of the groups, then what the columns mean and where the files are."""
    where = console()
    for size in dict.fromkeys(learner.size for learner in result.learners):
        some = [learner for learner in result.learners if learner.size == size]
        title = f"Groups of {size} pictures: {result.settings.steps:,} steps, {_seeds(some[0])}"
        show_rows(where, title, HEADS, [_row(learner) for learner in some])
    if result.learners:
        show_text(where, LEGEND)
    show_files(where, result.files)


def _seeds(learner: Learner) -> str:
    first = learner.outcomes[0].seed
    return f"seed {first}" if len(learner.outcomes) == 1 else f"{len(learner.outcomes)} seeds from {first} on"


def _row(learner: Learner) -> tuple[str, ...]:
    right = [100 * one for one in learner.exact_matches]
    spread = f"{min(right):.1f} to {max(right):.1f}" if len(right) > 1 else ""
    figures = f"{100 * learner.exact_match:.1f}", spread, f"{100 * learner.element_wise:.1f}"
    return learner.name, *figures, f"{learner.seconds:.1f}"
