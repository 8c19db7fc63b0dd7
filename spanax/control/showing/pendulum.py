"""The pendulum's drawing: the rod, and an arrow for the motor's torque."""

from __future__ import annotations

import math

import numpy as np

from .canvas import Picture, new_figure, pixels


def draw(angle: float, turn: float) -> Picture:
    """The rod at `angle` from upright, in rad against the clock; `turn`: the torque, in units of the strongest."""
    figure = new_figure(3.6, 3.5)
    # Not before: `new_figure` says what to install.
    from matplotlib.patches import FancyArrowPatch

    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.26, 1.26), aspect="equal")
    ax.axis("off")
    # Upright, where it shall stand.
    ax.plot(0, 1.0, "_", color="0.6", markersize=26, zorder=0)
    tip = -math.sin(angle), math.cos(angle)
    ax.plot([0, tip[0]], [0, tip[1]], "-", color="0.15", linewidth=11, solid_capstyle="round")
    ax.plot(0, 0, "o", color="white", markersize=5, zorder=3)
    if abs(turn) > 0.08:
        # Around the pivot, from the right (or the left) side over the top: a positive torque turns against the clock.
        start, end = (tuple(0.42 * np.array([np.sin(a), np.cos(a)])) for a in (1.2 * turn, -1.2 * turn))
        bend = f"arc3,rad={0.55 * turn}"
        look = {"mutation_scale": 18, "color": "tab:red", "linewidth": 2.5, "arrowstyle": "-|>", "zorder": 4}
        ax.add_patch(FancyArrowPatch(start, end, connectionstyle=bend, **look))
        # The name stands on the side of the pivot where the rod is not.
        y = 0.62 if tip[1] < 0 else -0.3
        ax.text(0, y, "torque", color="tab:red", fontsize=10, ha="center", va="center", zorder=5)
    return pixels(figure)
