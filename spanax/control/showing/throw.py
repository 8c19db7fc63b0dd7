"""A trebuchet's drawing: the machine, what it is asked for and how it is set, and the whole flight with the target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from .canvas import Picture, new_figure, pixels

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


def scene(thrown: Any) -> Scene:
    """Of a `control.trebuchet.Throw` that lands."""
    rows = np.asarray(thrown.valid)
    known = np.asarray(thrown.times)[rows]
    release, landing = float(thrown.event_times[1]), float(thrown.event_times[2])
    # The swing takes a second and the flight many: two time scales, so that both can be followed.
    early, late = np.arange(0, release, SWING), np.append(np.arange(release, landing, FLIGHT), landing)
    times = np.append(early, late)
    # The machine's own coordinates begin at the pivot; pictures have the ground at 0.
    ground = np.array([0, -float(thrown.projectile[-1, 1])])

    def at(part) -> np.ndarray:
        return np.stack([np.interp(times, known, x) for x in np.asarray(part)[rows].T], axis=1) + ground

    return Scene(
        times,
        projectile=at(thrown.projectile),
        tip=at(thrown.arm_tip),
        short=at(thrown.arm_tail),
        weight=at(thrown.weight),
        pivot=ground,
        released=len(early),
    )


class ThrowDrawing:
    """The figure of one throw, which shows any of its moments."""

    def __init__(self, scene: Scene, *, target: float, wind: float, notes: Sequence[str]):
        self.scene, self.figure = scene, new_figure(6.4, 4.9)
        self.machine = _Machine(self.figure.add_axes((0.02, 0.45, 0.46, 0.53)), scene)
        self.landing = _write_settings(self.figure.add_axes((0.52, 0.49, 0.46, 0.48)), target, wind, scene, notes)
        self.flight = _Flight(self.figure.add_axes((0.07, 0.11, 0.9, 0.32)), scene, target)

    def at(self, number: int) -> Picture:
        last = len(self.scene.time) - 1
        # Not before the projectile is there.
        self.landing.set_visible(number == last)
        self.machine.show(number)
        self.flight.show(number)
        return pixels(self.figure)

    def film(self) -> Iterator[tuple[Picture, str]]:
        """All moments, with their times."""
        last = len(self.scene.time) - 1
        # The last frame stands still, so that the landing can be read before the film begins again.
        for number in [*range(last), *[last] * (REST + 1)]:
            yield self.at(number), f"{self.scene.time[number]:.2f} s"


def wind_arrow(ax, wind: float, at: tuple[float, float], width: float) -> None:
    """The wind, in coordinates of the axes: `width` long at 10 m/s, and never so short that its head is all of it."""
    from matplotlib.patches import FancyArrowPatch

    if not wind:
        return
    long = width * np.sign(wind) * np.clip(abs(wind) / 10, 0.4, 1)
    ends = (at[0] - long / 2, at[1]), (at[0] + long / 2, at[1])
    look = {"mutation_scale": 16, "color": "tab:blue", "linewidth": 2, "arrowstyle": "-|>"}
    ax.add_patch(FancyArrowPatch(*ends, transform=ax.transAxes, **look))


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

    def show(self, number: int) -> None:
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
    wind_arrow(ax, wind, (0.72, 0.95), 0.5)
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
        # Not clipped: where it lands, half of it is below the axis.
        (self.ball,) = ax.plot([], [], "o", color="tab:red", markersize=6, clip_on=False)

    def show(self, number: int) -> None:
        ball = self.scene.projectile
        self.path.set_data(*ball[self.scene.released : number + 1].T)
        self.ball.set_data(*_line(ball[number]))


def _line(*points: np.ndarray) -> np.ndarray:
    """All x, all y."""
    return np.stack(points, axis=1)
