"""The picture of a calibration: data, fit and bands, and every method's intervals beside the truth."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from .curve import Curve, counts
from .method import Method
from .outbreak import LOCKDOWN, REOPENING, WEEKS

TITLES = "fell ill in a week", "ill, mean of a week's days"
NAMES = {
    "open": "contacts before\nthe lockdown",
    "lockdown": "contacts\nduring it",
    "reopened": "contacts\nafter it",
    "illness": "days of\nillness",
    "start": "exposed at\nthe start",
}
MARKS = (("o", "0"), ("s", "0.45"), ("D", "white"))  # told apart without colour


def picture(
    path: Path,
    data: Curve,
    fitted: Float[np.ndarray, "runs 28"],
    methods: Sequence[Method],
) -> None:
    """`fitted`: epidemics with the parameters of the first method."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7.2), layout="constrained")
    grid = figure.add_gridspec(2, 10, height_ratios=(5, 4))
    for number, title in enumerate(TITLES):
        part = slice(number * WEEKS, (number + 1) * WEEKS)
        ax = figure.add_subplot(grid[0, 5 * number : 5 * number + 5])
        _curve(ax, data[part], fitted[:, part], title, methods[0].name)
    for number, name in enumerate(NAMES):
        _intervals(figure.add_subplot(grid[1, 2 * number : 2 * number + 2]), name, methods)
    figure.suptitle("One epidemic of 3,000 people, calibrated", fontsize=12)
    handles = [
        figure.axes[-1].plot([], [], mark, color="0", markerfacecolor=face, label=one.name)[0]
        for one, (mark, face) in zip(methods, MARKS, strict=False)
    ]
    handles.append(figure.axes[-1].plot([], [], "--", color="tab:red", label="truth")[0])
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    figure.savefig(path, dpi=150)


def _curve(ax, data: np.ndarray, fitted: np.ndarray, title: str, name: str) -> None:
    weeks = np.arange(1, len(data) + 1)
    # In people again. Percentiles are the same whether they are taken before or after; the middle is the mean of the roots.
    lower, upper = (counts(end) for end in np.percentile(fitted, [2.5, 97.5], axis=0))
    ax.axvspan(LOCKDOWN / 7 + 0.5, REOPENING / 7 + 0.5, color="0.93", zorder=0)
    ax.fill_between(weeks, lower, upper, color="tab:blue", alpha=0.25, linewidth=0, label="95% of epidemics like it")
    ax.plot(weeks, counts(fitted.mean(axis=0)), color="tab:blue", label=f"fit by {name}")
    ax.plot(weeks, counts(data), "o", color="0", markersize=4, label="data")
    ax.set(xlabel="week", ylabel="people", title=title, ylim=(0, None))
    ax.text(0.5 * (LOCKDOWN + REOPENING) / 7 + 0.5, 0.985, "lockdown", ha="center", va="top", fontsize=8, color="0.4",
            transform=ax.get_xaxis_transform())  # fmt: skip
    ax.legend(frameon=False, fontsize=8, loc="upper right")
    ax.grid(alpha=0.3)


def _intervals(ax, name: str, methods: Sequence[Method]) -> None:
    ax.axhline(methods[0].parameters[name].truth, linestyle="--", color="tab:red", linewidth=1, zorder=0)
    for number, (one, (mark, face)) in enumerate(zip(methods, MARKS, strict=False)):
        found = one.parameters[name]
        ends = [[found.value - found.lower], [found.upper - found.value]]
        ax.errorbar(number, found.value, ends, fmt=mark, color="0", markerfacecolor=face, capsize=3, markersize=5)
    ax.set(xticks=[], xlim=(-0.6, len(methods) - 0.4), title=NAMES[name])
    ax.title.set_fontsize(9)
    ax.tick_params(labelsize=8)
    ax.grid(alpha=0.3, axis="y")
