"""The pictures of the VAE: its reconstructions, and what it learned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from jaxtyping import ArrayLike, Float

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = "os^DvXP*"  # beside the colours, so that the curves can be told apart without them
_GAP = 0.045  # of the height of the axes, between two names at the ends of curves


class Curve(NamedTuple):
    """Held-out ELBO by training steps, with standard errors; `biased`: does the bridge's gradient have another mean?"""

    steps: Sequence[int]
    elbos: Sequence[float]
    errors: Sequence[float]
    biased: bool


def reconstructions(
    path: Path, originals: Float[ArrayLike, "n 64"], rows: Mapping[str, Float[ArrayLike, "n 64"]]
) -> None:
    """The originals, and below them one row of 8x8 reconstructions for each name."""
    from matplotlib.figure import Figure

    named = {"original": originals, **rows}
    count = np.shape(originals)[0]
    figure = Figure(figsize=(1.6 + 0.62 * count, 0.62 * len(named) + 0.75), layout="constrained")
    grid = figure.subplots(len(named), count, squeeze=False)
    for axes, (name, images) in zip(grid, named.items(), strict=True):
        for ax, image in zip(axes, np.asarray(images), strict=True):
            ax.imshow(np.reshape(image, (8, 8)), cmap="gray_r", vmin=0, vmax=1)
            ax.set(xticks=[], yticks=[])
        axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=10)
    figure.suptitle("Held-out digits and their reconstructions from one draw of the latents", fontsize=11)
    figure.savefig(path, dpi=150)


def learning_curves(path: Path, curves: Mapping[str, Curve], images: int) -> None:
    """Held-out ELBO (over `images` images) against training steps, each curve with its name at its end.

    Solid with filled markers: the bridge is unbiased; dashed with open ones: it is biased, which its name says, too.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 5.4), layout="constrained")
    ax = figure.add_subplot()
    for index, curve in enumerate(curves.values()):
        _draw_curve(ax, curve, f"C{index}", MARKERS[index % len(MARKERS)])
    ax.set(xlabel="training steps", ylabel="held-out ELBO (nats)", title="VAE with 200 latents on 8x8 digits")
    ax.set_ylim(*_shown_elbos(list(curves.values())))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.margins(x=0.02)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    _name_at_the_end(ax, curves)
    note = (
        "Solid: unbiased. Dashed, open markers: biased. "
        f"Bands: ± one standard error over the {images:,} held-out images, which all curves share."
    )
    figure.supxlabel(note, fontsize=8.5, x=0.01, ha="left", color="0.25")
    figure.savefig(path, dpi=150)


def _draw_curve(ax: Axes, curve: Curve, colour: str, marker: str) -> None:
    steps, elbos, errors = (np.asarray(x, float) for x in (curve.steps, curve.elbos, curve.errors))
    # Faint: eight bands lie over each other.
    ax.fill_between(steps, elbos - errors, elbos + errors, color=colour, alpha=0.12, linewidth=0)
    dashes, face = ("--", "white") if curve.biased else ("-", colour)
    every = max(1, len(steps) // 8)
    (line,) = ax.plot(steps, elbos, dashes, color=colour, marker=marker, markevery=every, markersize=5.5, linewidth=1.6)
    line.set_markerfacecolor(face)


def _shown_elbos(curves: Sequence[Curve]) -> tuple[float, float]:
    """From a little above the best down to where the worst is after a tenth of its steps.

    The first steps gain tens of nats: drawn in full they would press all differences into one line.
    """
    finite = [np.asarray(curve.elbos, float)[np.isfinite(curve.elbos)] for curve in curves]
    best = max((float(x.max()) for x in finite if x.size), default=1.0)
    worst = min((float(x[len(x) // 10 :].min()) for x in finite if x.size), default=0.0)
    room = max(best - worst, 1.0)
    return worst - 0.05 * room, best + 0.08 * room


def _name_at_the_end(ax: Axes, curves: Mapping[str, Curve]) -> None:
    """The names to the right of the last points, moved apart where they would overlap."""
    low, high = ax.get_ylim()
    ends = {name: (float(curve.elbos[-1]) - low) / (high - low) for name, curve in curves.items()}
    # A curve that ends outside of the axes is named at their edge, one that is NaN at the bottom.
    ends = {name: float(np.clip(end, 0, 1)) if np.isfinite(end) else 0.0 for name, end in ends.items()}
    names = sorted(ends, key=lambda name: ends[name])
    heights = keep_apart([ends[name] for name in names], _GAP)
    for name, height in zip(names, heights, strict=True):
        curve, index = curves[name], list(curves).index(name)
        text = f"{name} (biased)" if curve.biased else name
        ax.annotate(
            text,
            xy=(curve.steps[-1], low + ends[name] * (high - low)),
            xytext=(1.03, height),
            xycoords="data",
            textcoords=ax.transAxes,
            color=f"C{index}",
            fontsize=9.5,
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": f"C{index}",
                "linewidth": 0.7,
                "shrinkA": 0,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
            annotation_clip=False,
        )


def keep_apart(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights, moved as little as it takes to be `gap` apart and at most 1.

    Least squares under an order, by pooling neighbours that touch (the pool-adjacent-violators algorithm).
    """
    pools: list[list[float]] = []  # each: the wanted heights of its first names, were they not moved apart
    for i, height in enumerate(heights):
        pools.append([height - i * gap])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    flat = [float(np.mean(pool)) for pool in pools for _ in pool]
    # Names at the top stay below the top of the axes, which is where the title is.
    return [min(height + i * gap, 1 - (len(flat) - 1 - i) * gap) for i, height in enumerate(flat)]
