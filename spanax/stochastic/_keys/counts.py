"""Integers that count: sums of multiples of loop counters, of positions in an array, and of integers that are data.

An integer of a traced program is kept as offset + sum_k factor_k * coordinate_k, where that is what it is. Two such sums can be
compared without running the program: by the interval that each covers, and by the residue modulo the greatest common divisor of
their factors. This is the GCD test of loop dependence analysis (Banerjee, Dependence Analysis for Supercomputing, 1988).

Coordinates are named as in `array_parts`: a loop by its path, an axis by its number; ("data", n) is the value numbered n.
Data count modulo 2**32, as `jax.random.fold_in` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

Coordinate = Any  # int, Path or tuple[str, int]

Dependency = tuple[Coordinate, frozenset[Coordinate]]
"""(c, given), a functional dependency: entries that are equal, and agree in the coordinates `given`, agree in c."""

WORD = 1 << 32
LARGE = 1 << 16  # more values than this are not listed
ITERATIONS = 1 << 24  # a loop of unknown length is assumed to make no more iterations than this


class Term(NamedTuple):
    of: Any  # a coordinate
    factor: int
    length: int | None  # of the coordinate; None: unknown, or data

    @property
    def reach(self) -> int:
        """How far it goes from 0."""
        return abs(self.factor) * ((ITERATIONS if self.length is None else self.length) - 1)


def is_data(coordinate: Coordinate) -> bool:
    return isinstance(coordinate, tuple) and bool(coordinate) and coordinate[0] == "data"


class Linear(NamedTuple):
    """offset + the sum of its terms."""

    offset: int
    terms: frozenset[Term] = frozenset()

    @property
    def counters(self) -> list[Term]:
        return sorted((t for t in self.terms if not is_data(t.of)), key=lambda t: (abs(t.factor), repr(t.of)))

    @property
    def data(self) -> frozenset[Term]:
        return frozenset(t for t in self.terms if is_data(t.of))

    def plus(self, other: Linear, sign: int = 1) -> Linear:
        # i - i is 0 and not a sum of two terms: what cancels must be gone, since offsets alone are compared exactly.
        factors = {t.of: t for t in self.terms}
        for t in other.terms:
            old = factors.get(t.of, t._replace(factor=0))
            factors[t.of] = old._replace(factor=old.factor + sign * t.factor)
        return Linear(self.offset + sign * other.offset, frozenset(t for t in factors.values() if t.factor))

    def times(self, k: int) -> Linear:
        return Linear(self.offset * k, frozenset(t._replace(factor=t.factor * k) for t in self.terms if k))

    def rename(self, new: Callable[[Coordinate], Coordinate | None]) -> Linear:
        return Linear(self.offset, frozenset(t._replace(of=n) for t in self.terms if (n := new(t.of)) is not None))

    def at(self, coordinate: Coordinate, index: int) -> Linear:
        """In one iteration, or at one position."""
        there = sum(t.factor * index for t in self.terms if t.of == coordinate)
        return Linear(self.offset + there, frozenset(t for t in self.terms if t.of != coordinate))

    def bounds(self) -> tuple[int, int]:
        """The least and the greatest, data left out."""
        reach = [t.reach * (1 if t.factor > 0 else -1) for t in self.counters]
        return self.offset + sum(r for r in reach if r < 0), self.offset + sum(r for r in reach if r > 0)

    def fits(self, dtype: np.dtype) -> bool:
        """Does this dtype count to all of it without wrapping around?"""
        low, high = self.bounds()
        if self.data:
            # Data are compared modulo 2**32 anyway (`may_meet`), so a wrap is harmless in 32 bits and not in fewer.
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
        # 10 i + j with j < 3 leaves gaps that a range with the common step does not know of.
        if len(self.terms) > 1 and (table := self.table()) is not None:
            entries = np.unique(table[1])
            if len(entries) < (high - low) // step + 1:
                return tuple(entries.tolist())
        return range(low, high + 1, step)

    def _lengths(self) -> list[int] | None:
        """Of its counters' coordinates, where all are known and can be listed."""
        lengths = [t.length for t in self.counters if t.length is not None]
        if self.data or len(lengths) < len(self.terms) or math.prod(lengths) > LARGE:
            return None
        return lengths

    def table(self) -> tuple[tuple[Coordinate, ...], np.ndarray] | None:
        """Its coordinates, and its value at each of their indices."""
        if (lengths := self._lengths()) is None:
            return None
        terms = self.counters
        # Python's own integers where 64 bits would wrap around: equal entries must be equal numbers.
        out = np.array(self.offset, object if max(map(abs, self.bounds())) >= 1 << 62 else np.int64)
        for t, length in zip(terms, lengths, strict=True):
            out = out[..., None] + t.factor * np.arange(length)
        return tuple(t.of for t in terms), out

    def determines(self) -> frozenset[Dependency]:
        """A sum of multiples determines all its coordinates where each step is longer than all shorter ones together reach."""
        if (table := self.table()) is not None:
            return dependencies_of_table(*table)
        below = 0
        names = frozenset(t.of for t in self.counters)
        for t in self.counters:  # from the shortest step: as digits of a number in a mixed base
            if abs(t.factor) <= below:
                # Digits overlap; with all others fixed, one coordinate can still be read off.
                return frozenset((c, names - {c}) for c in names)
            below += t.reach
        return frozenset((c, frozenset()) for c in names)

    def _without(self, coordinates: frozenset[Coordinate]) -> Linear:
        return Linear(self.offset, frozenset(t for t in self.terms if t.of not in coordinates))

    def may_meet(self, other: Linear, same: Callable[[Coordinate], bool]) -> bool:
        """May the two be equal, in any iterations and at any positions? `same`: a coordinate in which the two agree.

        The difference d is 0 modulo 2**32 for some indices only if a multiple of 2**32 lies in d's interval, and if d's offset is
        a multiple of the greatest common divisor of its factors (and of 2**32).
        """
        # Where both count the same coordinate with the same factor, and agree in it, it drops out of the difference.
        cancel = frozenset(t.of for t in self.terms & other.terms if same(t.of))
        a, b = self._without(cancel), other._without(cancel)
        if a.data or b.data:
            return True
        apart = a.offset - b.offset
        if not (a.terms or b.terms):
            return apart % WORD == 0
        (low, high), (low_b, high_b) = a.bounds(), b.bounds()
        low, high = low - high_b, high - low_b
        # As wide as a word it meets every residue.
        if high - low >= WORD:
            return True
        nearest = -(low // -WORD) * WORD  # the least multiple of 2**32 that is not below
        step = math.gcd(*(t.factor for t in (*a.terms, *b.terms)))
        return nearest <= high and apart % math.gcd(step, WORD) == 0


def dependencies_of_table(names: Sequence[Coordinate], table: np.ndarray) -> frozenset[Dependency]:
    """What equal entries of a table agree in: by themselves, or where they agree in all other coordinates."""
    if not names:
        return frozenset()
    # Sorted by value, equal entries lie side by side: one pass over neighbours compares all pairs.
    _, group = np.unique(table.ravel(), return_inverse=True)
    index = np.indices(table.shape).reshape(len(names), -1)
    order = np.argsort(group, kind="stable")
    together = np.diff(group[order]) == 0
    out = set()
    for k, name in enumerate(names):
        if not (together & (np.diff(index[k][order]) != 0)).any():
            out.add((name, frozenset()))
        elif _has_no_repeats(table, k):
            out.add((name, frozenset(names) - {name}))
    return frozenset(out)


def _has_no_repeats(table: np.ndarray, axis: int) -> bool:
    """Do all lines along this axis have different entries?"""
    lines = np.sort(np.moveaxis(table, axis, 0).reshape(table.shape[axis], -1), axis=0)
    return bool((np.diff(lines, axis=0) != 0).all())
