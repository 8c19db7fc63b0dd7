"""`spanax gallery words`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._options import MOST, Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import FirstSeed, Out, Quick, Seeds
from .running import gallery, run_problem

if TYPE_CHECKING:
    from ...gallery.words import Result, Way

HEADS = (
    "trained by",
    "BLEU\nbefore",
    "BLEU\nafter",
    "gain over\nthe seeds",
    "no mistake (%)\nbefore, after",
    "seconds\na seed",
)
LEGEND = (
    "BLEU: the mean of sacrebleu's sentence BLEU over held-out numbers, of the most probable words. No mistake: the share of "
    "these numbers whose words are all right. Likelihood goes on with the pairs that the start was trained on."
)


@gallery.command()
def words(
    out: Out = Path("gallery-out/words"),
    quick: Quick = False,
    updates: Annotated[
        int | None,
        typer.Option(min=1, max=MOST, help="Updates of each way.", show_default="500, or 200 with --quick"),
    ] = None,
    seeds: Seeds = None,
    seed: FirstSeed = 0,
    show_traceback: Traceback = False,
) -> None:
    """Write number words for a metric that has no gradient, BLEU: self-critical, leave-one-out, and without a baseline.

    Ctrl-C ends the training early and reports what came to its end.
    """
    options = {"quick": quick, "updates": updates, "seeds": seeds, "seed": seed}
    run_problem("words", print_words, "ways", show_traceback, out, **options)


def print_words(result: Result) -> None:
    """One row for each way of training, some words before and after, and where the files are."""
    where = console()
    if result.ways:
        title = f"Number words: {result.settings.updates:,} updates, {_seeds(result.ways[0])}"
        show_rows(where, title, HEADS, [_row(way) for way in result.ways])
        show_text(where, LEGEND)
        show_text(where, "")
    for one in result.samples:
        show_text(where, f"{one.number} before: {one.before or '(nothing)'}")
        show_text(where, f"{one.number} after: {one.after or '(nothing)'}")
    show_files(where, result.files)


def _seeds(way: Way) -> str:
    first = way.outcomes[0].seed
    return f"seed {first}" if len(way.outcomes) == 1 else f"{len(way.outcomes)} seeds from {first} on"


def _row(way: Way) -> tuple[str, ...]:
    spread = f"{min(way.gains):.1f} to {max(way.gains):.1f}" if len(way.gains) > 1 else f"{way.gains[0]:.1f}"
    exact = ", ".join(f"{100 * way.mean('exact', point):.0f}" for point in (0, -1))
    return way.name, f"{way.bleu_before:.1f}", f"{way.bleu_after:.1f}", spread, exact, f"{way.seconds:.1f}"
