"""Values of a traced program as parts of arrays, and what an entry determines of the iteration and position it comes from.

A value has a number, and its sources: the arrays, and their rows along each axis, of which it may be a part. Its coordinates
are the iterations of the loops around it (named by their path) and the positions along its axes (named by their number).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..flow import Path
from .counts import Coordinate, Dependency, Linear

REPLICATES: Path = (-1,)  # the replicates of an expectation, as the outermost loop: each has a tree of keys of its own
ENDLESS = 1 << 62  # rows, where there is no last one


class Rows(NamedTuple):
    """Rows along one axis: all of them, or the one that a traced index chooses, `by` if that is known."""

    rows: Sequence[int]  # a range, or sorted
    by: Linear | None = None

    def meet(self, other: Rows, same: Callable[[Coordinate], bool] = lambda _: False) -> bool:
        """Could the two have a row in common? `same`: the coordinates in which the two are known to agree."""
        # The indices prove more than the sets of rows: row i and row i + 1 of one loop are of the same set.
        if self.by is not None and other.by is not None and not self.by.may_meet(other.by, same):
            return False
        return _share_a_row(self.rows, other.rows)


def _share_a_row(a: Sequence[int], b: Sequence[int]) -> bool:
    small, large = sorted((a, b), key=len)
    if not isinstance(large, range):
        large = frozenset(large)  # a range answers `in` at once, a tuple does not
    elif isinstance(small, range) and len(small) > 1:
        return _may_ranges_meet(small, large)
    return any(i in large for i in small)


def _may_ranges_meet(a: range, b: range) -> bool:
    """By intervals and residues alone: ranges may have 2**62 rows."""
    a, b = (r if r.step > 0 else r[::-1] for r in (a, b))
    if max(a[0], b[0]) > min(a[-1], b[-1]):
        return False
    return (a[0] - b[0]) % math.gcd(a.step, b.step) == 0


class Source(NamedTuple):
    """Part of the array numbered `base`: the rows along each of its axes."""

    base: int
    box: tuple[Rows, ...]

    def narrow(self, axis: int | None, choose: Callable[[Rows], Rows]) -> Source:
        """These rows of it along one axis (None: one of length 1, or repeated)."""
        if axis is None:
            return self
        return Source(self.base, (*self.box[:axis], choose(self.box[axis]), *self.box[axis + 1 :]))


class Value(NamedTuple):
    """`axes[k]`: the axis of the sources along which axis k lies (None: of length 1, or repeated); None: not followed.

    `determines`: the functional dependencies that are proved; where there is none, the value may repeat itself.
    `varies_with`: the coordinates with which it may change. `chains`: the loops that carry a key it descends from, so that how
    far it is from its root changes from iteration to iteration.
    """

    number: int
    determines: frozenset[Dependency]
    varies_with: frozenset[Coordinate]
    sources: frozenset[Source]
    axes: tuple[int | None, ...] | None
    chains: frozenset[Path] = frozenset()

    def closure(self, coordinates: Iterable[Coordinate] = ()) -> frozenset[Coordinate]:
        """The coordinates that an entry determines, together with these: the closure under its dependencies."""
        out = set(coordinates)
        while more := {c for c, given in self.determines if c not in out and given <= out}:
            out |= more
        return frozenset(out)

    def rename(self, new: Callable[[Coordinate], Coordinate | None]) -> Value:
        """With other names of its coordinates; None: of length 1, or gone."""
        determines = frozenset(
            (name, frozenset(n for g in given if (n := new(g)) is not None))
            for c, given in self.determines
            if (name := new(c)) is not None
        )
        varies_with = frozenset(n for c in self.varies_with if (n := new(c)) is not None)
        return self._replace(determines=determines, varies_with=varies_with)


def within_chains(dependencies: Iterable[Dependency], chains: Iterable[Path]) -> frozenset[Dependency]:
    """The same, of entries that are so far from their root only in the same iterations of these loops."""
    # Two replicates never share a key, however far either is from its root: their trees have different roots.
    chains = frozenset(chains)
    return frozenset((c, given if c == REPLICATES else given | chains) for c, given in dependencies)


def condition_on(dependencies: Iterable[Dependency], known: Iterable[Coordinate]) -> frozenset[Dependency]:
    """The same, of entries that agree in the known coordinates."""
    known = frozenset(known)
    return frozenset((c, given | known) for c, given in dependencies if c not in known)
