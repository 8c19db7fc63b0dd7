"""The trebuchet's pictures: by how much it misses, and how it comes closer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from ...control.showing.throw import Scene, wind_arrow


def misses(
    path: Path,
    winds: Float[np.ndarray, " cases"],
    targets: Float[np.ndarray, " cases"],
    missed: Float[np.ndarray, " cases"],
) -> None:
    """A histogram of the misses (m), and each where its wind and target are."""
    from matplotlib.colors import LogNorm
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    # Below a millimetre the logarithmic axis would be about rounding.
    centimetres = np.maximum(100 * missed, 0.1)
    low, high = np.floor(np.log10(centimetres.min())), np.ceil(np.log10(centimetres.max()))
    left.hist(centimetres, bins=np.logspace(low, high, 40).tolist(), color="0.75", edgecolor="0.4", linewidth=0.5)
    lines = {"median": np.median(missed), "mean": np.mean(missed), "95%": np.percentile(missed, 95)}
    for (name, at), dashes in zip(lines.items(), ("-", "--", ":"), strict=True):
        left.axvline(float(100 * at), linestyle=dashes, color="0", label=f"{name}: {100 * at:,.1f} cm")
    left.set(xscale="log", xlabel="miss (cm)", ylabel="throws", title=f"{len(missed):,} targets in reach")
    left.xaxis.set_major_formatter("{x:,g}")
    left.yaxis.set_major_formatter("{x:,.0f}")
    # Below the axes: inside, it would cover bars of one run or another.
    figure.legend(loc="outside lower left", ncols=3, frameon=False, handlelength=2.5)
    # Without the extremes, which would take up most of the greys.
    norm = LogNorm(*np.percentile(centimetres, (2, 98)))
    dots = right.scatter(
        winds, targets, c=centimetres, cmap="gray_r", norm=norm, s=22, edgecolors="0.4", linewidths=0.4
    )
    right.set(xlabel="wind (m/s)", ylabel="target (m)", title="Where it misses")
    figure.colorbar(dots, ax=right, label="miss (cm)", format="{x:,g}", extend="both")
    figure.savefig(path, dpi=150)


def approach(path: Path, scenes: Sequence[Scene], labels: Sequence[str], *, target: float, wind: float) -> None:
    """The flights of several throws, the later the darker, the last one drawn boldly."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 4.6), layout="constrained")
    ax = figure.add_subplot()
    dashes = ("--", ":", "-.")
    for number, (scene, label) in enumerate(zip(scenes, labels, strict=True)):
        last = number == len(scenes) - 1
        # From light to black: order is seen without reading the legend.
        grey = 0.65 * (1 - number / max(1, len(scenes) - 1))
        look = "-" if last else dashes[number % 3]
        ax.plot(
            *scene.projectile[scene.released :].T, look, color=str(grey), linewidth=2.2 if last else 1.4, label=label
        )
    highest = max(float(scene.projectile[:, 1].max()) for scene in scenes)
    ax.plot([target, target], [0, 0.1 * highest], color="0", linewidth=2)
    ax.plot(target, 0.1 * highest, ">", color="0", markersize=9)
    ax.axhline(0, color="0.4", linewidth=1)
    wind_arrow(ax, wind, (0.9, 0.88), 0.12)
    ax.text(0.9, 0.92, f"wind {wind:+.1f} m/s", transform=ax.transAxes, ha="center")
    # To the right of the flag, and with room there: the flights come down on its left.
    ax.annotate("target", (target, 0.1 * highest), (9, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_xlim(right=1.12 * max(target, *(float(scene.projectile[:, 0].max()) for scene in scenes)))
    title = f"Aiming at {target:g} m by the gradient"
    ax.set(ylim=(0, 1.3 * highest), xlabel="distance (m)", ylabel="height (m)", title=title)
    # Beside the axes: the flights take all of the room inside.
    ax.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1), title="throw: angle, weight, distance", fontsize=9, frameon=False
    )
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=150)
