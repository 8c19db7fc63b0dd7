"""Histograms of single gradients: a row for each candidate, a column for each coordinate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from .labels import plain, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

BINS = 41
_BAR = {"facecolor": "0.8", "edgecolor": "black", "linewidth": 0.6}
_BAND = {"facecolor": "0.4", "edgecolor": "none", "alpha": 0.4}
_Z = 1.96  # standard errors
_TRUTH = {"color": "black", "linewidth": 1.2, "linestyle": "--"}


def draw_histograms(figure: SubFigure, histograms: Mapping[str, Any], labels: Sequence[str]) -> None:
    """The draws of the named candidates; the dashed line is the truth, the band its 95% interval, the triangle their mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    # One range for each column: what is compared stands below each other.
    names, truth = histograms["coordinates"], np.asarray(histograms["truth"], np.float64)
    errors = np.asarray(histograms["standard_errors"], np.float64)
    draws = [np.asarray(histograms["draws"][label], np.float64) for label in labels]
    grid = figure.subplots(len(labels), len(names), squeeze=False, sharex="col")
    for j, name in enumerate(names):
        ends = shown_range([d[:, j] for d in draws], truth[j])
        grid[-1, j].set_xlabel(plain(shorten(name, 30)), fontsize=8)
        for ax, values in zip(grid[:, j], draws, strict=True):
            if errors[j]:
                ax.axvspan(truth[j] - _Z * errors[j], truth[j] + _Z * errors[j], **_BAND, zorder=2)
            _histogram(ax, values[:, j], truth[j], ends)
    # The number is that of the plane above.
    for number, (row, label) in enumerate(zip(grid, labels, strict=True), 1):
        row[0].set_title(f"{number}  {plain(shorten(label, 100))}", loc="left", fontsize=7.5, pad=2)
    told: dict[str, Artist] = {"truth": Line2D([], [], **_TRUTH)}
    if np.any(errors):
        told["its own 95% interval"] = Patch(**_BAND)
    told["mean of these draws"] = Line2D([], [], linestyle="", marker="^", color="black", markersize=5)
    place = {"loc": "outside upper right", "fontsize": 7.5, "frameon": False}
    figure.legend(list(told.values()), list(told), **place, ncols=len(told))


def shown_range(draws: Sequence[Float[np.ndarray, " n"]], truth: float) -> tuple[float, float]:
    """A range around the truth that suits the middle one of the candidates that vary.

    The same for all candidates, so that they can be compared; the largest would make all others spikes.
    """
    widths = [_reach(d[np.isfinite(d)], truth) for d in draws]
    # Exact candidates have no width, and would shrink the range to nothing.
    widths = [width for width in widths if width > 0]
    width = float(np.median(widths)) if widths else max(abs(truth), 1.0)
    width = max(width, 1e-6 * abs(truth))
    return truth - 1.2 * width, truth + 1.2 * width


def _reach(draws: Float[np.ndarray, " n"], truth: float) -> float:
    return float(np.max(np.abs(np.quantile(draws, [0.01, 0.99]) - truth))) if draws.size else 0.0


def _histogram(ax: Axes, draws: Float[np.ndarray, " n"], truth: float, ends: tuple[float, float]) -> None:
    # The range is shared; what lies outside of it is counted, not drawn at the edge, where it would look like a peak.
    finite = draws[np.isfinite(draws)]
    inside = finite[(finite >= ends[0]) & (finite <= ends[1])]
    counts, _, _ = ax.hist(inside, bins=BINS, range=ends, histtype="stepfilled", **_BAR)
    ax.axvline(truth, **_TRUTH)
    if finite.size and ends[0] <= finite.mean() <= ends[1]:
        ax.plot([finite.mean()], [0.0], marker="^", color="black", markersize=5, clip_on=False, zorder=5)
    ax.set(xlim=ends, ylim=(0, 1.35 * max(1.0, float(np.max(counts)))), yticks=[])
    ax.locator_params("x", nbins=4)
    ax.tick_params(labelsize=7)
    ax.spines[["left", "right", "top"]].set_visible(False)
    told = [
        _share(len(finite) - len(inside), len(draws), "outside"),
        _share(len(draws) - len(finite), len(draws), "not finite"),
    ]
    ax.text(0.99, 0.95, "\n".join(filter(None, told)), transform=ax.transAxes, fontsize=6.5, ha="right", va="top")


def _share(count: int, total: int, what: str) -> str:
    return f"{max(1.0, 100 * count / total):.0f}% {what}" if count > 0.005 * total else ""
