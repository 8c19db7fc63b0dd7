"""The picture of a surrogate: values, changes, and slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import SpanaxError, installing
from ..surrogate_report import SurrogateReport
from .fitted import Fitted
from .judging import changes_of

_SUFFIXES = (".png", ".pdf", ".svg")
_SLICES, _OUTPUTS, _FINE = 6, 4, 201


def draw(path: Path, fitted: Fitted, report: SurrogateReport) -> None:
    """Raises `SpanaxError` for another suffix, without matplotlib, and where it cannot be written."""
    if path.suffix.lower() not in _SUFFIXES:
        raise SpanaxError(f"a picture {str(path)!r}", *(f"{path.stem}{suffix}" for suffix in _SUFFIXES))
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SpanaxError("a picture needs matplotlib", *installing("plots")) from error
    slices = min(fitted.space.size, _SLICES)
    below = -(-slices // 3)
    # matplotlib.figure without pyplot: no global state, no window.
    figure = Figure(figsize=(9, 4.4 + 2.7 * below), layout="constrained", facecolor="white")
    figure.suptitle(f"Surrogate of {fitted.name}: {report.evaluations} evaluations", fontsize=11)
    upper, lower = figure.subfigures(2, 1, height_ratios=[4, 2.7 * below])
    values, changes = upper.subplots(1, 2)
    # Of many results, some: those spread evenly over them.
    outputs = np.flatnonzero(~fitted.scale.constant)
    shown = outputs[np.unique(np.linspace(0, len(outputs) - 1, _OUTPUTS).astype(int))]
    _values(values, fitted, report, shown)
    _changes(changes, fitted, report, shown)
    axes = lower.subplots(below, min(slices, 3), squeeze=False, sharey=True).ravel()
    for i, axis in enumerate(axes):
        if i < slices:
            _slice(axis, fitted, report, i, shown)
        else:
            axis.set_axis_off()
    axes[0].set_ylabel("z" if len(shown) > 1 else "y", fontsize=9)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        problem = f"the picture cannot be written to {str(path)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error


def _values(axis: Any, fitted: Fitted, report: SurrogateReport, shown: np.ndarray) -> None:
    held = fitted.data.where(fitted.data.held)
    truth, predicted = fitted.scale.z(held.Y), fitted.predict(held.U)
    for color, j in enumerate(shown):
        text = f"{fitted.form.names[j]}: R² {report.r2[j]:.3f}"
        axis.scatter(truth[:, j], predicted[:, j], s=14, color=f"C{color}", alpha=0.7, label=text, linewidths=0)
    _diagonal(axis)
    axis.set(xlabel="fn, at held-out points", ylabel="surrogate", title="Values, in standard deviations")
    _tidy(axis)


def _changes(axis: Any, fitted: Fitted, report: SurrogateReport, shown: np.ndarray) -> None:
    if len(fitted.evidence.probes):
        predicted, measured, _ = changes_of(fitted, fitted.evidence.probes)
        for color, j in enumerate(shown):
            axis.scatter(measured[:, j], predicted[:, j], s=14, color=f"C{color}", alpha=0.7, linewidths=0)
    # Without an entry of its own the legend would have no place for the cosine.
    label = f"cosine {report.cosine:.3f} ± {report.cosine_error:.3f}"
    axis.plot([], [], " ", label=label)
    _diagonal(axis)
    what = "probes" if report.probed else "differences between points of the table"
    axis.set(xlabel=f"fn, by {what}", ylabel="surrogate's gradient", title="Changes along random directions")
    _tidy(axis)


def _slice(axis: Any, fitted: Fitted, report: SurrogateReport, i: int, shown: np.ndarray) -> None:
    """Along one number of x through the middle of the box."""
    U = np.zeros((_FINE, fitted.space.size))
    U[:, i] = np.linspace(-1, 1, _FINE)
    along, members = fitted.space.numbers(U)[:, i], fitted.members(U)
    mean = np.mean(members, axis=1)
    spread = np.std(members, axis=1, ddof=1) if members.shape[1] > 1 else np.zeros_like(mean)
    # One result is drawn in its own units; several have only their standard deviations in common.
    own = len(shown) == 1
    for color, j in enumerate(shown):
        scale, shift = (fitted.scale.sd[j], fitted.scale.mean[j]) if own else (1.0, 0.0)
        middle, band = shift + scale * mean[:, j], 2 * scale * spread[:, j]
        axis.fill_between(along, middle - band, middle + band, color=f"C{color}", alpha=0.25, linewidth=0)
        axis.plot(along, middle, color=f"C{color}", linewidth=1.3)
        if fitted.space.size == 1:
            y = shift + scale * fitted.scale.z(fitted.data.Y)[:, j]
            axis.scatter(fitted.space.numbers(fitted.data.U)[:, 0], y, s=5, color="0.3", linewidths=0)
    axis.set_xlabel(fitted.space.names[i], fontsize=9)
    axis.tick_params(labelsize=8)


def _diagonal(axis: Any) -> None:
    low, high = min(axis.get_xlim()[0], axis.get_ylim()[0]), max(axis.get_xlim()[1], axis.get_ylim()[1])
    axis.plot([low, high], [low, high], color="0.6", linewidth=0.8, zorder=0)


def _tidy(axis: Any) -> None:
    axis.title.set_fontsize(10)
    axis.tick_params(labelsize=8)
    axis.legend(fontsize=8, frameon=False, loc="upper left")
