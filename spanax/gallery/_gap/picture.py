"""Both networks drawn, with arrows back along each path as thick as its gradient, and how far each bridge is off."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .network import Network

COLOURS = {"blue": "#0072b2", "red": "#d55e00"}  # told apart by those who do not see red or green
# Where the parts of the network stand.
WEIGHTS, LOSS, MIDDLE = (0.0, 0.0), (4.0, 0.0), {"blue": (2.0, 1.0), "red": (2.0, -1.0)}
NAMES = {"blue": "tanh", "red": "draw"}
THICKEST = 14.0  # points


def picture(path: Path, networks: Sequence[Network]) -> Path:
    """Writes the PNG and returns its path."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.9 * len(networks)), layout="constrained")
    axes = figure.subplots(len(networks), 3, squeeze=False, width_ratios=(1, 1, 1.15))
    largest = max(max(one.exact.values()) for one in networks)
    for (left, middle, right), one in zip(axes, networks, strict=True):
        _network(left, f"{one.name}: the exact gradient", one.exact, one.exact, largest)
        _network(middle, f"what jax.grad returns: {_seen(one)}", one.autodiff, one.exact, largest)
        _bridges(right, one)
    figure.savefig(path, dpi=100)
    return path


def _seen(one: Network) -> str:
    return "zero" if not any(one.autodiff.values()) else f"cosine {one.cosine:.2f} with the exact one"


def _network(axis: Axes, title: str, sizes: dict[str, float], exact: dict[str, float], largest: float) -> None:
    axis.set(xlim=(-0.8, 4.8), ylim=(-2.0, 2.0))
    axis.set_axis_off()
    axis.set_title(title, loc="left", fontsize=11)
    for path, there in exact.items():
        # A path without a gradient of its own is not part of this network.
        if there:
            _path(axis, path, sizes[path], largest)
    for text, place in (("weights", WEIGHTS), ("loss", LOSS)):
        _node(axis, text, place, "black")


def _path(axis: Axes, path: str, size: float, largest: float) -> None:
    colour, middle = COLOURS[path], MIDDLE[path]
    _node(axis, NAMES[path], middle, colour)
    # Forward thin and grey; back as thick as what comes back.
    for start, end in ((WEIGHTS, middle), (middle, LOSS)):
        axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": "0.75", "shrinkA": 24, "shrinkB": 24})
    sign = np.sign(middle[1])
    for start, end in ((LOSS, middle), (middle, WEIGHTS)):
        shift = 0.28 * sign
        ends = [(x, y + shift) for x, y in (start, end)]
        if size:
            width = max(THICKEST * size / largest, 1.0)
            arrow = {
                "width": width,
                "headwidth": width + 8,
                "headlength": 9,
                "color": colour,
                "shrink": 0.22,
                "linewidth": 0,
            }
        else:
            arrow = {"arrowstyle": "->", "linestyle": ":", "color": colour, "shrinkA": 24, "shrinkB": 24}
        axis.annotate("", ends[1], ends[0], arrowprops=arrow)
    text = f"{path}: {size:.1f}" if size else f"{path}: nothing comes back"
    axis.text(
        middle[0], middle[1] + 0.62 * sign, text, ha="center", va="center", color=colour, fontsize=11, weight="bold"
    )


def _node(axis: Axes, text: str, place: tuple[float, float], colour: str) -> None:
    box: dict[str, Any] = {"boxstyle": "round,pad=0.35", "facecolor": "white", "edgecolor": colour, "linewidth": 1.5}
    axis.text(*place, text, ha="center", va="center", fontsize=10, bbox=box, zorder=5)


def _bridges(axis: Axes, one: Network) -> None:
    """The bias of each bridge and of none, and the noise of one gradient, all as shares of the exact gradient."""
    names = ["no bridge", *(crossing.name.replace("temperature=", "") for crossing in one.crossings)]
    # What may be noise is not shown as a bias.
    bias = [one.missing, *(crossing.red_bias * (crossing.verdict == "biased") for crossing in one.crossings)]
    noise = [0.0, *(crossing.noise for crossing in one.crossings)]
    y = np.arange(len(names))[::-1]
    colours = [COLOURS["red"], *(COLOURS["red" if c.verdict == "biased" else "blue"] for c in one.crossings)]
    axis.barh(y, 100 * np.array(bias), color=colours, height=0.6)
    for at, b, n, colour in zip(y, bias, noise, colours, strict=True):
        text = f"{b:.0%}" if b else "no bias found"
        axis.text(100 * b, at, f" {text}; noise {n:.1f}", va="center", fontsize=9, color=colour)
    axis.set_yticks(y, names, fontsize=9)
    axis.set_xlabel("bias along the red path, in % of the whole gradient")
    axis.set_title("with each bridge", loc="left", fontsize=11)
    axis.set_xlim(0, 150 * max(bias))
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
