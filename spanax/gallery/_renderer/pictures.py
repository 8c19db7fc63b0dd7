"""The pictures of the fits: target, start and ends side by side with their errors on the way, and the fits as a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ...control.showing.canvas import drawn
from ...control.showing.film import write_gif
from .fits import TARGET, Fit
from .raster import Rasteriser

LOOKS = (("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"))  # told apart without colours, too
FRAMES, REST, SHOWN = 40, 10, 0.15  # frames of the fit, at its end, and seconds of each


def strip(path: Path, rasterise: Rasteriser, target: np.ndarray, start: Any, fits: Sequence[Fit]) -> None:
    """The images in a row, and below them the error of each fit against its evaluations."""
    from matplotlib.figure import Figure

    first = rasterise(start)
    images = {"target": target, f"start: {_error(first, target):.1f}": first}
    images |= {f"{fit.name}: {fit.errors[-1]:.2f}": rasterise(_at(fit, -1)) for fit in fits}
    figure = Figure(figsize=(2.0 * len(images), 5.6), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=(2.3, 3.3))
    top, bottom = halves
    for ax, (title, image) in zip(top.subplots(1, len(images)), images.items(), strict=True):
        _show(ax, image, title)
    _curves(bottom.add_subplot(), fits)
    figure.savefig(path, dpi=120)


def _curves(ax, fits: Sequence[Fit]) -> None:
    for number, (fit, (dashes, marker)) in enumerate(zip(fits, LOOKS, strict=False)):
        # An error of 0 has no place on a logarithmic axis: it is drawn at the bottom.
        errors = np.maximum(fit.errors, 0.05)
        look = {"marker": marker, "markersize": 4, "markevery": max(1, len(errors) // 8), "color": f"C{number}"}
        ax.plot(fit.evaluations, errors, dashes, label=fit.name, **look)
    ax.axhline(TARGET, color="0.5", linewidth=1)
    ax.text(1, TARGET, f"{TARGET:g} ", transform=ax.get_yaxis_transform(), ha="right", va="bottom", color="0.4")
    ax.set(
        xscale="log",
        yscale="log",
        xlabel="evaluations of the renderer or its derivative",
        ylabel="error (levels of 255)",
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter("{x:,g}")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, handlelength=3.5)


def motion(path: Path, rasterise: Rasteriser, target: np.ndarray, fits: Sequence[Fit]) -> None:
    """The target and the fits at the same step, with their errors."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.75 * (len(fits) + 1), 2.25), dpi=100)
    axes = figure.subplots(1, len(fits) + 1)
    figure.subplots_adjust(0.01, 0.02, 0.99, 0.8, 0.05)
    _show(axes[0], target, "target")
    shown = [_show(ax, target, fit.name) for ax, fit in zip(axes[1:], fits, strict=True)]
    notes = [ax.text(0.5, 1.04, "", transform=ax.transAxes, ha="center", fontsize=9) for ax in axes[1:]]
    axes[0].set_title("target", fontsize=10, pad=14)
    for ax, fit in zip(axes[1:], fits, strict=True):
        ax.set_title(fit.name, fontsize=10, pad=14)
    longest = max(len(fit.errors) for fit in fits)
    # More frames at the beginning, where most happens.
    steps = np.round(np.linspace(0, 1, FRAMES) ** 1.5 * (longest - 1)).astype(int)

    def change(number: int) -> None:
        step = steps[min(number, FRAMES - 1)]
        for fit, picture, note in zip(fits, shown, notes, strict=True):
            at = min(step, len(fit.errors) - 1)
            picture.set_data(_rows(rasterise(_at(fit, at))))
            note.set_text(f"{fit.evaluations[at]:,} renders, error {fit.errors[at]:.1f}")

    write_gif(path, drawn(figure, change, FRAMES + REST), SHOWN)


def _show(ax, image: np.ndarray, title: str):
    ax.set(xticks=[], yticks=[])
    ax.set_title(title, fontsize=10)
    # Pixels as they are: interpolated, hard edges would look soft.
    return ax.imshow(_rows(image), interpolation="nearest")


def _rows(image: np.ndarray) -> np.ndarray:
    """Channels last, as matplotlib wants them."""
    return np.moveaxis(image, 0, -1)


def _at(fit: Fit, step: int) -> Any:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[step], fit.scenes)


def _error(image: np.ndarray, target: np.ndarray) -> float:
    return float(np.abs(image.astype(np.float32) - target).mean())
