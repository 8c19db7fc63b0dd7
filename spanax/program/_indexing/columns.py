"""Arrays that a loop reads row by row, at its own index: x[i], x[i - 1].

They enter the scan as its inputs. Read by an index instead, each round of reverse mode would add a whole array for one row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._session import session
from .._values.values import Array, Number, is_unknown


class Columns:
    """The arrays of one loop; which they are, its first rounds of tracing tell. `index`: the values of its index; the rounds from
    `first` to `last` stay a loop."""

    def __init__(self, index: range, first: int = 0, last: int = 0):
        self.index, self.counts = index, index[first:last]
        self.start = session().clock  # what is made later belongs to a round
        self.columns: dict[tuple[int, int], jax.Array] = {}
        self.targets: dict[tuple[int, int], Array] = {}
        self.refused: set[int] = set()
        self.rows: dict[tuple[int, int], Any] = {}
        self.indices: list[Number] = []
        self.given: list[Array] = []

    def enter(self, item: Any, rows: Sequence) -> None:
        """A round begins: the loop's item, which holds its index, and a row of each column."""
        parts = item if isinstance(item, tuple) else (item,)
        self.indices = [p for p in parts if isinstance(p, Number) and p.counts is self.index]
        self.rows = dict(zip(self.columns, rows, strict=True))
        self.given = []

    def row(self, target: Array, index: Number) -> Any:
        """`target[index]`, or None where it is to be read by the index."""
        origin = index.source
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
        array = Array(row)
        array.stands_for = [target.root]
        self.given.append(array)
        return array

    def want(self, key: tuple[int, int], target: Array) -> None:
        places = [count + key[1] for count in self.counts]
        known = not is_unknown(target) or target.dtype.kind not in "fc"
        if known or id(target.root) in self.refused or not places or min(places) < 0 or max(places) >= len(target):
            return
        self.targets[key] = target

    def settle(self, written: set[int]) -> bool:
        """After a round was traced: False where the next is to have other columns. `written`: the arrays that it wrote."""
        bad = written | {id(array.stands_for[0]) for array in self.given if array.touched}
        self.refused |= {id(t.root) for t in self.targets.values()} & bad
        kept = {key: t for key, t in self.targets.items() if id(t.root) not in self.refused}
        settled = kept.keys() == self.columns.keys()
        self.targets = kept
        return settled

    def cut(self) -> list[jax.Array]:
        """The columns, with a row for each round."""
        for key in self.columns.keys() - self.targets.keys():
            del self.columns[key]
        for key, target in self.targets.items():
            if key not in self.columns:
                places = np.asarray(self.counts) + key[1]
                step = self.counts.step
                data = target.data
                end = places[-1] + step
                straight = slice(int(places[0]), None if end < 0 else int(end), step)
                self.columns[key] = jnp.asarray(data)[straight]
        return list(self.columns.values())
