"""Integers that count: sums of multiples of loop counters, of positions in an array, and of integers that are data.

Coordinates are named as in `array_parts`: a loop by its path, an axis by its number; ("data", n) is the value numbered n.
Data count modulo 2**32, as `jax.random.fold_in` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

Coordinate = Any  # int, Path or tuple[str, int]

Telling = tuple[Coordinate, frozenset[Coordinate]]
"""(c, given): entries that are equal, and agree in the coordinates `given`, agree in c."""

WORD = 1 << 32
LARGE = 1 << 16  # more values than this are not listed
PASSES = 1 << 24  # of a loop of unknown length: no more than this are thought of


class Term(NamedTuple):
    of: Any  # a coordinate
    factor: int
    length: int | None  # of the coordinate; None: unknown, or data

    @property
    def reach(self) -> int:
        """How far it goes from 0."""
        return abs(self.factor) * ((PASSES if self.length is None else self.length) - 1)


def is_data(coordinate: Coordinate) -> bool:
    return isinstance(coordinate, tuple) and bool(coordinate) and coordinate[0] == "data"


class Linear(NamedTuple):
    offset: int
    terms: frozenset[Term] = frozenset()

    @property
    def counters(self) -> list[Term]:
        return sorted((t for t in self.terms if not is_data(t.of)), key=lambda t: (abs(t.factor), repr(t.of)))

    @property
    def data(self) -> frozenset[Term]:
        return frozenset(t for t in self.terms if is_data(t.of))

    def plus(self, other: Linear, sign: int = 1) -> Linear:
        factors = {t.of: t for t in self.terms}
        for t in other.terms:
            old = factors.get(t.of, t._replace(factor=0))
            factors[t.of] = old._replace(factor=old.factor + sign * t.factor)
        return Linear(self.offset + sign * other.offset, frozenset(t for t in factors.values() if t.factor))

    def times(self, k: int) -> Linear:
        return Linear(self.offset * k, frozenset(t._replace(factor=t.factor * k) for t in self.terms if k))

    def renamed(self, new: Callable[[Coordinate], Coordinate | None]) -> Linear:
        return Linear(self.offset, frozenset(t._replace(of=n) for t in self.terms if (n := new(t.of)) is not None))

    def at(self, coordinate: Coordinate, index: int) -> Linear:
        """At one pass, or one position."""
        there = sum(t.factor * index for t in self.terms if t.of == coordinate)
        return Linear(self.offset + there, frozenset(t for t in self.terms if t.of != coordinate))

    def bounds(self) -> tuple[int, int]:
        """The least and the greatest, data left out."""
        reach = [t.reach * (1 if t.factor > 0 else -1) for t in self.counters]
        return self.offset + sum(r for r in reach if r < 0), self.offset + sum(r for r in reach if r > 0)

    def fits(self, dtype: np.dtype) -> bool:
        """Is it what this dtype counts to?"""
        low, high = self.bounds()
        if self.data:
            return dtype.itemsize >= 4 and high - low < WORD
        info = np.iinfo(dtype)
        return info.min <= low and high <= info.max

    def values(self) -> Sequence[int] | None:
        """All that it may be, or a few more; None: unknown."""
        if self.data:
            return None
        if not self.terms:
            return range(self.offset, self.offset + 1)
        low, high = self.bounds()
        step = math.gcd(*(t.factor for t in self.terms))
        if len(self.terms) > 1 and (table := self.table()) is not None:
            found = np.unique(table[1])
            if len(found) < (high - low) // step + 1:
                return tuple(found.tolist())
        return range(low, high + 1, step)

    def table(self) -> tuple[tuple[Coordinate, ...], np.ndarray] | None:
        """Its coordinates, and its value at each of their indices."""
        terms = self.counters
        lengths = [t.length or 0 for t in terms]
        if self.data or any(t.length is None for t in terms) or math.prod(lengths) > LARGE:
            return None
        out = np.array(self.offset, object if max(map(abs, self.bounds())) >= 1 << 62 else np.int64)
        for t in terms:
            out = out[..., None] + t.factor * np.arange(t.length or 0)
        return tuple(t.of for t in terms), out

    def tells(self) -> frozenset[Telling]:
        """A sum of multiples tells all its coordinates where each step is longer than all shorter ones together reach."""
        if (table := self.table()) is not None:
            return telling(*table)
        below = 0
        names = frozenset(t.of for t in self.counters)
        for t in self.counters:
            if abs(t.factor) <= below:
                return frozenset((c, names - {c}) for c in names)
            below += t.reach
        return frozenset((c, frozenset()) for c in names)

    def meets(self, other: Linear, same: Callable[[Coordinate], bool]) -> bool:
        """May the two be equal, at any passes and positions? `same`: a coordinate in which the two agree."""
        mine, others = ({t.of: t for t in x.terms} for x in (self, other))
        cancel = {c for c, t in mine.items() if others.get(c) == t and same(c)}
        terms = [t for x in (mine, others) for c, t in x.items() if c not in cancel]
        if any(is_data(t.of) for t in terms):
            return True
        apart = abs(self.offset - other.offset)
        if not terms:
            return apart % WORD == 0
        low, high = (a - b for a, b in zip(_ends(mine, cancel), reversed(_ends(others, cancel)), strict=True))
        low, high = low + self.offset - other.offset, high + self.offset - other.offset
        if high - low >= WORD:
            return True
        nearest = -(low // -WORD) * WORD  # the least multiple of 2**32 that is not below
        step = math.gcd(*(t.factor for t in terms))
        return nearest <= high and (self.offset - other.offset) % math.gcd(step, WORD) == 0


def _ends(terms: dict[Coordinate, Term], without: Iterable[Coordinate]) -> tuple[int, int]:
    return Linear(0, frozenset(t for c, t in terms.items() if c not in without)).bounds()


def telling(names: Sequence[Coordinate], table: np.ndarray) -> frozenset[Telling]:
    """What equal entries of a table agree in: by themselves, or where they agree in all other coordinates."""
    if not names:
        return frozenset()
    _, group = np.unique(table.ravel(), return_inverse=True)
    index = np.indices(table.shape).reshape(len(names), -1)
    order = np.argsort(group, kind="stable")
    together = np.diff(group[order]) == 0
    out = set()
    for k, name in enumerate(names):
        mine = index[k]
        if not (together & (np.diff(mine[order]) != 0)).any():
            out.add((name, frozenset()))
        else:
            lines = np.moveaxis(table, k, 0).reshape(table.shape[k], -1)
            lines = np.sort(lines, axis=0)
            if (np.diff(lines, axis=0) != 0).all():
                out.add((name, frozenset(names) - {name}))
    return frozenset(out)
