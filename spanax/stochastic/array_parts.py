"""Values of a traced program as parts of arrays: a static row, the row of a loop's pass, a row that a traced index chooses.

A value has a number, the loops from whose passes it differs, and its sources: the arrays, and their rows along each axis, of
which it may be a part. Loop counters and literals are rows of the array of all integers. Not followed: two indices
that are data are taken to differ.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from .flow import Path

INTEGERS = 0  # the number of the array of all integers
ENDLESS = 1 << 62  # rows, where there is no last one


class Rows(NamedTuple):
    """Rows along one axis: all of them, or the one that the traced index numbered `by` chooses."""

    rows: range
    by: int | None = None

    def meet(self, other: Rows) -> bool:
        """Could the two have a row in common?"""
        if self.by is not None and other.by is not None and self.by != other.by:
            return False
        a, b = (r if r.step > 0 else r[::-1] for r in (self.rows, other.rows))
        if len(a) <= 1 or len(b) <= 1:
            small, large = sorted((a, b), key=len)
            return any(i in large for i in small)
        if max(a[0], b[0]) > min(a[-1], b[-1]):
            return False
        return (a[0] - b[0]) % math.gcd(a.step, b.step) == 0


class Source(NamedTuple):
    """Part of the array numbered `base`: the rows along each of its axes."""

    base: int
    box: tuple[Rows, ...]

    def narrowed(self, axis: int | None, rows: slice, by: int | None = None) -> Source:
        """These rows of it along one axis (None: one of length 1, or repeated)."""
        if axis is None:
            return self
        old = self.box[axis]
        by = old.by if by is None else by
        return Source(self.base, (*self.box[:axis], Rows(old.rows[rows], by), *self.box[axis + 1 :]))


class Value(NamedTuple):
    """`axes[k]`: the axis of the sources along which axis k lies (None: of length 1, or repeated); None: not followed.

    `repeats`: the axes along which entries may be equal.
    """

    number: int
    varies: frozenset[Path]
    sources: frozenset[Source]
    axes: tuple[int | None, ...] | None
    repeats: frozenset[int] = frozenset()
