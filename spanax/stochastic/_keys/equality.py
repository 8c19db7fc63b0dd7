"""Which values may be equal, and which keys descend from which others in the tree of keys.

Two arrays of children meet where their parents and their rows do; two results of one operation where the arguments do.
Anything else is equal until it is proved otherwise. The proof is coinductive: a question that leads back to itself, through what
a loop carries, is answered "not equal", since a finite number of iterations would have to reach an equality in another way.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from .array_parts import Rows, Source, Value
from .counts import Coordinate, is_data
from .integers import Integers
from .numbering import Numbering


class Equality:
    def __init__(self, numbering: Numbering, integers: Integers):
        self._of, self._integers = numbering, integers
        self._verdicts: dict[tuple[Source, Source], bool] = {}
        self._asked: dict[tuple[Source, Source], None] = {}  # in the question that is open

    def forget(self) -> None:
        """Drops the answers so far: something has been recorded that they did not know of."""
        self._verdicts.clear()

    def may_equal(self, a: Value, b: Value) -> bool:
        # The same function of the same inputs, in the same iteration; whether two iterations share it is the claim's
        # question.
        if a.number == b.number:
            return True
        x, y = self._integers.linear(a), self._integers.linear(b)
        if x is not None and y is not None and not x.may_meet(y, lambda c: self._same(c, frozenset())):
            return False
        if (p := self._integers.values(a)) is not None and (q := self._integers.values(b)) is not None:
            return Rows(p).meet(Rows(q))
        return any(self._overlap(s, t) for s in a.sources for t in b.sources)

    def _same(self, coordinate: Coordinate, agreed: frozenset[Coordinate]) -> bool:
        """Do two values that agree in some coordinates agree in this one, or in this data?"""
        if is_data(coordinate):
            return self._of.varies_with[coordinate[1]] <= agreed
        return coordinate in agreed

    def _overlap(self, a: Source, b: Source) -> bool:
        of = self._of
        if a.base == b.base:
            agreed = self._agreed_loops(a.base)
            return all(x.meet(y, lambda c: self._same(c, agreed)) for x, y in zip(a.box, b.box, strict=True))
        # Plain values are equal by number alone, and these two have different ones.
        if (a.base in of.plain and b.base in of.plain) or (a.base, b.base) in of.apart:
            return False
        if (a, b) in self._verdicts:
            return self._verdicts[a, b]
        if (a, b) in self._asked:
            return False
        return self._decide(a, b)

    def _decide(self, a: Source, b: Source) -> bool:
        outermost = not self._asked
        self._asked[a, b] = None
        same = self._come_of_equals(a, b) or self._are_entries(a, b)
        if same:
            self._verdicts[a, b] = True
        if outermost:
            # "Not equal" may rest on a question further out that was still open; only when the outermost of them is answered
            # "not equal" too do all hold together. An "equal" needs no such care.
            if not same:
                self._verdicts.update({pair: False for pair in self._asked if pair not in self._verdicts})
            self._asked.clear()
        return same

    def _agreed_loops(self, base: int) -> frozenset[Coordinate]:
        """The loops whose iteration is the same for two equal arrays of children."""
        # Equal children have equal parents, so they agree in all that the parent determines.
        _, args = self._of.origin(base)
        if base not in self._of.nodes or not args:
            return frozenset()
        return frozenset(c for c in args[0].closure() if not isinstance(c, int))

    def _come_of_equals(self, a: Source, b: Source) -> bool:
        """Are they overlapping results of the same operation, of arguments that may be equal?"""
        (what_a, args_a), (what_b, args_b) = (self._of.origin(x.base, x.base) for x in (a, b))
        if what_a == what_b:
            # From the last axis: that of the children, whatever the shapes of the parents are.
            if not all(x.meet(y) for x, y in zip(reversed(a.box), reversed(b.box), strict=False)):
                return False
        elif not (_is_split(what_a) and _is_split(what_b)):  # grids of different shapes number their rows differently
            return False
        return len(args_a) == len(args_b) and all(map(self.may_equal, args_a, args_b))

    def _are_entries(self, a: Source, b: Source) -> bool:
        """Looks at what one of them may be.

        First at what an iteration starts with, then at arrays and what a loop leaves, at last at what an earlier iteration made:
        so that what an earlier iteration made meets what the last one leaves by name, before both are written out and look the
        same. What is none of these, and not in the tree of keys, may be anything.
        """
        of = self._of
        for entries_of in (of.starts, of.holds, of.like):
            for x, y in ((a, b), (b, a)):
                if entries := entries_of.get(x.base):
                    return any(self._overlap(s, y) for value in entries for s in value.sources)
        return any(x.base not in of.nodes and x.base not in of.handed_on for x in (a, b))

    # -- descent

    def descends(self, value: Value, start: Value) -> bool:
        """Is each of its entries a child, or a child's child, of what an iteration starts with?"""
        return all(self._descends(s, start.number, False, frozenset()) for s in value.sources)

    def _descends(self, source: Source, ancestor: int, deeper: bool, seen: frozenset[int]) -> bool:
        base = source.base
        if base == ancestor:
            return deeper
        # A loop that leads back to here adds no other way out.
        if base in seen:
            return True
        seen |= {base}
        what, args = self._of.origin(base)
        if _is_split(what):
            return all(self._descends(s, ancestor, True, seen) for s in args[0].sources)
        entries = self._of.starts.get(base) or self._of.holds.get(base) or self._of.like.get(base)
        if not entries:
            return False
        return all(self._descends(s, ancestor, deeper, seen) for value in entries for s in value.sources)

    def may_descend(self, value: Value, ancestor: Value) -> bool:
        """May one of its entries be an entry of `ancestor`, or descend from it?"""
        return any(self._may_descend(s, ancestor, set()) for s in value.sources)

    def _may_descend(self, source: Source, ancestor: Value, seen: set[int], itself: bool = True) -> bool:
        if itself and any(self._overlap(source, t) for t in ancestor.sources):
            return True
        if source.base in seen:
            return False
        seen.add(source.base)
        of, base = self._of, source.base
        what, args = of.origin(base)
        further = list(args[0].sources) if _is_split(what) else []
        further += _sources(of.starts.get(base)) + _sources(of.holds.get(base))
        # What an earlier iteration handed on was compared by its name; what that iteration made it of was not.
        earlier = _sources(of.like.get(base))
        return any(self._may_descend(s, ancestor, seen) for s in further) or any(
            self._may_descend(s, ancestor, seen, itself=False) for s in earlier
        )

    @contextlib.contextmanager
    def in_one_iteration(self, starts: Iterable[Value]) -> Iterator[None]:
        """Inside it, what an iteration starts with is a key like any other: no other iteration is considered."""
        of = self._of
        hidden = {v.number: of.starts.pop(v.number) for v in starts if v.number in of.starts}
        nodes = hidden.keys() - of.nodes
        of.nodes |= nodes
        self.forget()
        yield
        of.starts.update(hidden)
        of.nodes -= nodes
        self.forget()


def _sources(values: Iterable[Value] | None) -> list[Source]:
    return [s for value in values or () for s in value.sources]


def _is_split(what: Any) -> bool:
    return isinstance(what, tuple) and bool(what) and what[0] == "random_split"
