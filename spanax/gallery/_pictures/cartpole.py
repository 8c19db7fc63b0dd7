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
    played = jax.jit(lambda state: control.rollout(env, policy, state, STEPS))(jnp.array(START))
    # Pushes are all or nothing: their mean is what moves the cart.
    pushes = np.convolve(2 * np.asarray(played.actions) - 1, np.full(SMOOTHED, 1 / SMOOTHED), "same")
    smoothed = played._replace(actions=(pushes + 1) / 2)
    control.animate(env, smoothed, path, title="CartPole by BPTT", every=EVERY)
