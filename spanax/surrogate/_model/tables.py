"""A fit to what a store has: nothing is evaluated, and the check makes do with points that were not trained on."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from jaxtyping import Key

from ..._checks import check_whole
from ..._errors import SpanaxError
from ...blackbox import Store
from ...blackbox.discover import structure_of
from .arguments import check_module
from .data import Data
from .fitted import Evidence, Fitted, fit
from .plan import held_out
from .probing import neighbours
from .source import Form
from .space import Space

_LEAST = 40
_HOW = "sx.fit_surrogate(fn, bounds, store=store, ...), which knows the form of its results"


def from_table(store: Store, space: Space, most: int | None, key: Key, model: Any) -> Fitted:
    """Trained on the values of the store that lie between the bounds."""
    layout = _layout(store, space)
    form, table = _form(layout), store.table(layout=layout)
    if most is not None:
        check_whole("fit_surrogate(evaluations", most, 1)
    check_module(model, space.size, form.size)
    U, Y, outside = _points(table, layout, space, most)
    if len(U) < _LEAST + 5 * space.size:
        raise SpanaxError(
            f"{len(U)} points of the store lie between the bounds ({outside} do not): too few to fit a surrogate of "
            f"{space.size} numbers and to check it",
            f"{_LEAST + 5 * space.size} points, or more",
            "wider bounds",
        )
    held = _held_out(U)
    noise = _noise(U, Y)
    evidence = Evidence(neighbours(U, Y, held), (), noise, len(U), 0, False)
    return fit(layout.name, space, form, Data.of(U, Y, held), evidence, model, key)


def _layout(store: Store, space: Space) -> Any:
    values = [layout for layout in store.layouts if layout.kind == "value"]
    wanted = dict(zip(_paths(space), space.shapes, strict=True))
    # Of any precision: a table of float32 is as good as one of float64.
    fitting = [each for each in values if {path: shape for path, _, shape in each.inputs} == wanted]
    if len(fitting) != 1:
        listed = "".join(f"\n  {each}" for each in values) or " nothing"
        raise SpanaxError(
            f"{len(fitting)} tables of the store have x of the form {wanted}; it holds{listed}",
            "bounds of the structure and shapes of its x",
            _HOW,
        )
    return fitting[0]


def _paths(space: Space) -> list[str]:
    """What the leaves of x are called in a store."""
    leaves = jax.tree_util.tree_leaves_with_path(jax.tree.unflatten(space.tree, range(len(space.shapes))))
    return [f"x{jax.tree_util.keystr(path)}" for path, _ in leaves]


def _form(layout: Any) -> Form:
    out = structure_of(layout)
    if out is None:
        raise SpanaxError(f"the store does not tell lists from tuples: {layout}", _HOW)
    return Form.of(out)


def _points(
    table: dict[str, np.ndarray], layout: Any, space: Space, most: int | None
) -> tuple[np.ndarray, np.ndarray, int]:
    n = len(table["replicate"])
    columns = {path: table[path].reshape(n, -1).astype(np.float64) for path, *_ in (*layout.inputs, *layout.outputs)}
    U = space.units(np.concatenate([columns[path] for path in _paths(space)], axis=1))
    Y = np.concatenate([columns[path] for path, *_ in layout.outputs], axis=1)
    inside = np.all(np.abs(U) <= 1 + space.resolution, axis=1) & np.all(np.isfinite(Y), axis=1)
    U, Y, replicate = U[inside][:most], Y[inside][:most], table["replicate"][inside][:most]
    # Workers finish in any order: the same points are to give the same surrogate, in whatever order they were written.
    order = np.lexsort((replicate, *U.T))
    return U[order], Y[order], int(np.sum(~inside))


def _held_out(U: np.ndarray) -> np.ndarray:
    """A fifth of the points, with all evaluations at the same x on one side."""
    _, group = np.unique(U, axis=0, return_inverse=True)
    # Sorted points lie along the first number of x: a random order spreads those held out over all numbers.
    groups = int(group.max()) + 1
    order = np.random.default_rng(0).permutation(groups)
    return held_out(groups)[order][group.ravel()]


def _noise(U: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The standard deviation of values at the same x, where there are several; 0 where there are none."""
    _, group, counts = np.unique(U, axis=0, return_inverse=True, return_counts=True)
    free = len(U) - len(counts)
    if not free:
        return np.zeros(Y.shape[1])
    means = np.zeros((len(counts), Y.shape[1]))
    np.add.at(means, group.ravel(), Y)
    means /= counts[:, None]
    return np.sqrt(np.sum((Y - means[group.ravel()]) ** 2, axis=0) / free)
