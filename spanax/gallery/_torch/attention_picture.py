"""The picture of the attention: where each network looks, and how its accuracy grew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .attention_result import SCENES, Learner
from .digits import DIGIT

SHOWN = ("no bridge", "score function", "straight-through")  # their glimpses; all ways have a curve
MARKERS = "os^DvX"  # beside the colours, so that the curves can be told apart without them
COLOURS = "#f0c000", "#e03030"  # of the two glimpses


def picture(path: Path, learners: Sequence[Learner]) -> Path:
    from matplotlib.figure import Figure

    shown = [learner for learner in learners if learner.name in SHOWN] or learners[:1]
    figure = Figure(figsize=(9, 4.2 + 1.12 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(1.12 * len(shown) + 0.3, 3.9))
    _looks(figure.add_subfigure(grid[0]), shown)
    _curves(figure.add_subfigure(grid[1]).add_subplot(), learners)
    figure.savefig(path, dpi=150)
    return path


def _looks(figure, learners: Sequence[Learner]) -> None:
    from matplotlib.patches import Rectangle

    figure.suptitle("Held-out scenes, and the two glimpses that a network takes of each", fontsize=11)
    for axes, learner in zip(figure.subplots(len(learners), SCENES, squeeze=False), learners, strict=True):
        look = learner.outcomes[0].look
        for ax, scene, corners in zip(axes, look.scenes, look.corners, strict=True):
            ax.imshow(scene, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
            for (row, column), colour, dashes in zip(corners, COLOURS, ("-", "--"), strict=False):
                # Pixels have their centres at whole numbers.
                at = column - 0.5, row - 0.5
                ax.add_patch(Rectangle(at, DIGIT, DIGIT, fill=False, edgecolor=colour, linewidth=1.8, linestyle=dashes))
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(learner.name.replace(" ", "\n").replace("-t", "-\nt"), rotation=0, ha="right", va="center")


def _curves(ax, learners: Sequence[Learner]) -> None:
    for index, learner in enumerate(learners):
        steps, accuracies = zip(*learner.curve, strict=True)
        seeds = len(learner.outcomes)
        ends = f"{100 * learner.accuracy:.1f}"
        if seeds > 1:
            ends += f" ({100 * min(learner.accuracies):.1f} to {100 * max(learner.accuracies):.1f})"
        line = ax.plot(steps, 100 * np.array(accuracies), color=f"C{index}", linewidth=1.5, markersize=4.5)[0]
        line.set(
            marker=MARKERS[index % len(MARKERS)], markevery=max(1, len(steps) // 8), label=f"{learner.name}: {ends}"
        )
        # A dot for each seed shows how far apart they are.
        ax.plot([steps[-1]] * seeds, [100 * a for a in learner.accuracies], ".", color=f"C{index}", markersize=4)
    ax.axhline(10, color="0.5", linewidth=0.8, linestyle=":")
    ax.annotate("guessing", (1, 10), (-2, 2), xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
                fontsize=9, color="0.4")  # fmt: skip
    ax.set(xlabel="training steps", ylabel="right on held-out digits (%)", ylim=(0, 100))
    ax.legend(title="at the end, in % (over the seeds)", loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
