"""A trajectory's picture: observations, actions and rewards against steps."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from ..._errors import SpanaxError
from .canvas import new_figure, refuse_traced

NAMED = 8  # components that are told apart by a legend
LINES = 24  # and those that are drawn as lines: more are an image
DASHES = ("-", "--", "-.", ":")


def plot_trajectory(trajectory: Any, path: Path) -> None:
    refuse_traced(trajectory, trajectory)
    rewards = np.asarray(trajectory.rewards, float)
    if rewards.ndim != 1:
        raise SpanaxError(
            f"a plot shows one episode, and these rewards have shape {list(rewards.shape)}",
            "one of a batch: jax.tree.map(lambda x: x[0], trajectory).plot(path)",
        )
    figure = new_figure(8, 7)
    _check_kind(figure, path)
    figure.set_layout_engine("constrained")
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    steps = int(np.sum(trajectory.alive))
    _draw(above, _columns(trajectory.observations), "observation")
    _draw(middle, _columns(trajectory.actions), "action", drawstyle="steps-post")
    below.plot(rewards, "-", color="0.6", linewidth=1, label="reward")
    # On an axis of its own: a return is many times a reward.
    total = below.twinx()
    total.plot(np.cumsum(rewards), "--", color="0", linewidth=1.2)
    total.set_ylabel("return so far (dashed)")
    below.set(xlabel="step", ylabel="reward")
    above.set_title(f"return {rewards.sum():,.4g} in {steps:,} steps{_end(trajectory, steps)}")
    for ax in (above, middle, below):
        ax.grid(alpha=0.3)
        # After its end an episode stands still: it is shown, but greyed.
        if steps < len(rewards):
            ax.axvspan(steps, len(rewards) - 1, color="0.85", zorder=0)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        problem = f"the plot cannot be written to {str(path)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "a folder that exists, is writable, and has room") from error


def _check_kind(figure: Any, path: Path) -> None:
    kinds = figure.canvas.get_supported_filetypes()
    # Without an ending it is a PNG.
    if path.suffix and path.suffix[1:].lower() not in kinds:
        raise SpanaxError(f"plot(path={str(path)!r})", "a path that ends in .png, .pdf or .svg", "or without an ending")


def _columns(x: Any) -> np.ndarray:
    """One column for each component."""
    x = np.asarray(x, float)
    # Not -1: of no steps it is any number.
    return x.reshape(len(x), math.prod(x.shape[1:]))


def _draw(ax: Any, columns: np.ndarray, name: str, **look: Any) -> None:
    count = columns.shape[1]
    ax.set_ylabel(name)
    if count > LINES:
        ax.imshow(columns.T, aspect="auto", origin="lower", interpolation="nearest", cmap="gray")
        ax.set_ylabel(f"{name}, component")
        return
    for number, column in enumerate(columns.T):
        label = f"{name}[{number}]" if count > 1 else name
        # By dashes too, so that lines are told apart without colours.
        ax.plot(column, DASHES[number // 10 % 4 if count > 4 else number], linewidth=1.2, label=label, **look)
    if 1 < count <= NAMED:
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _end(trajectory: Any, steps: int) -> str:
    """How the episode ended, where that is known."""
    for name in ("terminated", "truncated"):
        ends = getattr(trajectory, name, None)
        if ends is not None and steps and bool(np.asarray(ends)[steps - 1]):
            return f", {name}"
    return ""
