"""The value-numbering rules of entries that are chosen by traced indices: windows, gathers, selections and sorts.

An index that determines its iteration chooses a different row in each; so the chosen entry determines the iteration where the
array's entries determine their rows. That holds as long as no two indices are clipped to one row.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..._jaxprs import JaxprEqn, aval
from .array_parts import Rows, Value
from .array_rules import has_axis
from .counts import LARGE, Linear, Term, dependencies_of_table
from .values import Values


def dynamic_slice(values, eqn, ins):
    out, shape = ins[0], aval(eqn.invars[0]).shape
    for axis, (size, index) in enumerate(zip(eqn.params["slice_sizes"], ins[1:], strict=True)):
        # A window as long as the axis is the array itself.
        if size < shape[axis]:
            out = _window(values, out, axis, index, size, shape[axis] - size)
    return out


def _window(values: Values, array: Value, axis: int, index: Value, size: int, last: int) -> Value:
    """`size` rows from `index` on, which is clipped to 0 ... `last`."""
    known, linear = values.integers.values(index), values.integers.linear(index)
    exact = linear if _is_inside(known, last) else None
    determines = _determined_by_window(values, axis, index, exact, size, last)
    by = exact if size == 1 else None
    out = values.choose(array, axis, lambda old: _rows_of_windows(old, known, size, last, by))
    out = values.renumber(out, ("window", array.number, index.number, axis, size))
    return _index(values, array, out, axis, determines, index.varies_with)


def _is_inside(known: Sequence[int] | None, last: int) -> bool:
    """Are the indices known, and none of them is clipped?"""
    return bool(known) and known[0] >= 0 and known[-1] <= last


def _determined_by_window(values: Values, axis: int, index: Value, exact: Linear | None, size: int, last: int):
    """What the row of the array determines, of an entry in a window. `exact`: the index, where it is never clipped."""
    if exact is not None:
        return exact.plus(Linear(0, frozenset([Term(axis, 1, size)] if size > 1 else []))).determines()
    if (table := values.integers.table(index)) is not None:
        loops, starts = table.clip(last)
        window = starts[..., None] + np.arange(size) if size > 1 else starts
        return dependencies_of_table((*loops, axis) if size > 1 else loops, window)
    # Of an unknown index: within one window all rows differ.
    return frozenset([(axis, index.varies_with)]) if size > 1 else frozenset()


def _rows_of_windows(old: Rows, known: Sequence[int] | None, size: int, last: int, by: Linear | None) -> Rows:
    """Those of the old rows that are in windows at the known places."""
    # An index of which nothing is known may choose any row.
    if not known:
        return old
    chosen = _places(known, size, last)
    if isinstance(chosen, range):
        rows = old.rows[chosen.start : chosen.stop : chosen.step]
    else:
        rows = tuple(sorted(old.rows[i] for i in chosen))
    # Rows that a traced index has already chosen have no second index that is a sum.
    if by is not None and old.by is None and isinstance(old.rows, range):
        return Rows(rows, by.times(old.rows.step).plus(Linear(old.rows.start)))
    return Rows(rows)


def _places(known: Sequence[int], size: int, last: int) -> Sequence[int]:
    """All places that windows cover, or some more: a range where that is exact, or where the list would be long."""
    starts = sorted({min(max(i, 0), last) for i in known} if len(known) <= LARGE else {0, last})
    steps = {b - a for a, b in itertools.pairwise(starts)} or {1}
    if size > 1 or len(known) > LARGE:
        return range(starts[0], starts[-1] + size)
    return range(starts[0], starts[-1] + 1, steps.pop()) if len(steps) == 1 else tuple(starts)


def _clip(values: Values, index: Value, last: int, is_clipped: bool) -> Value:
    """The index with what it determines of a row. `is_clipped`: what is outside is clipped, and not filled in."""
    # Clipping sends several indices to one row: what they determine is then read from the clipped ones, if they are known.
    table = values.integers.table(index) if is_clipped else None
    return index._replace(determines=table.clip(last).determines() if table is not None else frozenset())


def _index(values: Values, array: Value, out: Value, axis: Any, determines, moving) -> Value:
    """Entries of an array at an index that determines something: an entry determines its row where the array's do."""
    # Where an array's entries do not determine their row, equal entries may stand in two rows, and an index proves nothing.
    own = dict(array.determines)
    results = set()
    # What the array's entries determined given their row, the new ones determine given all that moves the index.
    for c, given in array.determines:
        if c != axis:
            results.add((c, (given - {axis}) | moving if axis in given else given))
    if axis in own:
        results |= {(c, given | (own[axis] - {axis})) for c, given in determines}
    varies_with = (array.varies_with - {axis}) | moving | {c for c, _ in determines if isinstance(c, int)}
    return values.note(out._replace(determines=frozenset(results), varies_with=frozenset(varies_with)))


