"""The picture of the sorting: groups as a network sorts them, its scores of each digit, and what each way is worth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .result import Learner, Shown, best_bridge

# Of the bridges, told apart by everybody (Okabe and Ito), and beside that by their markers.
COLOURS = "#0072b2", "#d55e00", "#009e73", "#cc79a7"
MARKERS = "os^D"
GREYS, GREY_MARKERS = ("0.2", "0.35", "0.5", "0.65"), "vXP*"


def picture(path: Path, learners: Sequence[Learner]) -> Path:
    from matplotlib.figure import Figure

    best = best_bridge(learners) or learners[-1]
    shown = best.outcomes[0].shown
    figure = Figure(figsize=(9, 3.6 + 0.85 * len(shown.sorted_images)), layout="constrained")
    grid = figure.add_gridspec(2, 1, height_ratios=(0.85 * len(shown.sorted_images) + 0.4, 3.2))
    _groups(figure.add_subfigure(grid[0]), best, shown)
    below = figure.add_subfigure(grid[1])
    scores, matches = below.subplots(1, 2, width_ratios=(1, 1.25))
    _scores(scores, best, shown)
    _matches(matches, learners)
    figure.savefig(path, dpi=150)
    return path


def _groups(figure, best: Learner, shown: Shown) -> None:
    figure.suptitle(f"Groups of {best.size} held-out pictures as the network sorts them ({best.name})", fontsize=11)
    count = len(shown.sorted_images)
    for axes, images, digits in zip(
        figure.subplots(count, best.size, squeeze=False), shown.sorted_images, shown.sorted_digits, strict=True
    ):
        for ax, image, digit, due in zip(axes, images, digits, sorted(digits), strict=True):
            ax.imshow(image, cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
            if digit != due:
                ax.set_xlabel(f"{due} belongs here", color="#d55e00", fontsize=8, labelpad=1)
                for spine in ax.spines.values():
                    spine.set(color="#d55e00", linewidth=2)


def _scores(ax, best: Learner, shown: Shown) -> None:
    # Dots beside each other would hide how many there are.
    scatter = np.random.default_rng(0).uniform(-0.28, 0.28, len(shown.labels))
    ax.plot(shown.labels + scatter, shown.scores, ".", color=COLOURS[0], alpha=0.45, markersize=4)
    for digit in range(10):
        ax.plot([digit - 0.35, digit + 0.35], [np.median(shown.scores[shown.labels == digit])] * 2, color="k", lw=1.2)
    ax.set(xlabel="digit, which it was never told", ylabel="its score", xticks=range(10))
    ax.set_title(f"scores of held-out pictures, n = {best.size}", fontsize=10)
    ax.spines[["top", "right"]].set_visible(False)


def _matches(ax, learners: Sequence[Learner]) -> None:
    sizes = sorted({one.size for one in learners})
    looks = _looks(learners)
    for number, (name, look) in enumerate(looks.items()):
        some = [one for one in learners if one.name == name]
        # Beside each other: half of them differ by less than a marker.
        aside = 0.09 * (number - (len(looks) - 1) / 2)
        x, y = [sizes.index(one.size) + aside for one in some], [100 * one.exact_match for one in some]
        spans = [(100 * min(one.exact_matches), 100 * max(one.exact_matches)) for one in some]
        ax.vlines(x, *zip(*spans, strict=True), color=look["color"], linewidth=1.2)
        ax.plot(x, y, linestyle="", markersize=6, label=name, **look)
    ax.set_xticks(range(len(sizes)), [f"n = {size}" for size in sizes])
    ax.set(ylabel="whole order right (%)", ylim=(0, 100), xlim=(-0.5, len(sizes) - 0.5))
    ax.set_title("groups of n held-out pictures (line: over seeds)", fontsize=10)
    ax.grid(axis="y", alpha=0.3)
    ax.legend(frameon=False, fontsize=8.5, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.spines[["top", "right"]].set_visible(False)


def _looks(learners: Sequence[Learner]) -> dict[str, dict[str, str]]:
    """Colours for the bridges and greys for the others, with markers of their own, by name."""
    names = dict.fromkeys(one.name for one in learners)
    bridges = dict.fromkeys(one.name for one in learners if one.is_bridge)
    pairs = [(bridges, COLOURS, MARKERS), ([name for name in names if name not in bridges], GREYS, GREY_MARKERS)]
    looks = {name: look for some, *looks in pairs for name, *look in zip(some, *looks, strict=False)}
    return {name: {"color": looks[name][0], "marker": looks[name][1]} for name in names}
