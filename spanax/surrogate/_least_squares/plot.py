"""The picture of a fit: data, the fitted curve with its band, and the residuals below."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._errors import SpanaxError, installing

SUFFIXES = (".png", ".pdf", ".svg")
_DATA, _FIT = "#222222", "#1f6fb4"
_MANY = 60  # points: more are drawn smaller


def draw(fit: Any, path: str | Path, data: Any, at: Any, scale: Any, level: float) -> None:
    """See `Fit.plot`."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SpanaxError(f"a picture {str(path)!r}", *(f"{Path(path).stem}{suffix}" for suffix in SUFFIXES))
    n = len(fit.residuals)
    at = np.arange(n) if at is None else _numbers("at", at, n)
    scale = _numbers("scale", np.broadcast_to(scale, (n,)) if np.ndim(scale) == 0 else scale, n)
    data = None if data is None else _numbers("data", data, n)
    band = fit.band(level) * np.abs(scale)
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SpanaxError("a picture needs matplotlib", *installing("plots")) from error
    # matplotlib.figure without pyplot: no global state, no window, no backend of the user's is touched.
    figure = Figure(figsize=(7.0, 3.2 if data is None else 5.2), layout="constrained", facecolor="white")
    heights = [1.0] if data is None else [3.0, 1.2]
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    if data is not None:
        _draw_data(axes[0], at, data, data + scale * fit.residuals, band, level)
    _draw_residuals(axes[-1], fit, at)
    figure.savefig(path, dpi=150)


def _numbers(name: str, values: Any, n: int) -> np.ndarray:
    array = np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(values)])
    if array.shape != (n,):
        raise SpanaxError(f"Fit.plot({name}=...) has {array.size} numbers, and there are {n} residuals", f"{n} of them")
    return array


def _draw_data(ax: Any, at: np.ndarray, data: np.ndarray, curve: np.ndarray, band: np.ndarray, level: float) -> None:
    # A line and a band run from left to right, in whatever order the residuals are.
    order = np.argsort(at, kind="stable")
    size = 4 if len(at) <= _MANY else 2
    ax.plot(at, data, "o", color=_DATA, markersize=size, label="data", zorder=3)
    ax.plot(at[order], curve[order], color=_FIT, linewidth=1.5, label="fit")
    if np.all(np.isfinite(band)):
        low, high = (curve - band)[order], (curve + band)[order]
        ax.fill_between(at[order], low, high, color=_FIT, alpha=0.25, linewidth=0, label=f"{level:.0%} band of the fit")
    ax.legend(frameon=False, fontsize=9)
    _plain(ax)


def _draw_residuals(ax: Any, fit: Any, at: np.ndarray) -> None:
    size = 4 if len(at) <= _MANY else 2
    ax.axhline(0, color="#999999", linewidth=0.8)
    ax.plot(at, fit.residuals, "o", color=_DATA, markersize=size)
    ax.set_ylabel("residuals", fontsize=9)
    _plain(ax)


def _plain(ax: Any) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)
