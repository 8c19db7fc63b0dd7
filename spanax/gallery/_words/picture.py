"""The picture of the writers: BLEU over the updates, and what was written before and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .result import Sample, Way

# Okabe and Ito's colours, which the colour-blind can tell apart; the dashes also tell them apart in grey.
STYLES = ("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."), ("0.35", ":")


def picture(path: Path, ways: Sequence[Way], samples: Sequence[Sample]) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.4, 6.4), layout="constrained")
    curves, texts = figure.subplots(2, 1, height_ratios=(3, 2))
    _curves(curves, ways)
    _texts(texts, ways[0].name, samples)
    figure.savefig(path, dpi=120)
    return path


def _curves(ax, ways: Sequence[Way]) -> None:
    for way, (colour, dash) in zip(ways, STYLES, strict=False):
        for one in way.outcomes:
            points = [point.updates for point in one.curve], [point.bleu for point in one.curve]
            ax.plot(*points, color=colour, linestyle=dash, linewidth=0.8, alpha=0.4)
        # Every seed is judged after the same updates.
        mean = np.mean([[point.bleu for point in one.curve] for one in way.outcomes], 0)
        label = f"{way.name}: {way.bleu_before:.0f} to {way.bleu_after:.0f}"
        ax.plot(
            [point.updates for point in way.outcomes[0].curve],
            mean,
            color=colour,
            linestyle=dash,
            linewidth=2.2,
            label=label,
        )
    ax.set_title("BLEU of number words that were never scored in training", fontsize=11, loc="left")
    ax.set_xlabel("updates", fontsize=9.5)
    ax.set_ylabel("mean sentence BLEU", fontsize=9.5)
    ax.set_ylim(top=100)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize=9.5, loc="lower right")


def _texts(ax, name: str, samples: Sequence[Sample]) -> None:
    ax.axis("off")
    ax.set_title(f"Written before and after ({name}, the most probable words)", fontsize=11, loc="left")
    for row, one in enumerate(samples):
        top = 0.94 - row * 0.25
        ax.text(0, top, f"{one.number}", fontsize=10.5, fontweight="bold", va="top", transform=ax.transAxes)
        for line, (what, text) in enumerate((("before", one.before), ("after", one.after))):
            mark = "right" if text == one.right else "wrong"
            shown = f"{what}: {text or '(nothing)'}  ({mark})"
            ax.text(0.08, top - 0.1 * line, shown, fontsize=10, va="top", transform=ax.transAxes)
