"""`spanax gallery rlhf`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .._options import MOST, SEEDS, Traceback
from .._tables import console, show_files, show_rows, show_text
from .options import Out, Quick
from .running import gallery, run_problem

if TYPE_CHECKING:
    from ...gallery.rlhf import KnownBias, LossRow, Result

HEADS = "loss", "scale", "bias\n(%)", "across\n(%)", "noise", "cos", "biased\nin"
TITLES = {
    "language": "Right or wrong: 3 prompts, groups of {group}, {draws:,} gradients of each loss",
    "tools": "Tools, a reward a turn: groups of {group}, {draws:,} gradients of each loss",
}
LEGEND = (
    "± 1 standard error. Scale: of the mean gradient along the exact one; not 1: another learning rate. Bias: of |exact|. "
    "Across: the bias of a gradient brought to scale 1, which no learning rate undoes. Noise: the variance of such a gradient, "
    "of |exact|². Cos: the cosine of one gradient with the exact one."
)


@gallery.command()
def rlhf(
    out: Out = Path("gallery-out/rlhf"),
    quick: Quick = False,
    draws: Annotated[
        int | None,
        typer.Option(min=100, max=MOST, help="Gradients of each loss.", show_default="16,000, or 1,500 with --quick"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=SEEDS, help="Fixes the draws.")] = 0,
    show_traceback: Traceback = False,
) -> None:
    """Audit the losses of language models (RLOO, GRPO, DAPO, PPO, ...) against exact gradients: bias, noise and cosine.

    Ctrl-C ends the work early and reports the losses that were judged.
    """
    run_problem("rlhf", print_rlhf, "rows", show_traceback, out, quick=quick, draws=draws, seed=seed)


def print_rlhf(result: Result) -> None:
    """A table for each world, what the columns mean, the biases that are known, and where the files are."""
    where = console()
    for world, title in TITLES.items():
        if some := [row for row in result.rows if row.world == world]:
            text = title.format(group=result.settings.group, draws=result.settings.draws)
            show_rows(where, text, HEADS, [_cells(row) for row in some])
    if result.rows:
        show_text(where, LEGEND)
    for one in result.known:
        show_text(where, _sentence(one))
    show_files(where, result.files)


def _cells(row: LossRow) -> tuple[str, ...]:
    figures = (
        f"{row.scale:.3f}±{row.scale_error:.3f}",
        f"{100 * row.bias:.1f}±{100 * row.bias_error:.1f}",
        f"{100 * row.across:.1f}±{100 * row.across_error:.1f}",
    )
    return row.loss, *figures, f"{row.noise:.1f}", f"{row.cosine:.2f}", row.biased_in


def _sentence(one: KnownBias) -> str:
    size = f"{one.value:.3f}" if one.figure == "scale" else f"{100 * one.value:.1f}%"
    return f"{one.name}: {one.figure} of {one.loss} {size}, {one.sigmas:.0f} standard errors from {one.right:.0f}."
