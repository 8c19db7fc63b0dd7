"""The picture of the retrieval: accuracy over the steps, which documents were found, and one query."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .result import Example, Way

# Okabe and Ito's colours, which the colour-blind can tell apart; the dashes also tell them apart in grey.
STYLES = ("0.35", ":"), ("#CC79A7", "-."), ("#E69F00", "--"), ("#0072B2", "-"), ("#009E73", (0, (6, 1)))


def picture(path: Path, ways: Sequence[Way], example: Example | None) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 6.0), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=(2.8, 1.2))
    upper, lower = parts
    curves, bars = upper.subplots(1, 2, width_ratios=(5, 4))
    _curves(curves, ways)
    _found(bars, ways)
    upper.legend(*curves.get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False, fontsize=9)
    if example is not None:
        _example(lower.subplots(), example)
    figure.savefig(path, dpi=110)
    return path


def _curves(ax, ways: Sequence[Way]) -> None:
    for way, (colour, dash) in zip(ways, STYLES, strict=False):
        steps = [point.steps for point in way.outcomes[0].curve]
        every = 100 * np.array([[point.accuracy for point in one.curve] for one in way.outcomes])
        for one in every:
            ax.plot(steps, one, color=colour, linestyle=dash, linewidth=0.8, alpha=0.4)
        label = f"{way.name}: {every[:, -1].mean():.1f}"
        ax.plot(steps, every.mean(0), color=colour, linestyle=dash, linewidth=2.2, label=label)
    ax.set_title("Held-out questions are answered right (%)", fontsize=11, loc="left")
    ax.set_xlabel("steps", fontsize=9.5)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)


def _found(ax, ways: Sequence[Way]) -> None:
    shares = [100 * way.mean("right_document") for way in ways]
    rows = range(len(ways))
    ax.barh(rows, shares, color=[colour for colour, _ in STYLES[: len(ways)]], height=0.6)
    for row, share in enumerate(shares):
        ax.text(share + 1.5, row, f"{share:.0f}", va="center", fontsize=9)
    # All start alike.
    ax.axvline(100 * ways[0].mean("right_document", 0), color="0", linewidth=0.8, linestyle=":")
    ax.set_yticks(rows, [way.name for way in ways], fontsize=9)
    ax.set_ylim(len(ways) - 0.4, -0.6)
    ax.set_xlim(0, 108)
    ax.set_title("The right document is found (%)", fontsize=11, loc="left")
    ax.set_xlabel("of 2,000 queries; dotted: before training", fontsize=9.5)
    ax.spines[["top", "right"]].set_visible(False)


def _example(ax, example: Example) -> None:
    ax.axis("off")
    words = textwrap.shorten(", ".join(example.words), 100, placeholder=", ...")
    ax.set_title(f"Which function?  {words}", fontsize=10.5, loc="left")
    for row, (name, picked) in enumerate(example.picked.items()):
        top = 0.98 - 0.2 * row
        mark = "  (the one that was meant)" if picked == example.meant else ""
        ax.text(0.02, top, name, fontsize=10, va="top", transform=ax.transAxes)
        ax.text(0.25, top, picked + mark, fontsize=10, va="top", transform=ax.transAxes)
