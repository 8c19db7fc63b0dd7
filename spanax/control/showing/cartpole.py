"""The cart's drawing: the cart on its rail, its pole, and an arrow for the push."""

from __future__ import annotations

import math

from .canvas import Picture, new_figure, pixels


def draw(x: float, angle: float, push: float, long: float, side: float) -> Picture:
    """The cart at `x` m, its pole at `angle` rad from upright, `long` m; `push`: -1 to 1; `side`: where the rail ends."""
    figure = new_figure(5.4, 2.5)
    # Not before: `new_figure` says what to install.
    from matplotlib.patches import FancyArrowPatch, Rectangle

    ax = figure.add_axes((0.01, 0.01, 0.98, 0.98))
    # Room for a cart that has just left the rail; an unstable one may be anywhere.
    ax.set(xlim=(-side - 0.5, side + 0.5), ylim=(-0.65, long + 0.85), aspect="equal")
    ax.axis("off")
    ax.axhline(0, color="0.4", linewidth=1.5, zorder=0)
    for edge in (-side, side):
        ax.plot([edge, edge], [-0.12, 0.12], color="0.4", linewidth=1.5)
    ax.add_patch(Rectangle((x - 0.3, -0.15), 0.6, 0.3, color="0.15", zorder=2))
    tip = x + long * math.sin(angle), 0.08 + long * math.cos(angle)
    ax.plot([x, tip[0]], [0.08, tip[1]], "-", color="0.55", linewidth=8, solid_capstyle="round", zorder=3)
    ax.plot([x], [0.08], "o", color="white", markersize=4, zorder=4)
    # A shorter arrow would be all head.
    if abs(push) > 0.1:
        ends = (x, -0.35), (x + 0.9 * push, -0.35)
        look = {"mutation_scale": 14, "color": "tab:red", "linewidth": 2, "arrowstyle": "-|>"}
        ax.add_patch(FancyArrowPatch(*ends, **look))
        ax.text(x, -0.55, "push", color="tab:red", fontsize=10, ha="center", va="center")
    return pixels(figure)
