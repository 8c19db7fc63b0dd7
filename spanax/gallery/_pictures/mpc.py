"""The planner's pictures: its swing with the plans drawn ahead, and how it learns a mass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...control.showing.canvas import drawn
from ...control.showing.film import write_gif


def picture(path: Path, played: Any, other: np.ndarray, masses: tuple[float, ...], true_mass: float, dt: float) -> None:
    """The swing from hanging, with every fifth plan ahead of it, beside that of a trained policy; below, torque and mass."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(6, 5))
    figure.suptitle("Pendulum by model predictive control, from hanging still", fontsize=12)
    top, left, right = figure.add_subplot(grid[0, :]), figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    angles, torques = np.degrees(played.states[:, 0]), played.torques[:, 0]
    seconds = np.arange(len(angles)) * dt
    for number in range(0, len(angles), 5):
        ahead = np.degrees(played.plans[number])
        label = "plans, 1.5 s ahead" if number == 0 else None
        top.plot(
            seconds[number] + dt * np.arange(len(ahead)), ahead, "-", color="tab:red", alpha=0.35, lw=1, label=label
        )
    top.plot(seconds, angles, "-", color="0", linewidth=2, label="what happened")
    top.plot(seconds, np.degrees(other), "--", color="0.55", linewidth=1.5, label="policy by BPTT")
    top.set(
        xlabel="time (s)",
        ylabel="angle from upright (°)",
        xlim=(0, seconds[-1]),
        yticks=_half_turns(angles, np.degrees(other)),
    )
    top.legend(loc="upper right", frameon=False, fontsize=9)
    left.step(seconds, torques, where="post", color="0", linewidth=1.5)
    left.set(xlabel="time (s)", ylabel="torque (N m)", title="Torque")
    right.axhline(true_mass, color="0.6", linestyle="--", label="of the controller that is watched")
    right.plot(range(len(masses)), masses, "o-", color="tab:red", label="of the model, through the plans' derivative")
    right.set(xlabel="round", ylabel="mass (kg)", title="A mass learnt from actions", xticks=range(len(masses)))
    right.legend(loc="lower right", frameon=False, fontsize=9)
    for ax in (top, left, right):
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _half_turns(*angles: np.ndarray) -> range:
    # Whole half turns, so that the lines of upright lie on ticks.
    lowest, highest = (180 * round(edge(np.concatenate(angles)) / 180) for edge in (np.min, np.max))
    return range(lowest, highest + 1, 90)


def motion(path: Path, played: Any, env: Any) -> None:
    """The rod, and where the plan will take its end, as a line that fades ahead."""
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6, 3.9), dpi=100)
    ax = figure.add_axes((0.02, 0.02, 0.96, 0.88))
    ax.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
    ax.axis("off")
    figure.text(0.05, 0.93, "Pendulum by MPC", fontsize=12)
    clock = figure.text(0.95, 0.93, "", fontsize=12, ha="right", family="monospace")
    ax.plot(0, 1.0, "_", color="0.6", markersize=26, zorder=0)
    (rod,) = ax.plot([], [], "-", color="0.15", linewidth=11, solid_capstyle="round")
    ax.plot(0, 0, "o", color="white", markersize=5, zorder=3)
    ahead = LineCollection([], linewidths=3, zorder=2)
    ax.add_collection(ahead)
    ax.text(-1.3, -1.28, "the plan", color="tab:red", fontsize=10)

    def change(number):
        angle = played.states[number, 0]
        rod.set_data([0, -np.sin(angle)], [0, np.cos(angle)])
        # A little beyond the rod's end, and further out with time, so that turns there and back can be told apart.
        plan = played.plans[number]
        radius = np.linspace(1.06, 1.25, len(plan))
        ends = np.stack([-radius * np.sin(plan), radius * np.cos(plan)], axis=1)
        ahead.set_segments(list(np.stack([ends[:-1], ends[1:]], axis=1)))
        ahead.set_color([(0.84, 0.15, 0.16, a) for a in np.linspace(1, 0.15, len(ends) - 1)])
        clock.set_text(f"{number * env.dt:.1f} s")

    write_gif(path, drawn(figure, change, len(played.states)), env.dt)
