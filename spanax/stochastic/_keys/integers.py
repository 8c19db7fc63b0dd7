"""What is known of the integers of a program: as sums that count, as tables of all their values, or as sets of values.

Nothing is computed before it is asked for: most programs choose no key by an integer, and pay nothing for this.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..._jaxprs import JaxprEqn
from ..flow import Path
from .array_parts import Value
from .counts import LARGE, Linear, Term
from .numbering import Numbering
from .tables import Table, fold_constants


class Bound(NamedTuple):
    """How many iterations a loop makes at most; `exact`: just as many."""

    length: int
    exact: bool


class Integers:
    def __init__(self, numbering: Numbering):
        self._of = numbering
        self._tables: dict[int, Table | None] = {}

    # -- as sums

    def linear(self, value: Value) -> Linear | None:
        return self._of.linear.get(value.number)

    def as_linear(self, value: Value, dtype: np.dtype) -> Linear | None:
        """What it counts; by itself, where it is data."""
        if value.number in self._of.linear or dtype.kind not in "iu" or dtype.itemsize < 4:
            return self._of.linear.get(value.number)
        # Sums are compared modulo 2**32: data of 64 bits that agree there may still differ.
        if dtype.itemsize == 4:
            self._of.by_data[value.number] = value.determines
        self._of.varies_with[value.number] = value.varies_with
        return Linear(0, frozenset([Term(("data", value.number), 1, None)]))

    def _counts(self, value: Value) -> Linear | None:
        """The sum that it is, where that has no data in it."""
        linear = self.linear(value)
        return None if linear is None or linear.data else linear

    def length_bound(self, test: Value, start: Value, first: Linear, step: int) -> Bound | None:
        """The iterations of a loop whose counter this is, while `test` holds; None: the test does not say.

        The counter is `first` in the first iteration, `start` in each, and grows by `step`.
        """
        what, args = self._of.origin(test.number)
        name = what[0] if isinstance(what, tuple) and what else ""
        if name == "and":
            # The loop ends when the first of the two fails; the other may be what ends it, so no length is exact.
            bounds = [b.length for arg in args if (b := self.length_bound(arg, start, first, step)) is not None]
            return Bound(min(bounds), False) if bounds else None
        if name not in _COMPARISONS or first.data:
            return None
        return self._bound_by(name, args, start, first, step)

    def _bound_by(self, name: str, args: Sequence[Value], start: Value, first: Linear, step: int) -> Bound | None:
        """The same, of a single comparison with a number."""
        (below, above), or_equal = _COMPARISONS[name]
        if args[below].number == start.number and step > 0:
            limit = self._number(args[above])
            distance = None if limit is None else limit - first.bounds()[0]
        elif args[above].number == start.number and step < 0:
            limit = self._number(args[below])
            distance = None if limit is None else first.bounds()[1] - limit
        else:
            return None
        return None if distance is None else _bound_of(distance + or_equal, first, step)

    def _number(self, value: Value) -> int | None:
        """The number that it always is."""
        linear = self.linear(value)
        return None if linear is None or linear.terms else linear.offset

    # -- as sets

    def values(self, value: Value, computed: bool = True) -> Sequence[int] | None:
        """All integers that its entries may be, or some more; None: unknown. `computed`: even if it takes computing them."""
        if (linear := self._counts(value)) is not None:
            return linear.values()
        # A table is exact, but it may take computing the whole program before it.
        if computed and (table := self.table(value)) is not None and table.entries.dtype.kind in "biu":
            return tuple(np.unique(table.entries).tolist())
        return self._values_held(value, computed)

    def _values_held(self, value: Value, computed: bool) -> Sequence[int] | None:
        """Those of all values that its entries may be equal to."""
        together: set[int] = set()
        entries = list(itertools.chain(*(self._of.holds.get(s.base, (None,)) for s in value.sources)))
        for entry in entries:
            numbers = None if entry is None else self.values(entry, computed)
            if numbers is None or len(numbers) > LARGE:
                return None
            together.update(numbers)
        return tuple(sorted(together)) if entries else None

    # -- as tables

    def with_table(self, value: Value) -> Value:
        """The same, with what its entries determine if they are known one by one."""
        if self._counts(value) is not None or (table := self.table(value)) is None:
            return value
        return value._replace(determines=value.determines | table.determines())

    def table(self, value: Value) -> Table | None:
        """Its entries in every iteration, where they are known and not too many."""
        number = value.number
        if number not in self._tables:
            self._tables[number] = None  # a value of a loop may lead back to itself: then it is not known
            linear, recipe = self._counts(value), self._of.recipes.get(number)
            table = _table_of(value, linear) if linear is not None else recipe() if recipe else None
            self._tables[number] = table if table is not None and table.entries.size <= LARGE else None
        return self._tables[number]

    def folds(self, value: Value, eqn: JaxprEqn, k: int, ins: Sequence[Value]) -> None:
        """The value is result k of this equation: it can be computed where the arguments are known."""
        self._of.recipes.setdefault(value.number, lambda: self._fold(eqn, k, ins))

    def _fold(self, eqn: JaxprEqn, k: int, ins: Sequence[Value]) -> Table | None:
        tables = [t for x in ins if (t := self.table(x)) is not None]
        return fold_constants(eqn, k, tables, self._of.lengths) if len(tables) == len(ins) else None

    def stacks(self, value: Value, inside: Value, loop: Path) -> None:
        """The value is what all iterations of a loop return."""
        self._of.recipes[value.number] = lambda: self.from_table(
            inside, lambda t: t.stack(loop, self._of.lengths[loop] or 0)
        )

    def from_table(self, value: Value, make: Callable[[Table], Table | None]) -> Table | None:
        return None if (table := self.table(value)) is None else make(table)


def _bound_of(distance: int, first: Linear, step: int) -> Bound:
    """Of a counter that goes this far at most before the test fails."""
    low, high = first.bounds()
    # At least 1: that a loop may not run at all is a union with its start elsewhere, and 0 iterations have no last one.
    return Bound(max(1, (distance - 1) // abs(step) + 1), low == high and distance > 0)


# name -> (the operands in the order of `lower < higher`, does it hold where both are equal?)
_COMPARISONS = {
    "lt": ((0, 1), False),
    "le": ((0, 1), True),
    "gt": ((1, 0), False),
    "ge": ((1, 0), True),
}


def _table_of(value: Value, linear: Linear) -> Table | None:
    """A count as a table: its loops first, in order, then one axis of entries for each axis of the value."""
    if (named := linear.table()) is None:
        return None
    names, entries = named
    ((_, box),) = value.sources
    axes = range(len(box))
    missing = [k for k in axes if k not in names]
    entries = entries.reshape((*entries.shape, *(1 for _ in missing)))
    names = (*names, *missing)
    loops = tuple(sorted(n for n in names if not isinstance(n, int)))
    entries = np.transpose(entries, [names.index(n) for n in (*loops, *axes)])
    shape = (*entries.shape[: len(loops)], *(len(r.rows) for r in box))
    return Table(loops, np.broadcast_to(entries, shape)) if np.prod(shape, dtype=float) <= LARGE else None
