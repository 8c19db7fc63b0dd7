"""The picture of the attention: what the network sees of each digit, and what each way is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .reader import PIXELS, ROW, WINDOW
from .result import Learner, best_bridge

COLOURS = "#0072b2", "#d55e00", "#009e73"  # of the glimpses, told apart by everybody (Okabe and Ito)
DASHES = "-", "--", ":"
PALE = 0.3  # how much of its darkness a pixel keeps that was not seen


def picture(path: Path, learners: Sequence[Learner]) -> Path:
    from matplotlib.figure import Figure

    by_name = {learner.name: learner for learner in learners}
    wanted = best_bridge(learners), by_name.get("fixed places"), by_name.get("random places")
    shown = [learner for learner in wanted if learner is not None] or list(learners[:1])
    figure = Figure(figsize=(9, 4.3 + 0.95 * len(shown)), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(0.95 * len(shown) + 0.6, 3.7))
    _looks(figure.add_subfigure(grid[0]), shown)
    _figures(figure.add_subfigure(grid[1]), learners)
    figure.savefig(path, dpi=130)
    return path


def _looks(figure, learners: Sequence[Learner]) -> None:
    figure.suptitle(
        "Held-out digits: what the glimpses 1 (solid), 2 (dashed), 3 (dotted) see, and the answer", fontsize=11
    )
    axes = figure.subplots(len(learners), 10, squeeze=False)
    for row, learner in zip(axes, learners, strict=True):
        looks = learner.outcomes[0].looks
        for digit, ax in enumerate(row):
            _look(ax, looks.images[digit], looks.corners[digit])
            right = looks.said[digit] == digit
            ax.set_xlabel(f"{looks.said[digit]}" if right else f"{looks.said[digit]} (wrong)", labelpad=2, fontsize=9)
        row[0].set_ylabel(learner.name.replace(" ", "\n"), rotation=0, ha="right", va="center")


def _look(ax, image: np.ndarray, corners: np.ndarray) -> None:
    from matplotlib.patches import Rectangle

    seen = np.zeros(image.size, bool)
    seen[PIXELS[ROW * corners[:, 0] + corners[:, 1]]] = True
    ax.imshow(np.where(seen.reshape(image.shape), image, PALE * image), cmap="gray_r", vmin=0, vmax=1)
    for number, (row, column) in enumerate(corners):
        # Pixels have their centres at whole numbers; windows at one place are to be seen beside each other.
        inset = 0.14 * number - 0.5
        side = WINDOW - 0.28 * number
        style = {"edgecolor": COLOURS[number], "linestyle": DASHES[number], "linewidth": 1.7}
        ax.add_patch(Rectangle((column + inset, row + inset), side, side, fill=False, **style))
    ax.set(xticks=[], yticks=[])


def _figures(figure, learners: Sequence[Learner]) -> None:
    right, time = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    for place, learner in enumerate(learners):
        colour = COLOURS[0] if learner.is_bridge else "0.45"
        values = 100 * np.array(learner.accuracies)
        right.plot(values, [place] * len(values), "o", color=colour, markersize=4, alpha=0.5)
        right.plot([values.mean()], [place], "|", color=colour, markersize=16, markeredgewidth=2.5)
        # Right of the last dot, where the next row cannot hide it.
        right.annotate(f"{values.mean():.1f}", (values.max(), place), (10, 0), textcoords="offset points", va="center",
                       fontsize=9)  # fmt: skip
        time.barh(place, learner.seconds, height=0.5, color=colour)
        time.annotate(f" {learner.seconds:.1f}", (learner.seconds, place), va="center", fontsize=9)
    right.set_yticks(range(len(learners)), [learner.name for learner in learners])
    right.set(xlabel="right on held-out digits (%); a dot for each seed", ylim=(len(learners) - 0.4, -0.8))
    right.grid(axis="x", alpha=0.3)
    right.margins(x=0.1)
    time.set(xlabel="seconds of training, of one seed")
    time.margins(x=0.18)
    for ax in (right, time):
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(axis="y", length=0)
