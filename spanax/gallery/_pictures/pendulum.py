"""The pendulum's pictures: what it learned, how it swings from several starts, and one swing as a GIF."""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np

from ... import control
from ...control.rollout import Policy
from ..trained import Training

STEPS = 120  # of the 200 of an episode: it stands long before
DEGREES = (180, 135, 90, -60, -150)  # from upright
LOOKS = (("-", "0"), ("--", "0"), ("-", "0.55"), (":", "0"), ("-.", "0.35"))


def picture(path: Path, env: control.Pendulum, policy: Policy, training: Training, horizon: int, title: str) -> None:
    """The learning curve, and below it angles and torques of an episode from each of five starts at rest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 7), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(5, 6))
    figure.suptitle(title, fontsize=12)
    _curve(figure.add_subplot(grid[0, :]), training, horizon)
    angles, torques = _swings(env, policy, np.radians(DEGREES))
    seconds = np.arange(STEPS) * env.dt
    left, right = figure.add_subplot(grid[1, 0]), figure.add_subplot(grid[1, 1])
    for angle, torque, degrees, (dashes, colour) in zip(angles, torques, DEGREES, LOOKS, strict=True):
        left.plot(seconds, np.degrees(angle), dashes, color=colour, linewidth=1.5)
        right.plot(
            seconds,
            torque,
            dashes,
            color=colour,
            linewidth=1.5,
            label=f"from {degrees}°".replace("-", "\N{MINUS SIGN}"),
        )
    # Whole half turns, so that the lines of upright lie on ticks.
    lowest, highest = (180 * round(edge(np.degrees(angles)) / 180) for edge in (np.min, np.max))
    left.set(
        xlabel="time (s)", ylabel="angle from upright (°)", title="Swinging up", yticks=range(lowest, highest + 1, 90)
    )
    for upright in range(360 * (lowest // 360), highest + 1, 360):
        if lowest <= upright <= highest:
            left.axhspan(upright - 6, upright + 6, color="0.85", zorder=0)
    right.set(xlabel="time (s)", ylabel="torque (N m)", title=f"Torque, at most {env.max_torque:g} N m")
    # Below both: inside one it would cover its curves.
    names = right.get_legend_handles_labels()
    figure.legend(*names, loc="outside lower center", ncols=len(DEGREES), handlelength=3, fontsize=9, frameon=False)
    for ax in (left, right):
        ax.grid(alpha=0.3)
        ax.margins(x=0.01)
    figure.savefig(path, dpi=150)


def _curve(ax, training: Training, horizon: int) -> None:
    if training.curve:
        steps, returns = (np.array(column) for column in zip(*training.curve, strict=True))
        label = f"first {horizon} steps, mean of {training.batch} episodes"
        ax.plot(steps, returns, "o", color="0.7", markersize=3, label=label)
        # Over 15 updates: single ones differ by the luck of their starts.
        kernel = np.full(min(15, len(steps)), 1 / min(15, len(steps)))
        ax.plot(*(np.convolve(x, kernel, "valid") for x in (steps, returns)), "-", color="0", label="moving mean")
    ax.set(xlabel="steps of the environment", ylabel=f"return of {horizon} steps")
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.3)
    # Above the axes: where there is room inside depends on how the training went.
    ax.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, frameon=False, fontsize=9)


def motion(path: Path, env: control.Pendulum, policy: Policy) -> None:
    """The rod from hanging still, with an arrow for the motor's torque."""
    start = np.array([np.radians(179.0), 0.0], np.float32)
    swing = jax.jit(lambda state: control.rollout(env, policy, state, STEPS))(start)
    control.animate(env, swing, path, title="Pendulum by BPTT")


def _swings(env: control.Pendulum, policy: Policy, angles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Angles and torques, (starts, STEPS), from rest at each of `angles`."""
    states = np.stack([angles, np.zeros_like(angles)], axis=1).astype(np.float32)
    played = jax.jit(jax.vmap(lambda state: control.rollout(env, policy, state, STEPS)))(states)
    return np.asarray(played.states[..., 0]), np.asarray(played.actions[..., 0])
