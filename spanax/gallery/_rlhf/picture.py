"""The picture of the audit: for each loss its scale, what is off across it, its noise, and its cosine with the exact gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from .result import LossRow

# Okabe and Ito's colours, which the colour-blind tell apart; the marks say the same.
KINDS = {"": ("#0072B2", "o"), "scale": ("#E69F00", "s"), "across": ("#D55E00", "D"), "undecided": ("0.5", "x")}
LABELS = {
    "": "no bias found",
    "scale": "biased in scale only",
    "across": "biased across as well",
    "undecided": "undecided",
}


def picture(path: Path, rows: Sequence[LossRow], group: int) -> Path:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 1.6 + 0.27 * (len(rows) + 1)), layout="constrained")
    axes = figure.subplots(1, 4, sharey=True)
    places = _places(rows)
    _dots(axes[0], rows, places, lambda row: (row.scale, row.scale_error))
    axes[0].axvline(1, color="0.3", linewidth=0.8)
    axes[0].axvline(1 - 1 / group, color="0.3", linewidth=0.8, linestyle=":")
    _dots(axes[1], rows, places, lambda row: (100 * row.across, 100 * row.across_error))
    axes[1].set_xlim(left=-1)
    _dots(axes[2], rows, places, lambda row: (row.noise, 0.0))
    axes[2].set_xlim(left=0)
    _dots(axes[3], rows, places, lambda row: (row.cosine, 0.0))
    axes[3].axvline(0, color="0.3", linewidth=0.8)
    _entitle(figure, axes, rows, places)
    figure.savefig(path, dpi=120)
    return path


def _places(rows: Sequence[LossRow]) -> list[float]:
    """From the top down, with a gap between the worlds."""
    first = rows[0].world
    return [number + (1.0 if row.world != first else 0.0) for number, row in enumerate(rows)]


def _dots(
    ax, rows: Sequence[LossRow], places: Sequence[float], value: Callable[[LossRow], tuple[float, float]]
) -> None:
    for row, place in zip(rows, places, strict=True):
        x, error = value(row)
        shade, mark = KINDS[row.biased_in]
        # Three standard errors: what does not reach the line is significant.
        ax.errorbar(x, place, xerr=3 * error or None, fmt=mark, color=shade, markersize=5.5, elinewidth=1.5)
    ax.grid(alpha=0.3)


def _entitle(figure, axes, rows: Sequence[LossRow], places: Sequence[float]) -> None:
    titles = (
        ("scale of the mean gradient", "1: that of the exact one; dotted: 7/8"),
        ("bias at the right scale", "% of the exact gradient"),
        ("noise at the right scale", "variance, of |exact|²"),
        ("cosine of one gradient", "with the exact one"),
    )
    for ax, (title, unit) in zip(axes, titles, strict=True):
        ax.set_title(title, fontsize=10.5)
        ax.set_xlabel(unit, fontsize=9)
        ax.spines[["top", "right"]].set_visible(False)
        ax.tick_params(labelsize=9)
    names = [row.loss if row.world == rows[0].world else f"{row.world}: {row.loss}" for row in rows]
    axes[0].set_yticks(places, names)
    axes[0].set_ylim(places[-1] + 0.7, -0.7)
    shown = [kind for kind in KINDS if any(row.biased_in == kind for row in rows)]
    handles = [
        axes[0].plot([], [], mark, color=shade, label=LABELS[kind])[0]
        for kind, (shade, mark) in KINDS.items()
        if kind in shown
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, frameon=False, fontsize=9)
