"""The picture: returns on the real pendulum by what the policy was trained in, and where aimed throws land."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .stage import Stage


def picture(path: Path, stages: Sequence[Stage], misses: tuple[np.ndarray, np.ndarray] | None) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=(5, 4))
    _returns(above, stages)
    if misses is None:
        below.axis("off")
    else:
        _landings(below, *misses)
    figure.savefig(path, dpi=150)


def _returns(ax: Any, stages: Sequence[Stage]) -> None:
    names = [
        stage.simulator + (f" ({stage.episodes} real episode{'s' * (stage.episodes > 1)})" if stage.episodes else "")
        for stage in stages
    ]
    places, returns = np.arange(len(stages)), [stage.mean_return for stage in stages]
    ax.barh(places, returns, height=0.6, color=["0.75", *["0.45"] * (len(stages) - 2), "0.15"][: len(stages)])
    for place, earned in zip(places, returns, strict=True):
        ax.annotate(
            f"{earned:,.1f} ".replace("-", "\N{MINUS SIGN}"), (earned, place), ha="right", va="center", fontsize=10
        )
    ax.set(yticks=places, yticklabels=names, xlabel="mean return on the real pendulum, of 100 starts")
    ax.set_title("A policy trained in …", fontsize=11, loc="left")
    ax.invert_yaxis()
    # Room for the numbers at the bars' ends.
    ax.set_xlim(1.25 * min(returns), 0)
    ax.grid(alpha=0.3, axis="x")
    ax.set_axisbelow(True)


def _landings(ax: Any, before: np.ndarray, after: np.ndarray) -> None:
    rows = {"the coarse wind model": before, "the learned wind model": after}
    for place, miss in enumerate(rows.values()):
        ax.plot(miss, np.full(len(miss), place), "o", color="0.15", alpha=0.5, markersize=6)
        ax.annotate(
            f"{np.sqrt(np.mean(miss**2)):.2f} m (root mean square)",
            (0, place),
            (0, 14),
            textcoords="offset points",
            ha="center",
        )
    ax.axvline(0, color="0.5", linewidth=0.8, zorder=0)
    widest = 1.1 * np.abs(before).max()
    ax.set(
        yticks=[0, 1],
        yticklabels=list(rows),
        ylim=(1.5, -0.7),
        xlim=(-widest, widest),
        xlabel="metres beyond the target",
    )
    ax.set_title("Throws in a wind that grows with height, aimed by …", fontsize=11, loc="left")
    ax.grid(alpha=0.3, axis="x")
