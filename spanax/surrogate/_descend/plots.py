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
    truth = None if true is None else _true(true, descent.x)
    figure = Figure(figsize=(7, 6.5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(f"{descent.steps:,} steps, {descent.evaluations:,} evaluations")
    _draw_values(above, descent.history)
    _draw_parameters(below, descent, truth)
    for ax in (above, below):
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=150)


def _draw_values(ax: Any, history: dict[str, Any]) -> None:
    at, level = history["evaluations"], history["smoothed"]
    ax.plot(at, history["value"], ".", color="0.7", markersize=3, label="one step")
    ax.plot(at, level, "-", color="black", linewidth=1.5, label="without its noise")
    # Over several orders of magnitude a linear axis would show the first steps only.
    if len(level) and 0 < 30 * np.min(level) < np.max(level):
        ax.set_yscale("log")
    ax.set(ylabel="objective")
    ax.legend(frameon=False)


def _draw_parameters(ax: Any, descent: Any, truth: np.ndarray | None) -> None:
    at, names = descent.history["evaluations"], _names(descent.x)
    rows = np.concatenate([np.reshape(v, (len(at), -1)) for v in jax.tree.leaves(descent.history["x"])], axis=1)
    shown = _most_moved(rows)
    for i in shown:
        (line,) = ax.plot(at, rows[:, i], "-", linewidth=1.2, label=names[i])
        if truth is not None:
            ax.axhline(truth[i], color=line.get_color(), linestyle="--", linewidth=0.8)
    some = f" ({len(shown)} of {len(names):,} that moved most)" if len(shown) < len(names) else ""
    ax.set(xlabel="evaluations", ylabel="parameters" + some)
    # Beside the lines: among twelve of them there is no room for it.
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1, 0.5))


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
