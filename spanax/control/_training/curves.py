"""The picture of a training: the returns of its episodes, and the norms of its gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float, Int

from ..._errors import SpanaxError, installing


def draw(
    path: Path,
    title: str,
    steps: Int[np.ndarray, " updates"],
    returns: Float[np.ndarray, " updates"],
    norms: Float[np.ndarray, " updates"],
) -> None:
    try:
        # Not pyplot: it would open windows and keep the figure.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SpanaxError("a plot needs matplotlib", *installing("plots"), where="") from error
    figure = Figure(figsize=(7, 5.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    # An update may end without the end of an episode: it has no return.
    ended = np.isfinite(returns)
    above.plot(steps[ended], returns[ended], ".", color="0.7", markersize=3, label="one update")
    at, mean = smooth(steps[ended], returns[ended])
    above.plot(at, mean, "-", color="black", linewidth=1.5, label="mean of the updates around it")
    above.set(ylabel="return of an episode", title=title)
    above.legend(frameon=False)
    # A logarithmic axis has no place for 0.
    positive = norms > 0
    below.semilogy(steps[positive], norms[positive], "-", color="0.3", linewidth=0.8)
    below.set(xlabel="steps of the environment", ylabel="gradient norm")
    for ax in (above, below):
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def smooth(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of both over a window of a twentieth of the points."""
    width = max(1, len(y) // 20)
    if len(y) < width or not len(y):
        return x, y
    # Both coordinates by the same window, so that the mean stays where its points are.
    kernel = np.full(width, 1 / width)
    return np.convolve(x, kernel, "valid"), np.convolve(y, kernel, "valid")
