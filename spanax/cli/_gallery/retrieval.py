"""`spanax gallery retrieval`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._options import MOST, Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import FirstSeed, Out, Quick
from .running import gallery, run_problem

if TYPE_CHECKING:
    from ...gallery.retrieval import Result, Way

HEADS = "retriever learns by", "answers\nright (%)", "over the\nseeds", "document\nfound (%)", "seconds\na seed"
LEGEND = (
    "Answers right: of 8,000 held-out questions, from the one document that the retriever scores highest. Document found: of the "
    "2,000 queries, how often that is the one that was meant. Without a bridge the retriever stays what it was, TF-IDF."
)


@gallery.command()
def retrieval(
    out: Out = Path("gallery-out/retrieval"),
    quick: Quick = False,
    steps: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Training steps of each way.", show_default="1,000, or 350 with --quick"),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, max=1000, help="How many seeds.", show_default="2, or 1 with --quick")
    ] = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Pick one of 500 documents and answer from it: an argmax between two networks, and both learn toward one goal.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "steps": steps, "seeds": seeds, "seed": seed}
    run_problem("retrieval", print_retrieval, "ways", show_traceback, out, **options)


def print_retrieval(result: Result) -> None:
    """What the finder says, one row for each way of training, an example, and where the files are."""
    where = console()
    for gap in result.found.alarms if result.found else ():
        show_text(where, f"The gradient ends at {gap.place}, in {gap.operation}:")
        show_text(where, f"    {gap.source}")
    if result.ways:
        title = f"One of 500 documents: {result.settings.steps:,} steps, {_seeds(result.ways[0])}"
        show_rows(where, title, HEADS, [_row(way) for way in result.ways])
        show_text(where, LEGEND)
    if result.example is not None:
        show_text(where, "")
        show_text(where, f"For instance, by {', '.join(result.example.words)}")
        for way, picked in result.example.picked.items():
            show_text(where, f"    {way}: {picked}")
    show_files(where, result.files)


def _seeds(way: Way) -> str:
    first = way.outcomes[0].seed
    return f"seed {first}" if len(way.outcomes) == 1 else f"{len(way.outcomes)} seeds from {first} on"


def _row(way: Way) -> tuple[str, ...]:
    right = [100 * one.curve[-1].accuracy for one in way.outcomes]
    spread = f"{min(right):.1f} to {max(right):.1f}" if len(right) > 1 else ""
    found = f"{100 * way.mean('right_document'):.1f}"
    return way.name, f"{100 * way.test_accuracy:.1f}", spread, found, f"{way.seconds:.1f}"
