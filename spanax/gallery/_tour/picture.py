"""The whole story in one picture: before, the report, the plane, after."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .digits import Pairs
from .training import Learnt, chances

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ... import gaps, judge

SHOWN = 8  # pairs
RIGHT, WRONG = "#0072b2", "#d55e00"  # told apart by those who do not see red or green
LINES = {"no bridge": ("0.45", ":"), "straight-through": (WRONG, "--"), "score function": (RIGHT, "-")}


def picture(
    path: Path,
    pairs: Pairs,
    before: Any,
    after: Any,
    report: gaps.GapReport,
    comparison: judge.Comparison,
    learnt: Sequence[Learnt],
) -> Path:
    """Writes the PNG and returns its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    grid = figure.add_gridspec(2, 2, width_ratios=(1, 1.1))
    by_name = {one.name: one.test_accuracy for one in learnt}
    best = max(by_name, key=by_name.__getitem__)
    _answers(figure, grid[0, 0], f"1. Before: {by_name['no bridge']:.0%} right, which is chance", pairs, before)
    _report(figure.add_subplot(grid[0, 1]), report)
    _plane(figure.add_subplot(grid[1, 0]), comparison)
    below = grid[1, 1].subgridspec(2, 1, height_ratios=(1, 1.1))
    _answers(figure, below[0], f"4. After, by the {best}: {by_name[best]:.0%} right", pairs, after)
    _curves(figure.add_subplot(below[1]), learnt)
    figure.savefig(path, dpi=100)
    return path


def _answers(figure: Any, place: Any, title: str, pairs: Pairs, network: Any) -> None:
    """Pairs with the bits that are the likelier ones, and whether the answer is right."""
    images = pairs.images[:SHOWN]
    bits = np.asarray(chances(network, images)) > 0.5
    panel = figure.add_subfigure(place)
    panel.suptitle(title, fontsize=12, x=0.02, ha="left", weight="bold")
    axes = panel.subplots(SHOWN // 4, 4)
    for axis, pair, bit, differ in zip(axes.ravel(), images, bits, pairs.differ, strict=False):
        axis.imshow(np.hstack(np.asarray(pair).reshape(2, 8, 8)), cmap="gray_r", interpolation="nearest")
        axis.axvline(7.5, color="0.6", linewidth=0.8)
        axis.set(xticks=[], yticks=[])
        answer = bit[0] != bit[1]
        right = answer == bool(differ)
        text = f"{int(bit[0])}{int(bit[1])}: {'differ' if answer else 'alike'} {'✓' if right else '✗'}"
        axis.set_xlabel(text, fontsize=10, color=RIGHT if right else WRONG)


def _report(axis: Axes, report: gaps.GapReport) -> None:
    axis.set_axis_off()
    axis.set_title("2. find_gaps says the line", loc="left", fontsize=12, weight="bold")
    text = report.to_text(66)
    axis.text(0.0, 0.97, text, family="monospace", fontsize=8, va="top", transform=axis.transAxes, parse_math=False)


def _plane(axis: Axes, comparison: judge.Comparison) -> None:
    """Bias, with its 95% interval, against the noise of one gradient, both as shares of the true one."""
    axis.set_title("3. compare says which is right", loc="left", fontsize=12, weight="bold")
    norm = comparison.truth.norm
    for row in comparison.rows:
        low, middle, high = (max(x, 0.0) / norm for x in (row.bias.low, row.bias.estimate, row.bias.high))
        noise = math.sqrt(row.variance) / norm
        colour = WRONG if row.verdict == "biased" else RIGHT
        axis.errorbar(
            [middle], [noise], xerr=[[middle - low], [high - middle]], fmt="s" if row.verdict == "biased" else "o",
            color=colour, markersize=8, capsize=4,
        )  # fmt: skip
        axis.annotate(
            f"{row.label}\n{row.verdict}", (middle, noise), xytext=(0, 12), textcoords="offset points", color=colour,
            ha="left" if middle < 1 else "center",
        )  # fmt: skip
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set(xlabel="bias: share of the true gradient", ylabel="noise of one gradient, same unit", ylim=(0, None))
    axis.margins(x=0.25, y=0.35)
    axis.autoscale(axis="y")
    axis.set_ylim(bottom=0)


def _curves(axis: Axes, learnt: Sequence[Learnt]) -> None:
    for one in learnt:
        steps, right = zip(*one.curve, strict=True)
        colour, style = LINES[one.name]
        axis.plot(steps, 100 * np.asarray(right), color=colour, linestyle=style, linewidth=2, label=one.name)
    axis.axhline(50, color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="training steps", ylabel="right, in %", ylim=(40, 100))
    axis.legend(fontsize=9, frameon=False)
