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

    figure: Any = Figure(figsize=(12, 8.4), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.22), wspace=0.03)
    first, third = left.subfigures(2, 1, height_ratios=(0.62, 1))
    second, fourth, fifth = right.subfigures(3, 1, height_ratios=(1, 0.75, 0.95))
    by_name = {one.name: one.test_accuracy for one in learnt}
    best = max(by_name, key=by_name.__getitem__)
    _answers(first, f"1. Before: {by_name['no bridge']:.0%} right, which is chance", pairs, before)
    _report(second, "2. find_gaps says which line", report)
    _plane(third, "3. compare says which bridge is right", comparison)
    _answers(fourth, f"4. After, with the {best}: {by_name[best]:.0%} right", pairs, after)
    _curves(fifth.subplots(), learnt)
    figure.savefig(path, dpi=100)
    return path


def _title(panel: Any, text: str) -> None:
    panel.suptitle(text, fontsize=12, x=0.02, ha="left", weight="bold")


def _answers(panel: Any, title: str, pairs: Pairs, network: Any) -> None:
    """Pairs with the bits that are the likelier ones, and whether the answer is right."""
    images = pairs.images[:SHOWN]
    bits = np.asarray(chances(network, images)) > 0.5
    _title(panel, title)
    axes = panel.subplots(SHOWN // 4, 4)
    for axis, pair, bit, differ in zip(axes.ravel(), images, bits, pairs.differ, strict=False):
        axis.imshow(
            np.asarray(pair).reshape(2, 8, 8).swapaxes(0, 1).reshape(8, 16), cmap="gray_r", interpolation="nearest"
        )
        axis.axvline(7.5, color="0.6", linewidth=0.8)
        axis.set(xticks=[], yticks=[])
        answer = bit[0] != bit[1]
        right = answer == bool(differ)
        text = f"{int(bit[0])}{int(bit[1])}: {'differ' if answer else 'alike'} {'✓' if right else '✗'}"
        axis.set_xlabel(text, fontsize=10, color=RIGHT if right else WRONG)


def _report(panel: Any, title: str, report: gaps.GapReport) -> None:
    _title(panel, title)
    axis = panel.subplots()
    axis.set_axis_off()
    text = report.to_text(80)
    axis.text(0.0, 1.0, text, family="monospace", fontsize=8, va="top", transform=axis.transAxes, parse_math=False)


def _plane(panel: Any, title: str, comparison: judge.Comparison) -> None:
    """Bias, with its 95% interval, against the noise of one gradient, both as shares of the true one."""
    _title(panel, title)
    axis, norm = panel.subplots(), comparison.truth.norm
    heights = [math.sqrt(row.variance) / norm for row in comparison.rows]
    for row, noise in zip(comparison.rows, heights, strict=True):
        low, middle, high = (max(x, 0.0) / norm for x in (row.bias.low, row.bias.estimate, row.bias.high))
        biased = row.verdict == "biased"
        colour, marker = (WRONG, "s") if biased else (RIGHT, "o")
        whiskers = [[middle - low], [high - middle]]
        axis.errorbar([middle], [noise], xerr=whiskers, fmt=marker, color=colour, markersize=8, capsize=4)
        # Beside the marker, on the side where there is room: the biased one stands on the right.
        text = f"{row.label}\n{row.verdict}" + (f": {middle:.0%}" if biased else f" (< {high:.0%})")
        place = {"xytext": (-10 if biased else 10, -14), "ha": "right" if biased else "left"}
        axis.annotate(text, (middle, noise), textcoords="offset points", va="top", color=colour, **place)
    axis.axvline(0, color="0.3", linewidth=0.8)
    axis.set(xlabel="bias, as a share of the true gradient", ylabel="noise of one gradient, in the same unit")
    axis.margins(x=0.08)
    axis.set_ylim(0, 1.25 * max(heights))


def _curves(axis: Axes, learnt: Sequence[Learnt]) -> None:
    for one in learnt:
        steps, right = zip(*one.curve, strict=True)
        colour, style = LINES[one.name]
        axis.plot(steps, 100 * np.asarray(right), color=colour, linestyle=style, linewidth=2, label=one.name)
    axis.axhline(50, color="0.8", linewidth=0.8, zorder=0)
    axis.set(xlabel="training steps", ylabel="right, in %", ylim=(40, 100))
    axis.legend(fontsize=9, frameon=False, loc="center right")