# -- gathers

_ROW = ("row",)  # the coordinate of the axis that the index chooses along, which is not an axis of the result


class _RowGather(NamedTuple):
    """A gather of single rows along one axis of an array."""

    axis: int
    column: int | None  # of the index: the one that says the row; None: there is only one
    batch: list[int]  # the axes of the result that are those of the index
    axes: dict[int, Any]  # axis of the array -> axis of the result, or _ROW

    @classmethod
    def of(cls, eqn: JaxprEqn) -> _RowGather | None:
        """Reads the parameters; None of any other gather."""
        old, sizes, numbers = aval(eqn.invars[0]).shape, eqn.params["slice_sizes"], eqn.params["dimension_numbers"]
        along, indexed = numbers.operand_batching_dims, numbers.start_index_map
        moved = [k for k in indexed if sizes[k] < old[k]]
        axis = next(iter([*moved, *indexed]), 0)
        whole = tuple(1 if k == axis or k in along else n for k, n in enumerate(old))
        # Two axes at once, or windows of several rows: too rare among keys to be worth following.
        if len(moved) > 1 or sizes != whole or not set(numbers.collapsed_slice_dims) <= {axis}:
            return None
        batch, axes = _axes_of_result(numbers, len(old), aval(eqn.outvars[0]).ndim)
        return cls(axis, indexed.index(axis) if len(indexed) > 1 else None, batch, axes | {axis: _ROW})


def _axes_of_result(numbers: Any, ndim: int, ndim_out: int) -> tuple[list[int], dict[int, Any]]:
    """The axes of the result that are the index's, and the one that each axis of the array becomes."""
    along = numbers.operand_batching_dims
    batch = [k for k in range(ndim_out) if k not in numbers.offset_dims]
    kept = [k for k in range(ndim) if k not in (*numbers.collapsed_slice_dims, *along)]
    axes = dict(zip(kept, numbers.offset_dims, strict=True))
    axes |= {k: batch[b] for k, b in zip(along, numbers.start_indices_batching_dims, strict=True)}
    return batch, axes


def gather(values, eqn, ins):
    """Single rows at traced places; of any other gather, only that its entries are of the array."""
    array, index = ins
    out = values.hold(values.of(("gather", str(eqn.params)), ins, aval(eqn.outvars[0]).shape), array)
    rows = _RowGather.of(eqn)
    if rows is None:
        return out._replace(determines=frozenset(d for d in array.determines if not has_axis(d)))
    if rows.column is not None:
        index = values.slice(index, aval(eqn.invars[1]).ndim - 1, slice(rows.column, rows.column + 1))
    index = values.integers.with_table(index)
    known, last = values.integers.values(index), aval(eqn.invars[0]).shape[rows.axis] - 1
    if not _is_inside(known, last):
        index = _clip(values, index, last, "CLIP" in str(eqn.params["mode"]))

    def position(c):
        return (rows.batch[c] if c < len(rows.batch) else None) if isinstance(c, int) else c

    index = index.rename(position)
    if known and not eqn.params["dimension_numbers"].operand_batching_dims and len(known) <= LARGE:
        # The entries can only be of the rows that the index may take.
        held = values.choose(array, rows.axis, lambda old: _rows_of_windows(old, known, 1, last, None))
        values.hold(out, held)
    moved = array.rename(lambda c: rows.axes[c] if isinstance(c, int) else c)
    return _index(values, moved, out, _ROW, index.determines, index.varies_with)


# -- selections


def select(values, eqn, ins):
    # A predicate that is known, such as a guard against negative indices, leaves one case.
    which = values.integers.values(ins[0], computed=False)
    if which is not None and len(which) == 1:
        return ins[1 + which[0]]
    out = values.union(ins[1:], ("select", ins[0].number))
    return values.note(out._replace(varies_with=out.varies_with | ins[0].varies_with))


RULES = {
    "dynamic_slice": dynamic_slice,
    "gather": gather,
    "select_n": select,
}
