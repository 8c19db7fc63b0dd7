"""The picture of the router: for each way its cosines, its accuracy, and the shares of the experts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .router_result import Way

SHADES = "tab:blue", "0.6"  # before training, and later


def picture(path: Path, ways: Sequence[Way]) -> Path:
    from matplotlib.figure import Figure

    by_k = {k: [way for way in ways if way.k == k] for k in sorted({way.k for way in ways})}
    figure = Figure(figsize=(10, 1.1 + 2.9 * len(by_k)), layout="constrained")
    # All begin at the same accuracy, so that the rows can be compared.
    worst = min(one.accuracy for way in ways for one in way.outcomes)
    for axes, (k, some) in zip(figure.subplots(len(by_k), 3, squeeze=False), by_k.items(), strict=True):
        _row(axes, k, some, worst)
    _entitle(figure, figure.axes[:3], figure.axes[-3:])
    figure.savefig(path, dpi=150)
    return path


def _row(axes, k: int, ways: Sequence[Way], worst: float) -> None:
    """Of one k: three pictures side by side, with a line for each way."""
    _cosines(axes[0], ways)
    _accuracies(axes[1], ways, worst)
    _shares(axes[2], ways)
    axes[0].set_ylabel(f"top-{k}", fontsize=12, fontweight="bold")
    for number, ax in enumerate(axes):
        ax.set_yticks(range(len(ways)), ["" if number else way.name for way in ways])
        ax.set_ylim(len(ways) - 0.5, -0.5)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9)


def _cosines(ax, ways: Sequence[Way]) -> None:
    for later, shade, marker in zip((False, True), SHADES, "os", strict=True):
        for of_the_mean, face in ((True, "white"), (False, shade)):
            values = [way.cosine(later=later, of_the_mean=of_the_mean) for way in ways]
            # A little above and below the middle of the row, so that neither hides the other.
            rows = np.arange(len(ways)) + (0.15 if later else -0.15)
            ax.plot(values, rows, marker, color=shade, markerfacecolor=face, markersize=6)
    ax.axvline(1, color="0.3", linewidth=0.8)
    ax.set_xlim(min(-0.05, ax.get_xlim()[0]), 1.05)
    ax.grid(alpha=0.3)


def _accuracies(ax, ways: Sequence[Way], worst: float) -> None:
    for row, way in enumerate(ways):
        ax.plot(
            [100 * one.accuracy for one in way.outcomes], [row] * len(way.outcomes), "o", color="tab:blue", alpha=0.5
        )
        ax.plot(100 * way.accuracy, row, "|", color="0", markersize=15, markeredgewidth=2)
        if way.name == "dense":
            ax.plot(100 * way.everyone, row, "D", color="tab:red", markerfacecolor="white")
            ax.annotate("all 8 experts", (100 * way.everyone, row), (0, 8), textcoords="offset points", ha="center",
                        fontsize=8, color="tab:red")  # fmt: skip
    ax.set_xlim(100 * worst - 4, 100)
    ax.grid(alpha=0.3)


def _shares(ax, ways: Sequence[Way]) -> None:
    for row, way in enumerate(ways):
        ends = 100 * np.cumsum([0.0, *way.shares])
        for number, (left, right) in enumerate(itertools.pairwise(ends)):
            shade = str(0.35 + 0.35 * (number % 2))  # neighbours are told apart by their shades
            ax.barh(row, right - left, left=left, height=0.6, color=shade, edgecolor="white", linewidth=0.8)
        ax.text(103, row, f"{way.entropy:.2f} bits", va="center", fontsize=8.5)
    ax.set_xlim(0, 128)
    ax.set_xticks([0, 25, 50, 75, 100])


def _entitle(figure, first, last) -> None:
    titles = "cosine with the exact gradient", "right on held-out digits", "images to each expert, entropy"
    units = "", "%", "% of images, the most used first"
    for ax, title in zip(first, titles, strict=True):
        ax.set_title(title, fontsize=10.5)
    for ax, unit in zip(last, units, strict=True):
        ax.set_xlabel(unit, fontsize=9)
    handles = [
        first[0].plot([], [], mark, color=shade, markerfacecolor=face, label=label)[0]
        for mark, shade, face, label in (
            ("o", SHADES[0], SHADES[0], "one gradient, before training"),
            ("o", SHADES[0], "white", "mean of 100"),
            ("s", SHADES[1], SHADES[1], "one gradient, after 100 steps"),
            ("s", SHADES[1], "white", "mean of 100"),
        )
    ]
    figure.legend(handles=handles, loc="outside lower left", ncols=4, frameon=False, fontsize=9)
