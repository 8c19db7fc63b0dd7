"""The trebuchet's pictures: by how much it misses, and one throw as a GIF: the machine slowly, then the flight."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._shared.motion import write_gif

SWING, FLIGHT, SHOWN = 0.012, 0.08, 0.04  # seconds of the throw that a frame stands for, and for which it is shown
REST = 25  # frames at the end


class Scene(NamedTuple):
    """One throw, frame by frame; positions in metres from the pivot, except that heights are from the ground."""

    time: Float[np.ndarray, " frames"]
    projectile: Float[np.ndarray, "frames 2"]
    tip: Float[np.ndarray, "frames 2"]  # of the long arm, where the sling is
    short: Float[np.ndarray, "frames 2"]
    weight: Float[np.ndarray, "frames 2"]
    pivot: Float[np.ndarray, " 2"]
    released: int  # the first frame of the flight


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
    arrow(ax, wind, (0.9, 0.88), 0.12)
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


def motion(path: Path, scene: Scene, *, target: float, wind: float, title: str, notes: Sequence[str]) -> None:
    """Above the machine, below the whole flight with the target."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), dpi=100)
    figure.text(0.03, 0.945, title, fontsize=12)
    clock = figure.text(0.97, 0.945, "", fontsize=12, ha="right", family="monospace")
    machine = _Machine(figure.add_axes((0.02, 0.44, 0.46, 0.49)), scene)
    landing = _write_settings(figure.add_axes((0.52, 0.45, 0.46, 0.45)), target, wind, scene, notes)
    flight = _Flight(figure.add_axes((0.07, 0.1, 0.9, 0.32)), scene, target)

    def change(number):
        # The last frames stand still, so that the landing can be read before the film begins again.
        number = min(number, len(scene.time) - 1)
        landing.set_visible(number == len(scene.time) - 1)  # not before the projectile is there
        machine.show(number)
        flight.show(number)
        clock.set_text(f"{scene.time[number]:.2f} s")

    write_gif(path, figure, change, len(scene.time) + REST, SHOWN)


def arrow(ax, wind: float, at: tuple[float, float], width: float) -> None:
    """The wind, in coordinates of the axes: `width` long at 10 m/s, and never so short that its head is all of it."""
    from matplotlib.patches import FancyArrowPatch

    if not wind:
        return
    long = width * np.sign(wind) * np.clip(abs(wind) / 10, 0.4, 1)
    ends = (at[0] - long / 2, at[1]), (at[0] + long / 2, at[1])
    ax.add_patch(
        FancyArrowPatch(
            *ends, transform=ax.transAxes, mutation_scale=16, color="tab:blue", linewidth=2, arrowstyle="-|>"
        )
    )


class _Machine:
    def __init__(self, ax, scene: Scene):
        self.scene = scene
        ax.set(xlim=(-3.2, 3.2), ylim=(-0.3, 4.9), aspect="equal", anchor="SW")
        ax.axis("off")
        ax.axhline(0, color="0.4", linewidth=1.5, zorder=0)
        x, y = scene.pivot
        ax.plot([x - 0.7, x, x + 0.7], [0, y, 0], color="0.6", linewidth=3, zorder=1)
        (self.arm,) = ax.plot([], [], color="0.15", linewidth=5, solid_capstyle="round", zorder=2)
        (self.sling,) = ax.plot([], [], color="0.4", linewidth=1.2, zorder=2)
        (self.hanger,) = ax.plot([], [], color="0.4", linewidth=1.5, zorder=1)
        (self.weight,) = ax.plot([], [], "s", color="0.45", markersize=21, zorder=3)
        (self.ball,) = ax.plot([], [], "o", color="tab:red", markersize=7, zorder=4)

    def show(self, number):
        s = self.scene
        ball, tip, short, weight = (x[number] for x in (s.projectile, s.tip, s.short, s.weight))
        self.arm.set_data(*_line(tip, short))
        self.hanger.set_data(*_line(short, weight))
        self.weight.set_data(*_line(weight))
        self.ball.set_data(*_line(ball))
        self.sling.set_data(*(_line(tip, ball) if number < s.released else ([], [])))


def _write_settings(ax, target: float, wind: float, scene: Scene, notes: Sequence[str]):
    """What the throw is asked for and how the machine is set; returns the text of where it lands."""
    ax.axis("off")
    landed = float(scene.projectile[-1, 0])
    lines = (f"wind {wind:+.1f} m/s", f"target {target:.2f} m", *notes, f"landed at {landed:.2f} m")
    texts = [ax.text(0.0, 0.92 - 0.17 * number, line, fontsize=11) for number, line in enumerate(lines)]
    arrow(ax, wind, (0.72, 0.95), 0.5)
    ax.text(0.72, 0.83, "wind", transform=ax.transAxes, ha="center", va="top", fontsize=9, color="tab:blue")
    return texts[-1]


class _Flight:
    def __init__(self, ax, scene: Scene, target: float):
        self.ax, self.scene = ax, scene
        farthest = max(target, float(scene.projectile[:, 0].max())) * 1.15
        highest = float(scene.projectile[:, 1].max())
        ax.set(xlim=(-6, farthest), ylim=(0, 1.25 * highest), xlabel="distance (m)")
        for side in ("top", "right", "left"):
            ax.spines[side].set_visible(False)
        ax.set_yticks([])
        ax.plot([target, target], [0, 0.18 * highest], color="0.1", linewidth=2)
        ax.plot(target, 0.18 * highest, ">", color="0.1", markersize=9)
        ax.annotate("target", (target, 0.18 * highest), (9, 0), textcoords="offset points", va="center", fontsize=9)
        ax.plot(scene.pivot[0], 0.03 * highest, "^", color="0.45", markersize=9)
        (self.path,) = ax.plot([], [], "--", color="0.55", linewidth=1.2)
        (self.ball,) = ax.plot([], [], "o", color="tab:red", markersize=6, clip_on=False)

    def show(self, number):
        ball = self.scene.projectile
        self.path.set_data(*ball[self.scene.released : number + 1].T)
        self.ball.set_data(*_line(ball[number]))


def _line(*points: np.ndarray) -> np.ndarray:
    """All x, all y."""
    return np.stack(points, axis=1)
