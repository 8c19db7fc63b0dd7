"""The cart's pictures: what each way of training needed, and a pole that is balanced, as a GIF."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from ... import control
from ...control.rollout import Policy
from .._shared.judging import Judgement
from .._shared.motion import write_gif
from ..trained import Training

START = (0.9, 0.0, 0.08, 0.0)  # off the middle and leaning outwards, so that there is something to see
STEPS, EVERY = 400, 2  # steps shown, and how many of them a frame stands for
SMOOTHED = 9  # steps of which the arrow shows the mean push: single ones change sides all the time
LOOKS = (("s", "0", "0"), ("o", "0.55", "white"))  # marker, line and face: told apart without colour


def picture(path: Path, learners: Sequence[tuple[Training, Judgement]]) -> None:
    """Returns against episodes, on a logarithmic axis, and at the right end of each line what its policy was judged to earn."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    ax = figure.add_subplot()
    for (training, judgement), (marker, colour, face) in zip(learners, LOOKS, strict=False):
        # All of a batch end in the same update: it is one episode, or a policy gradient's.
        curve = [(training.batch * (i + 1), earned) for i, (_, earned) in enumerate(training.curve)]
        mean = f"mean of {training.batch} episodes" if training.batch > 1 else "each episode"
        label = f"{training.name}, {mean}; then judged (★): {judgement.mean:.0f}"
        # The judged return stands at the end of the line: training and judging play by different rules.
        at, earned = zip(*curve, (max(training.episodes, 1), judgement.mean), strict=True)
        ax.plot(at, earned, "-", marker=marker, color=colour, markerfacecolor=face, markersize=5, label=label)
        ax.plot(at[-1], earned[-1], "*", color=colour, markersize=16, zorder=3)
    ax.axhline(475, linestyle="--", color="0.4", linewidth=1)
    ax.text(0.3, 470, "475: solved", va="top", fontsize=9, color="0.3", transform=ax.get_yaxis_transform())
    ax.set(
        xscale="log",
        ylim=(0, 520),
        xlabel="episodes",
        ylabel="return of an episode (steps)",
        title="CartPole: through the simulator, and with a black box",
    )
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.grid(alpha=0.3)
    figure.legend(loc="outside lower center", frameon=False)
    figure.savefig(path, dpi=150)


def motion(path: Path, env: control.CartPole, policy: Policy) -> None:
    """The cart, its pole, and an arrow for the mean push, from a start away from the middle."""
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyArrowPatch, Rectangle

    played = jax.jit(lambda state: control.rollout(env, policy, state, STEPS))(jnp.array(START))
    places, angles = np.asarray(played.states[:, 0])[::EVERY], np.asarray(played.states[:, 2])[::EVERY]
    # Pushes are all or nothing: their mean is what moves the cart.
    pushes = np.convolve(2 * np.asarray(played.actions) - 1, np.full(SMOOTHED, 1 / SMOOTHED), "same")[::EVERY]
    alive = np.asarray(played.alive)[::EVERY]
    long, side = 2 * float(env.length), float(env.x_threshold)
    figure = Figure(figsize=(5.4, 2.9), dpi=100)
    ax = figure.add_axes((0.01, 0.01, 0.98, 0.86))
    ax.set(xlim=(-2.9, 2.9), ylim=(-0.65, long + 0.85), aspect="equal")
    ax.axis("off")
    figure.text(0.04, 0.91, "CartPole by BPTT", fontsize=12)
    clock = figure.text(0.96, 0.91, "", fontsize=12, ha="right", family="monospace")
    ax.axhline(0, color="0.4", linewidth=1.5, zorder=0)
    for edge in (-side, side):
        ax.plot([edge, edge], [-0.12, 0.12], color="0.4", linewidth=1.5)
    cart = Rectangle((0, -0.15), 0.6, 0.3, color="0.15", zorder=2)
    ax.add_patch(cart)
    (pole,) = ax.plot([], [], "-", color="0.55", linewidth=8, solid_capstyle="round", zorder=3)
    (axle,) = ax.plot([], [], "o", color="white", markersize=4, zorder=4)
    arrow = FancyArrowPatch((0, 0), (0, 0), mutation_scale=14, color="tab:red", linewidth=2, arrowstyle="-|>")
    ax.add_patch(arrow)
    name = ax.text(0, -0.5, "mean push", color="tab:red", fontsize=10, ha="center", va="center")

    def change(number):
        x, angle, push = float(places[number]), float(angles[number]), float(pushes[number])
        cart.set_x(x - 0.3)
        pole.set_data([x, x + long * np.sin(angle)], [0.08, 0.08 + long * np.cos(angle)])
        axle.set_data([x], [0.08])
        arrow.set_visible(abs(push) > 0.1 and bool(alive[number]))
        name.set_x(x)
        arrow.set_positions((x, -0.35), (x + 0.9 * push, -0.35))
        clock.set_text(f"{number * EVERY * env.tau:.1f} s" if alive[number] else "fallen")

    write_gif(path, figure, change, len(places), EVERY * float(env.tau))
