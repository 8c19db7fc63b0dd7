"""Arrays that a loop reads row by row, at its own index: x[i], x[i - 1].

They enter the scan as its inputs (the `xs` of `jax.lax.scan`). Read by an index instead, each iteration of reverse mode would add
a whole array of zeros with one row set to the cotangent: O(n^2) for a loop of n iterations that is O(n).

Which arrays these are is known only once the body is traced, and the body is traced with the rows that it reads. So the loop
traces its body again until the columns that the body asks for (`want`) are those that it had (`settle`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import session
from .._values.values import LiftedArray, Number, is_unknown


class LoopColumns:
    """The arrays of one loop, each with its shift: (the array's id, 1) for x[i + 1].

    **Arguments:**

    - `index`: the values of the loop's index.
    - `first`, `last`: the iterations between them stay a loop; those before `first` were written out.
    """

    def __init__(self, index: range, first: int = 0, last: int = 0):
        self.index, self.counts = index, index[first:last]
        self.start = session().clock  # what is made later belongs to an iteration
        self.columns: dict[tuple[int, int], jax.Array] = {}  # what the scan is given now
        self.targets: dict[tuple[int, int], LiftedArray] = {}  # what the last tracing asked for
        self.refused: set[int] = set()  # arrays that the loop writes, by `id`
        self.rows: dict[tuple[int, int], Any] = {}
        self.indices: list[Number] = []
        self.lent: list[LiftedArray] = []  # rows that the body has read, which it must not write

    def enter(self, item: Any, rows: Sequence) -> None:
        """An iteration begins: the loop's item, which holds its index, and a row of each column."""
        parts = item if isinstance(item, tuple) else (item,)
        self.indices = [p for p in parts if isinstance(p, Number) and p.counts is self.index]
        self.rows = dict(zip(self.columns, rows, strict=True))
        self.lent = []

    def row(self, target: LiftedArray, index: Number) -> Any:
        """`target[index]`; None where the loop must read the array by the index."""
        origin = index.source
        # An array made inside the iteration has no rows before the loop, and another loop's index has other values.
        if not any(origin is i for i in self.indices) or target.root.born > self.start or target.born > self.start:
            return None
        assert index.span is not None and origin.span is not None
        key = id(target), index.span[0] - origin.span[0]
        if id(target.root) in self.refused or key not in self.rows:
            self.want(key, target)
            return None
        row = self.rows[key]
        if not row.ndim:
            return Number(row)
        array = LiftedArray(row)
        # In NumPy x[i] is a view, so a write into it must reach x: `settle` then takes x out of the columns.
        array.stands_for = [target.root]
        self.lent.append(array)
        return array

    def want(self, key: tuple[int, int], target: LiftedArray) -> None:
        """Notes an array that the body reads by its index, for the next tracing."""
        places = [count + key[1] for count in self.counts]
        # Only an array that carries a derivative gains: reading any other by an index has no reverse pass.
        constant = not is_unknown(target) or target.dtype.kind not in "fc"
        # Where an index wraps around or is out of bounds, the checked read handles it.
        if constant or id(target.root) in self.refused or not places or min(places) < 0 or max(places) >= len(target):
            return
        self.targets[key] = target

    def settle(self, written: set[int]) -> bool:
        """Called once the body is traced: False if it must be traced again, with other columns. `written`: what it wrote."""
        # A column holds the rows as they were before the loop, so it is stale for an array that the loop writes.
        bad = written | {id(array.stands_for[0]) for array in self.lent if array.touched}
        self.refused |= {id(t.root) for t in self.targets.values()} & bad
        kept = {key: t for key, t in self.targets.items() if id(t.root) not in self.refused}
        settled = kept.keys() == self.columns.keys()
        self.targets = kept
        return settled

    def scan_inputs(self) -> list[jax.Array]:
        """The columns, with a row for each iteration: inputs of the scan."""
        for key in self.columns.keys() - self.targets.keys():
            del self.columns[key]
        for key, target in self.targets.items():
            if key not in self.columns:
                places = np.asarray(self.counts) + key[1]
                step = self.counts.step
                data = target.data
                end = places[-1] + step
                # A slice, not a gather by `places`: its transpose is a pad, which is much cheaper than a scatter. A negative
                # end (of a loop that counts down to 0) would count from the end of the array.
                rows = slice(int(places[0]), None if end < 0 else int(end), step)
                self.columns[key] = jnp.asarray(data)[rows]
        return list(self.columns.values())
