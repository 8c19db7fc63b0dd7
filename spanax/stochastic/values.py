"""Which values of a traced program may be equal: value numbering, with the part of an array that a value is.

Every value has a number (the same number: the same function of the same inputs) and its sources (`array_parts`), so that a
static row of an array, the row of a loop's pass and a traced index into it can be compared. Two values may be equal where
two of their sources overlap, where they come of the same operation from arguments that may be equal, or where one was made
of entries of the other (`_holds`: what a loop carries is its initial value or what the last pass handed on). What each
primitive makes of its arguments is said in `value_rules`.
"""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._jaxprs import Literal
from .array_parts import INTEGERS, Rows, Source, Value
from .flow import Path

_LARGE = 1 << 16  # entries; a longer constant is not compared entry by entry


class Values:
    """The numbering of one program."""

    def __init__(self):
        self._numbers: dict[Hashable, int] = {"integers": INTEGERS}
        self._made: dict[int, tuple[Hashable, Sequence[Value]]] = {}  # number -> the operation and its arguments
        self._plain: set[int] = set()  # numbers of values that equal no other number's
        self._joined: dict[int, tuple[int, list[tuple[int, Value]]]] = {}  # number -> axis, (length, piece)
        self._holds: dict[int, list[Value]] = {}  # number -> what its entries may be equal to
        self._starts: dict[int, list[Value]] = {}  # the same, of what a pass of a loop starts with
        self._like: dict[int, list[Value]] = {}  # the same, of what an earlier pass handed on: as a pass makes it
        self._apart: set[tuple[int, int]] = set()  # bases that never meet
        self._verdicts: dict[tuple[Source, Source], bool] = {}
        self._asked: dict[tuple[Source, Source], None] = {}  # in the question that is open

    # -- making values

    def fresh(self, varies: frozenset[Path], shape: Sequence[int]) -> Value:
        return self.of(("fresh", len(self._numbers)), (), shape, varies)

    def holding(self, value: Value, *entries: Value) -> Value:
        """The same value, of which it is known that its entries may be those of others."""
        self._plain.discard(value.number)
        self._verdicts.clear()
        self._holds.setdefault(value.number, []).extend(entries)
        return value

    def carried(self, first: Value, shape: Sequence[int], varies: frozenset[Path]) -> tuple[Value, Value]:
        """What a pass of a loop starts with: `first`, or what the pass before handed on; and that by itself."""
        before, start = self.fresh(varies, shape), self.fresh(varies, shape)
        self._plain -= {before.number, start.number}
        self._starts[start.number] = [first, before]
        return start, before

    def handed_on(self, before: Value, out: Value) -> None:
        """`out`, as a pass makes it from what it starts with, is what the next one gets."""
        self._like[before.number] = [out]
        self._verdicts.clear()

    def last(self, out: Value, start: Value, before: Value, shape: Sequence[int], varies: frozenset[Path]) -> Value:
        """What the last pass hands on: no pass starts with it."""
        after = self.holding(self.fresh(varies, shape), out)
        for other in (start.number, before.number):
            self._apart |= {(after.number, other), (other, after.number)}
        return after

    def constant(self, x: Any, name: Hashable) -> Value:
        """A constant of the program; equal keys and numbers are the same value."""
        if is_key(x):
            return self.of(("key", str(x.dtype), np.asarray(jax.random.key_data(x)).tobytes()), (), np.shape(x))
        if not jnp.issubdtype(jnp.result_type(x), jnp.integer) or np.size(x) > _LARGE or np.ndim(x) > 1:
            return self.of(("constant", name), (), np.shape(x))
        x = np.asarray(x)
        steps = set(np.diff(x).tolist()) if x.ndim else set()
        if not x.ndim:
            return self.integers(range(int(x), int(x) + 1))
        if len(steps) == 1 and (step := steps.pop()) != 0:
            return self.integers(range(int(x[0]), int(x[-1]) + step, step), axes=(0,))
        value = self.of(("numbers", x.tobytes()), (), x.shape)
        return value if len(set(x.tolist())) == len(x) else value._replace(repeats=frozenset({0}))

    def of(self, what: Hashable, args: Sequence[Value], shape: Sequence[int], varies: Iterable[Path] = ()) -> Value:
        """The value of an operation. `what`: all that it depends on beside the arguments."""
        number = self._number((what, tuple(a.number for a in args)))
        self._made[number] = (what, args)
        if all(self._is_plain(a) for a in args):
            self._plain.add(number)
        source = Source(number, tuple(Rows(range(n)) for n in shape))
        varies = frozenset(varies).union(*(a.varies for a in args))
        return Value(number, varies, frozenset([source]), tuple(range(len(shape))))

    def _number(self, what: Hashable) -> int:
        return self._numbers.setdefault(what, len(self._numbers))

    def _is_plain(self, value: Value) -> bool:
        if len(value.sources) != 1:
            return False
        ((base, box),) = value.sources
        return (base in self._plain or base == INTEGERS) and all(len(r.rows) == 1 and r.by is None for r in box)

    def part(self, value: Value, sources: Iterable[Source], axes, repeats: Iterable[int] = ()) -> Value:
        """Some entries of `value`."""
        sources, repeats = frozenset(sources), frozenset(repeats)
        what = ("part", sources, axes) if axes is not None else ("part", sources, value.number, repeats)
        return Value(self._number(what), value.varies, sources, axes, repeats)

    def literal(self, literal: Literal) -> Value:
        value = np.asarray(literal.val)
        if value.shape == () and value.dtype.kind in "biu":
            return self.integers(range(int(value), int(value) + 1))
        return self.of(("literal", str(literal.aval), str(literal.val)), (), value.shape)

    def integers(self, rows: range, varies: frozenset[Path] = frozenset(), axes: tuple[int, ...] = ()) -> Value:
        source = Source(INTEGERS, (Rows(rows),))
        return Value(self._number(("integers", rows, axes)), varies, frozenset([source]), axes)

    def known(self, value: Value) -> range | None:
        """The integers that this may be, where they are known."""
        if len(value.sources) == 1:
            ((base, box),) = value.sources
            if base == INTEGERS and box[0].by is None:
                rows = box[0].rows
                return rows if rows.step > 0 else rows[::-1]
        return None

    def step(self, before: Value, after: Value) -> int | None:
        """The positive integer that was added, where that is all that happened."""
        match self._made.get(after.number):
            case (("add", *_), (first, by)) if first.number == before.number and (steps := self.known(by)):
                return steps[0] if len(steps) == 1 and steps[0] > 0 else None
        return None

    def union(self, values: Sequence[Value], what: Hashable) -> Value:
        """One of these values, nobody knows which: it differs from pass to pass where all of them do."""
        varies = frozenset.intersection(*(v.varies for v in values))
        if len({v.number for v in values}) == 1:
            return values[0]._replace(varies=varies)
        axes = values[0].axes if len({v.axes for v in values}) == 1 else None
        return Value(
            self._number(("one of", what, tuple(v.number for v in values))),
            varies,
            frozenset().union(*(v.sources for v in values)),
            axes,
            frozenset().union(*(v.repeats for v in values)),
        )

    # -- the part of an array

    def row(self, value: Value, loop: Path, axis: int = 0) -> Value:
        """The entry that one pass of a loop, or one lane of a vmap, gets: another loop over the array gets the same."""
        axes = None if value.axes is None else (*value.axes[:axis], *value.axes[axis + 1 :])
        repeats = {k - (k > axis) for k in value.repeats if k != axis}
        varies = value.varies if axis in value.repeats else value.varies | {loop}
        return self.part(value, value.sources, axes, repeats)._replace(varies=varies)

    def sliced(self, value: Value, axis: int, rows: slice, by: int | None = None) -> Value:
        if value.number in self._joined and by is None:
            return self._sliced_join(value, axis, rows)
        if value.axes is None:
            return value
        sources = (s.narrowed(value.axes[axis], rows, by) for s in value.sources)
        return self.part(value, sources, value.axes, value.repeats)

    def _sliced_join(self, value: Value, axis: int, rows: slice) -> Value:
        along, pieces = self._joined[value.number]
        if axis != along:
            return self.join([(n, self.sliced(p, axis, rows)) for n, p in pieces], along)
        ends = list(itertools.accumulate((n for n, _ in pieces), initial=0))
        wanted, chosen = range(ends[-1])[rows], []
        for start, (length, piece) in zip(ends, pieces, strict=False):
            mine = [i - start for i in wanted if start <= i < start + length]
            if mine:
                stop = mine[-1] + (1 if wanted.step > 0 else -1)
                part = slice(mine[0], stop if stop >= 0 else None, wanted.step)
                chosen.append((len(mine), self.sliced(piece, axis, part)))
        return self.join(chosen if wanted.step > 0 else chosen[::-1], along)

    def join(self, pieces: list[tuple[int, Value]], axis: int) -> Value:
        """Arrays one after the other."""
        if len(pieces) == 1:
            return pieces[0][1]
        values = [piece for _, piece in pieces]
        shared = any(self.may_equal(a, b) for k, a in enumerate(values) for b in values[:k])
        repeats = frozenset({axis} if shared else ()).union(*(v.repeats for v in values))
        out = self.union(values, ("join", axis))
        number = self._number(("join", axis, tuple((n, v.number) for n, v in pieces)))
        self._joined[number] = (axis, pieces)
        return out._replace(number=number, axes=None, repeats=repeats)

    # -- equality

    def may_equal(self, a: Value, b: Value) -> bool:
        return a.number == b.number or any(self._overlap(s, t) for s in a.sources for t in b.sources)

    def _overlap(self, a: Source, b: Source) -> bool:
        if a.base == b.base:
            return all(x.meet(y) for x, y in zip(a.box, b.box, strict=True))
        if (a.base in self._plain and b.base in self._plain) or (a.base, b.base) in self._apart:
            return False
        if (a, b) in self._verdicts:
            return self._verdicts[a, b]
        if (a, b) in self._asked:
            return False  # a loop proves nothing
        outermost = not self._asked
        self._asked[a, b] = None
        same = self._come_of_equals(a, b) or self._are_entries(a, b)
        if same:
            self._verdicts[a, b] = True
        if outermost:
            if not same:
                self._verdicts.update({pair: False for pair in self._asked if pair not in self._verdicts})
            self._asked.clear()
        return same

    def _come_of_equals(self, a: Source, b: Source) -> bool:
        """Are they overlapping results of the same operation, of arguments that may be equal?"""
        (what_a, args_a), (what_b, args_b) = (self._made.get(x.base, (x.base, ())) for x in (a, b))
        if what_a == what_b:
            if not all(x.meet(y) for x, y in zip(reversed(a.box), reversed(b.box), strict=False)):
                return False
        elif not (_is_split(what_a) and _is_split(what_b)):  # grids of different shapes number their rows differently
            return False
        return len(args_a) == len(args_b) and all(map(self.may_equal, args_a, args_b))

    def _are_entries(self, a: Source, b: Source) -> bool:
        """Looks at what one of them may be.

        First at what a pass starts with, then at arrays and what a loop leaves, at last at what an earlier pass made: so that
        what an earlier pass made meets what the last one leaves by name, before both are written out and look the same.
        """
        for known in (self._starts, self._holds, self._like):
            for x, y in ((a, b), (b, a)):
                if entries := known.get(x.base):
                    return any(self._overlap(s, y) for value in entries for s in value.sources)
        return False


def is_key(x: Any) -> bool:
    """Is it a key of `jax.random`, or an array of them; or the shape and dtype of one?"""
    return jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key)


def _is_split(what: Any) -> bool:
    return isinstance(what, tuple) and what[0] == "random_split"
