"""Values of a traced program as parts of arrays, and what an entry tells of the pass and the position that it comes from.

A value has a number, and its sources: the arrays, and their rows along each axis, of which it may be a part. Its coordinates
are the passes of the loops around it (named by their path) and the positions along its axes (named by their number).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..flow import Path
from .counts import Coordinate, Linear, Telling

REPLICATES: Path = (-1,)  # the replicates of an expectation, as the outermost loop: each has a tree of keys of its own
ENDLESS = 1 << 62  # rows, where there is no last one


class Rows(NamedTuple):
    """Rows along one axis: all of them, or the one that a traced index chooses, `by` if that can be said."""

    rows: Sequence[int]  # a range, or sorted
    by: Linear | None = None

    def meet(self, other: Rows, same: Callable[[Coordinate], bool] = lambda _: False) -> bool:
        """Could the two have a row in common? `same`: the coordinates in which the two are known to agree."""
        if self.by is not None and other.by is not None and not self.by.meets(other.by, same):
            return False
        a, b = self.rows, other.rows
        if len(a) <= 1 or len(b) <= 1 or not (isinstance(a, range) and isinstance(b, range)):
            small, large = sorted((a, b), key=len)
            large = large if isinstance(large, range) else frozenset(large)
            if isinstance(small, range) and isinstance(large, range) and len(small) > 1:
                return True
            return any(i in large for i in small)
        a, b = (r if r.step > 0 else r[::-1] for r in (a, b))
        if max(a[0], b[0]) > min(a[-1], b[-1]):
            return False
        return (a[0] - b[0]) % math.gcd(a.step, b.step) == 0


class Source(NamedTuple):
    """Part of the array numbered `base`: the rows along each of its axes."""

    base: int
    box: tuple[Rows, ...]

    def narrowed(self, axis: int | None, choose: Callable[[Rows], Rows]) -> Source:
        """These rows of it along one axis (None: one of length 1, or repeated)."""
        if axis is None:
            return self
        return Source(self.base, (*self.box[:axis], choose(self.box[axis]), *self.box[axis + 1 :]))


class Value(NamedTuple):
    """`axes[k]`: the axis of the sources along which axis k lies (None: of length 1, or repeated); None: not followed.

    `tells`: what is proved; what is not there may repeat itself. `depends`: the coordinates with which it may change.
    `chains`: the loops that carry a key it descends from, so that how far it is from its root changes from pass to pass.
    """

    number: int
    tells: frozenset[Telling]
    depends: frozenset[Coordinate]
    sources: frozenset[Source]
    axes: tuple[int | None, ...] | None
    chains: frozenset[Path] = frozenset()

    def told(self, known: Iterable[Coordinate] = ()) -> frozenset[Coordinate]:
        """The coordinates that an entry determines, together with those that are known."""
        out = set(known)
        while more := {c for c, given in self.tells if c not in out and given <= out}:
            out |= more
        return frozenset(out)

    def renamed(self, new: Callable[[Coordinate], Coordinate | None]) -> Value:
        """With other names of its coordinates; None: of length 1, or gone."""
        tells = frozenset(
            (name, frozenset(n for g in given if (n := new(g)) is not None))
            for c, given in self.tells
            if (name := new(c)) is not None
        )
        return self._replace(tells=tells, depends=frozenset(n for c in self.depends if (n := new(c)) is not None))


def in_chains(tells: Iterable[Telling], chains: Iterable[Path]) -> frozenset[Telling]:
    """The same, of entries that are so far from their root only in the same passes of these loops."""
    chains = frozenset(chains)
    return frozenset((c, needed if c == REPLICATES else needed | chains) for c, needed in tells)


def given(tells: Iterable[Telling], known: Iterable[Coordinate]) -> frozenset[Telling]:
    """The same, of entries that agree in the known coordinates."""
    known = frozenset(known)
    return frozenset((c, needed | known) for c, needed in tells if c not in known)
