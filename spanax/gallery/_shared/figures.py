"""The gallery's pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import ArrayLike, Float

# Line style and marker both differ, so that the curves can be told apart without colour.
STYLES = [("-", "o"), ("--", "s"), ("-.", "^"), (":", "D"), ("-", "v"), ("--", "X"), ("-.", "P"), (":", "*")]


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


def learning_curves(path: Path, curves: Mapping[str, Sequence[tuple[int, float]]]) -> None:
    """Held-out ELBO against training steps, one line for each name, listed from the best to the worst."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained")
    ax = figure.add_subplot()
    lines = {}
    for index, (name, curve) in enumerate(curves.items()):
        dashes, marker = STYLES[index % len(STYLES)]
        steps, elbos = zip(*curve, strict=True)
        every = max(1, len(steps) // 8)
        (lines[name],) = ax.plot(steps, elbos, dashes, color=f"C{index}", marker=marker, markevery=every, markersize=6)
    ranked = sorted(curves, key=lambda name: curves[name][-1][1], reverse=True)
    ax.set(xlabel="training steps", ylabel="held-out ELBO (nats)", title="VAE with 200 latents on 8x8 digits")
    ax.grid(alpha=0.3)
    handles = [lines[name] for name in ranked]
    ax.legend(handles, ranked, loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, handlelength=4)
    figure.savefig(path, dpi=150)
