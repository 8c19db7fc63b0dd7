"""The picture of a descent: its objective and its parameters against the evaluations that they took."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..._errors import SpanaxError, installing
from ..._pytree import PyTree

_MOST = 12  # parameters that are drawn: more lines could not be told apart


def draw(path: Path, descent: Any, true: PyTree[Any] = None) -> None:
    try:
        # Not pyplot: it would open windows and keep the figure.
        from matplotlib.figure import Figure
    except ImportError as error:
        raise SpanaxError("a plot needs matplotlib", *installing("plots"), where="") from error
    history, names = descent.history, _names(descent.x)
    truth = None if true is None else _true(true, descent.x)
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 3))
    at = history["evaluations"]
    above.plot(at, history["value"], ".", color="0.7", markersize=3, label="one step")
    above.plot(at, history["smoothed"], "-", color="black", linewidth=1.5, label="without its noise")
    values = history["smoothed"]
    # Over several orders of magnitude a linear axis would show the first steps only.
    if len(values) and np.min(values) > 0 and np.max(values) > 30 * np.min(values):
        above.set_yscale("log")
    above.set(ylabel="objective", title=f"{descent.steps:,} steps, {descent.evaluations:,} evaluations")
    above.legend(frameon=False)
    rows = np.concatenate([np.reshape(leaf, (len(at), -1)) for leaf in jax.tree.leaves(history["x"])], axis=1)
    shown = _most_moved(rows)
    for i in shown:
        (line,) = below.plot(at, rows[:, i], "-", linewidth=1.2, label=names[i])
        if truth is not None:
            below.axhline(truth[i], color=line.get_color(), linestyle="--", linewidth=0.8)
    some = (
        f"parameters ({len(shown)} of {rows.shape[1]:,} that moved most)"
        if len(shown) < rows.shape[1]
        else "parameters"
    )
    below.set(xlabel="evaluations", ylabel=some)
    if len(shown) > 1 or names[0] != "x":
        below.legend(
            frameon=False, fontsize="small", ncols=1 + len(shown) // 7, loc="center left", bbox_to_anchor=(1, 0.5)
        )
    for ax in (above, below):
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _most_moved(rows: np.ndarray) -> list[int]:
    """The parameters to draw, in their order."""
    if rows.shape[1] <= _MOST or not len(rows):
        return list(range(rows.shape[1]))
    return sorted(np.argsort(-np.ptp(rows, axis=0), kind="stable")[:_MOST].tolist())


def _names(x: PyTree[Any]) -> list[str]:
    """One for each number: x[0], beta, rates[1]."""
    found = []
    for path, leaf in jax.tree_util.tree_leaves_with_path(x):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "x"
        found += [f"{name}[{','.join(map(str, i))}]" if np.ndim(leaf) else name for i in np.ndindex(np.shape(leaf))]
    return found


def _true(true: PyTree[Any], x: PyTree[Any]) -> np.ndarray:
    if jax.tree.map(np.shape, true) != jax.tree.map(np.shape, x):
        raise SpanaxError(
            "Descent.plot(true=...) has another structure than x", "the true parameters, of x's structure"
        )
    return np.concatenate([np.ravel(np.asarray(leaf, float)) for leaf in jax.tree.leaves(true)])
