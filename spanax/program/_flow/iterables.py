"""What a `for` loop goes through: how many items, item by item, and as stacked arrays where they are alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._indexing.elements import read_only
from .._indexing.items import item
from .._session import session, unliftable
from .._values.joins import JoinPlan, join
from .._values.snapshots import snapshot
from .._values.values import LiftedArray, Number, as_jax, canonical, is_numeric, is_unknown, wrap


class Items:
    """A known number of items. `stack()`: arrays with an item's leaves in each row, and how an item is made of a row; None
    where they are not alike."""

    @property
    def length(self) -> int:
        raise NotImplementedError

    def item_at(self, i: int) -> Any:
        raise NotImplementedError

    def stack(self, views: bool) -> tuple[list, Callable[[Sequence], Any]] | None:
        raise NotImplementedError

    def sources(self) -> list:
        """The arrays and lists that the items are taken from, iteration by iteration."""
        return []

    def __iter__(self) -> Iterator:
        i = 0
        while i < self.length:  # a list may grow
            yield self.item_at(i)
            i += 1

    def __len__(self) -> int:
        return self.length


class Counts(Items):
    def __init__(self, counts: range):
        self.counts = counts

    @property
    def length(self) -> int:
        return len(self.counts)

    def item_at(self, i: int) -> int:
        return self.counts[i]

    def stack(self, views: bool):
        numbers = np.arange(self.counts.start, self.counts.stop, self.counts.step)
        ends = (min(self.counts), max(self.counts)) if self.length else (0, 0)

        def make(row: Sequence) -> Number:
            # With its bounds and all its values: an index that cannot be out of range needs no check in each iteration, and
            # x[i + 1] at all of them is a slice.
            number = Number(row[0], int, ends)
            number.counts = self.counts
            return number

        return [jnp.asarray(numbers, canonical(int))], make


class Rows(Items):
    def __init__(self, array: Any):
        self.array = array if isinstance(array, LiftedArray) else LiftedArray(array)

    @property
    def length(self) -> int:
        return len(self.array)

    def sources(self) -> list:
        return [self.array.root]

    def item_at(self, i: int) -> Any:
        return item(self.array, i)

    def stack(self, views: bool):
        # As views an item is read from the array when the iteration runs, so that it sees what earlier iterations have written.
        if views:
            array = self.array
            numbers, count = Counts(range(self.length)).stack(False)
            return numbers, lambda row: item(array, count(row))
        rows = item(self.array, 0) if self.length else None
        if not isinstance(rows, LiftedArray):
            return [as_jax(self.array)], lambda row: Number(row[0])
        return [as_jax(self.array)], lambda row: _row(row[0], self.array)


def _row(data: jax.Array, array: LiftedArray) -> LiftedArray:
    # In NumPy a row is a view: a write into it is one into the array. Here it is a copy, which the loop watches for writes.
    row = LiftedArray(data)
    row.stands_for = [array.root]
    return row


class Listed(Items):
    def __init__(self, items: Sequence):
        self.items = items

    @property
    def length(self) -> int:
        return len(self.items)

    def sources(self) -> list:
        return [self.items]

    def item_at(self, i: int) -> Any:
        return self.items[i]

    def stack(self, views: bool):
        if not self.length:
            return None
        outputs: list = []
        shots = [snapshot(x, outputs, session().clock) for x in self.items]
        plan = JoinPlan()
        make = join(plan, shots, "an item", carried=True)
        # `join` also makes one of things that are not alike, such as a number and None: here each item must be what the
        # others are.
        if not plan.forms or not all(_alike(x, self.items[0]) for x in self.items):
            return None
        rows = [plan.outputs(i, outputs) for i in range(self.length)]
        return [jnp.stack(column) for column in zip(*rows, strict=True)], lambda row: read_only(make(row), self.items)


def _alike(x: Any, y: Any) -> bool:
    """Are they numbers or arrays of one shape, or tuples of such?"""
    if isinstance(x, (tuple, list)):
        return type(x) is type(y) and len(x) == len(y) and all(map(_alike, x, y))
    return is_numeric(x) and is_numeric(y) and np.shape(x) == np.shape(y) and not isinstance(x, bool)


class Zipped(Items):
    def __init__(self, parts: Sequence[Items]):
        self.parts = parts

    @property
    def length(self) -> int:
        return min((p.length for p in self.parts), default=0)

    def sources(self) -> list:
        return [source for part in self.parts for source in part.sources()]

    def item_at(self, i: int) -> tuple:
        return tuple(p.item_at(i) for p in self.parts)

    def stack(self, views: bool):
        stacks = [p.stack(views) for p in self.parts]
        if any(s is None for s in stacks):
            return None
        # The parts' columns side by side, and each part's item made of its own ones.
        columns, makers = zip(*stacks, strict=True)  # type: ignore[arg-type]
        ends = np.cumsum([0, *map(len, columns)])

        def make(row: Sequence) -> tuple:
            return tuple(m(row[a:b]) for m, a, b in zip(makers, ends, ends[1:], strict=False))

        return [column[: self.length] for part in columns for column in part], make


class Backwards(Items):
    def __init__(self, items: Items):
        self.items = items

    @property
    def length(self) -> int:
        return self.items.length

    def sources(self) -> list:
        return self.items.sources()

    def item_at(self, i: int) -> Any:
        return self.items.item_at(self.length - 1 - i)

    def stack(self, views: bool):
        stacked = self.items.stack(views)
        return stacked and ([column[: self.length][::-1] for column in stacked[0]], stacked[1])


class UnknownCounts:
    """`range` with bounds that are not known."""

    def __init__(self, start: Any, stop: Any, step: Any):
        self.start, self.stop, self.step = start, stop, step
        # The test of the loop is `<` or `>` by the sign of the step, which must be known for that.
        if is_unknown(step) or step == 0:
            raise unliftable("range() with a step that is not known while the program is traced", "a while loop")

    def __iter__(self):
        raise unliftable(
            "a range whose length is not known while the program is traced, outside of a `for` statement",
            "a `for` statement",
            "the length as a static argument",
        )

    __len__ = __iter__


def items_of(iterable: Any) -> Items | UnknownCounts | None:
    """The items of a loop; None if the iterable is to be iterated as it is."""
    if isinstance(iterable, (Items, UnknownCounts)):
        return iterable
    if isinstance(iterable, range):
        return Counts(iterable)
    if isinstance(iterable, (LiftedArray, np.ndarray, jax.Array)):
        if not np.ndim(iterable):
            raise TypeError("iteration over an array without axes")
        return Rows(iterable if isinstance(iterable, LiftedArray) else wrap(iterable)) if is_numeric(iterable) else None
    if isinstance(iterable, (list, tuple)):
        session().reads(iterable)
        return Listed(iterable)
    if isinstance(iterable, Number):
        raise TypeError("a number is not iterable")
    return None


def _items(iterable: Any) -> Items:
    items = items_of(iterable)
    if isinstance(items, UnknownCounts):
        items.__iter__()  # the error of a range whose length is not known
    return items if isinstance(items, Items) else Listed(list(iterable))


def enumerate_items(iterable: Any, start: int = 0) -> Items:
    items = _items(iterable)
    return Zipped([Counts(range(start, start + items.length)), items])


def zip_items(*iterables: Any, strict: bool = False) -> Items:
    """`zip(...)`, lazily in its finite parts."""
    finite = [i for i in iterables if not hasattr(i, "__next__")]
    if iterables and not finite:
        return Listed(list(zip(*iterables, strict=strict)))
    parts = list(map(_items, iterables if len(finite) == len(iterables) else _without_iterators(iterables, finite)))
    if strict and len({p.length for p in parts}) > 1:
        raise ValueError("zip() arguments have different lengths")
    return Zipped(parts)


def _without_iterators(iterables: Sequence, finite: Sequence) -> list:
    """The iterables with lists for iterators."""
    # An iterator may have no end, such as `itertools.count()`: no more is taken from it than the others have.
    length = min(len(_items(i)) for i in finite)
    return [_take(i, length) if hasattr(i, "__next__") else i for i in iterables]


def _take(iterator: Iterator, length: int) -> list:
    return [x for x, _ in zip(iterator, range(length), strict=False)]


def backwards(iterable: Any) -> Items:
    return Backwards(_items(iterable))


def range_of(*bounds: Any) -> range | UnknownCounts:
    """`range(...)`."""
    if not any(map(is_unknown, bounds)):
        return range(*(b.__index__() for b in bounds))
    if any(isinstance(b, float) or (isinstance(b, Number) and b.dtype.kind not in "iu") for b in bounds):
        raise TypeError("range() of a number that is not an integer")
    # range(stop), range(start, stop) or range(start, stop, step).
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    return UnknownCounts(start, stop, step)
