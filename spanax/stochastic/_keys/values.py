"""Which values of a traced program may be equal: value numbering, with the part of an array that a value is.

Every value has a number (the same number: the same function of the same inputs) and its sources (`array_parts`), so that a
static row of an array, the row of a loop's pass and a traced index into it can be compared. Keys form a tree: two children
differ where their parents or their rows do. Everything else is equal until it is proved otherwise: what is made by an
operation that is not known to keep different things apart may equal any key, and two integers may be equal unless what they
count (`counts`) says no. What each primitive makes of its arguments is said in `value_rules`.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import JaxprEqn, Literal, aval, computed_now
from ..flow import Path
from .array_parts import REPLICATES, Rows, Source, Value, given, in_chains
from .counts import LARGE, Coordinate, Linear, Telling, Term, is_data
from .tables import Table, computed


class Values:
    """The numbering of one program."""

    def __init__(self):
        self.lengths: dict[Path, int | None] = {}  # passes of each loop, and lanes of each vmap of a draw
        self._numbers: dict[Hashable, int] = {}
        self._made: dict[int, tuple[Hashable, Sequence[Value]]] = {}  # number -> the operation and its arguments
        self._nodes: set[int] = set()  # numbers of nodes of the tree of keys: roots, and arrays of children
        self._constants: set[int] = set()  # numbers of keys that are known
        self._plain: set[int] = set()  # numbers of values that equal no other number's
        self._joined: dict[int, tuple[int, list[tuple[int, Value]]]] = {}  # number -> axis, (length, piece)
        self._holds: dict[int, list[Value]] = {}  # number -> what its entries may be equal to
        self._starts: dict[int, list[Value]] = {}  # the same, of what a pass of a loop starts with
        self._like: dict[int, list[Value]] = {}  # the same, of what an earlier pass handed on: as a pass makes it
        self._handed: set[int] = set()  # numbers of what an earlier pass handed on
        self._apart: set[tuple[int, int]] = set()  # bases that never meet
        self._linear: dict[int, Linear] = {}
        self._told_by_data: dict[int, frozenset[Telling]] = {}  # by what is counted as it is
        self._depends: dict[int, frozenset[Coordinate]] = {}
        self._recipes: dict[int, Callable[[], Table | None]] = {}
        self._tables: dict[int, Table | None] = {}
        self._verdicts: dict[tuple[Source, Source], bool] = {}
        self._asked: dict[tuple[Source, Source], None] = {}  # in the question that is open

    # -- making values

    def of(
        self,
        what: Hashable,
        args: Sequence[Value],
        shape: Sequence[int],
        tells: Iterable[Telling] = (),
        node: bool = False,
    ) -> Value:
        """The value of an operation. `what`: all that it depends on beside the arguments."""
        number = self._number((what, tuple(a.number for a in args)))
        self._made[number] = (what, args)
        if node:
            self._nodes.add(number)
            if all(self._is_plain(a) for a in args if a.number not in self._linear):
                self._plain.add(number)
        box = tuple(Rows(range(n)) for n in shape)
        loops = frozenset(c for a in args for c in a.depends if not isinstance(c, int))
        depends = self._depends[number] = loops | frozenset(k for k, n in enumerate(shape) if n != 1)
        chains = frozenset().union(*(a.chains for a in args))
        source = Source(number, box)
        return Value(number, frozenset(tells), depends, frozenset([source]), tuple(range(len(shape))), chains)

    def fresh(self, shape: Sequence[int], args: Sequence[Value] = (), tells: Iterable[Telling] = ()) -> Value:
        return self.of(("fresh", len(self._numbers)), args, shape, tells)

    def root(self, name: Hashable, shape: Sequence[int], tells: Iterable[Telling]) -> Value:
        """A key, or an array of them, that comes from outside."""
        return self.of(("root", name), (), shape, tells, node=True)

    def holding(self, value: Value, *entries: Value) -> Value:
        """The same value, of which it is known that its entries may be those of others."""
        self._plain.discard(value.number)
        self._verdicts.clear()
        self._holds[value.number] = list(entries)
        return value

    def carried(self, first: Value, shape: Sequence[int], loop: Path) -> tuple[Value, Value]:
        """What a pass of a loop starts with: `first`, or what the pass before handed on; and that by itself."""
        before, start = self.fresh(shape, [first]), self.fresh(shape, [first])
        self._handed.add(before.number)
        self._starts[start.number] = [first, before]
        start, before = (self.noted(v._replace(depends=v.depends | {loop})) for v in (start, before))
        return start, before

    def handed_on(self, before: Value, out: Value) -> None:
        """`out`, as a pass makes it from what it starts with, is what the next one gets."""
        self._like[before.number] = [out]
        self._verdicts.clear()

    def last(
        self, out: Value, kept: Value, new: Iterable[Value], shape: Sequence[int], loop: Path, exact: bool
    ) -> Value:
        """What the last pass hands on: no pass starts with it. `exact`: the length of the loop is no mere bound."""
        if (linear := self.linear(out)) is not None and exact and (length := self.lengths[loop]):
            return self.counted(linear.at(loop, length - 1), shape)
        gone = out.renamed(lambda c: None if c == loop else c)
        after = self.holding(self.fresh(shape, [out]), out)._replace(depends=gone.depends)
        self._depends[after.number] = after.depends
        for other in new:
            self._apart |= {(after.number, other.number), (other.number, after.number)}
        chains = kept.chains - {loop}
        tells = in_chains((t for t in kept.tells if loop not in (t[0], *t[1])), chains)
        if exact:
            self._recipes[after.number] = lambda: self._from(out, lambda t: t.last(loop))
        return after._replace(tells=tells, chains=chains)

    def constant(self, x: Any, name: Hashable) -> Value:
        """A constant of the program; equal keys and numbers are the same value."""
        typed, shape = is_key(x), np.shape(x)
        keys = typed or (x.dtype == np.uint32 and shape and shape[-1] in (2, 4))
        if not keys and (np.dtype(x.dtype).kind not in "biu" or np.size(x) > LARGE):
            out = self.of(("constant", name), (), shape)
            if np.size(x) <= LARGE:
                self._recipes.setdefault(out.number, lambda: Table((), np.asarray(x)))
            return out
        with computed_now():
            data = np.asarray(jax.random.key_data(x)) if typed else np.asarray(x)
        what = ("constant", str(data.dtype), data.shape, data.tobytes())
        if keys:
            lead = data.shape[:-1]
            rows = np.unique(data.reshape(-1, data.shape[-1]), axis=0) if lead else data[None]
            distinct = len(rows) == int(np.prod(lead, dtype=int))
            tells = [(k, frozenset()) for k in range(len(lead))] if distinct else ()
            out = self.of(what, (), shape, tells, node=True)
            self._constants.add(out.number)
        elif data.dtype.kind in "iu" and (linear := _progression(data)) is not None:
            return self.counted(linear, shape)
        else:
            out = self.of(what, (), shape)
        if not typed:
            self._recipes.setdefault(out.number, lambda: Table((), data))
        return out

    def literal(self, literal: Literal) -> Value:
        return self.constant(np.asarray(literal.val, aval(literal).dtype), ("literal", str(literal.val)))

    def counted(self, linear: Linear, shape: Sequence[int]) -> Value:
        number = self._number(("count", linear, tuple(shape)))
        self._linear[number] = linear
        source = Source(number, tuple(Rows(range(n)) for n in shape))
        moving = frozenset().union(*(self._depends[t.of[1]] for t in linear.data))
        depends = self._depends[number] = moving.union(t.of for t in linear.counters)
        tells = given(linear.tells(), moving)
        if len(linear.data) == 1 and abs((term := next(iter(linear.data))).factor) == 1:
            tells |= given(self._told_by_data.get(term.of[1], ()), (t.of for t in linear.counters))
        return Value(number, tells, depends, frozenset([source]), tuple(range(len(shape))))

    def noted(self, value: Value) -> Value:
        """The same value: what its number depends on is kept."""
        self._depends[value.number] = value.depends
        return value

    def named(self, value: Value, what: Hashable) -> Value:
        """The same value, with the number of another operation."""
        return self.noted(value._replace(number=self._number(what)))

    def _number(self, what: Hashable) -> int:
        return self._numbers.setdefault(what, len(self._numbers))

    def _is_plain(self, value: Value) -> bool:
        if len(value.sources) != 1:
            return False
        ((base, box),) = value.sources
        return base in self._plain and all(len(r.rows) == 1 for r in box)

    def part(self, value: Value, sources: Iterable[Source], axes, what: Hashable = ()) -> Value:
        """Some entries of `value`."""
        sources = frozenset(sources)
        where = (value.number, what) if axes is None or what or len(sources) != 1 else ()
        return value._replace(number=self._number(("part", sources, axes, where)), sources=sources, axes=axes)

    def union(self, values: Sequence[Value], what: Hashable) -> Value:
        """One of these values, nobody knows which: it tells what all of them do, if no two can be taken for one another."""
        if len({v.number for v in values}) == 1:
            return values[0]
        distinct = list({v.number: v for v in values}.values())
        tells = _common(v.tells for v in distinct)
        if any(self.may_equal(a, b) for a, b in itertools.combinations(distinct, 2)):
            tells = frozenset(t for t in tells if t[0] == REPLICATES)
        axes = values[0].axes if len({v.axes for v in values}) == 1 else None
        number = self._number(("one of", what, tuple(v.number for v in values)))
        sources, depends, chains = (
            frozenset().union(*(getattr(v, name) for v in values)) for name in ("sources", "depends", "chains")
        )
        self._depends[number] = depends
        return Value(number, tells, depends, sources, axes, chains)

    # -- the part of an array

    def row(self, value: Value, loop: Path, axis: int = 0) -> Value:
        """The entry that one pass of a loop, or one lane of a vmap, gets: another loop over the array gets the same."""

        def new(c):
            return (loop if c == axis else c - (c > axis)) if isinstance(c, int) else c

        if value.number in self._linear:
            return self.counted(self._linear[value.number].renamed(new), self._shape_without(value, axis))
        axes = None if value.axes is None else (*value.axes[:axis], *value.axes[axis + 1 :])
        out = self.part(value, value.sources, axes, (loop, axis)).renamed(new)
        self._depends[out.number] = out.depends
        self._recipes.setdefault(out.number, lambda: self._from(value, lambda t: t.row(loop, axis)))
        return out

    def _shape_without(self, value: Value, axis: int) -> tuple[int, ...]:
        ((_, box),) = value.sources
        return tuple(len(r.rows) for k, r in enumerate(box) if k != axis)

    def sliced(self, value: Value, axis: int, rows: slice) -> Value:
        if value.number in self._linear:
            return self._sliced_count(value, axis, rows)
        if value.number in self._joined:
            return self._sliced_join(value, axis, rows)
        out = self.chosen(value, axis, lambda old: Rows(old.rows[rows], old.by))
        if out.number == value.number:  # its parts are not followed
            out = self.named(out, ("sliced", value.number, axis, rows.start, rows.stop, rows.step))
        return out

    def _sliced_count(self, value: Value, axis: int, rows: slice) -> Value:
        ((_, box),) = value.sources
        shape = [len(r.rows) for r in box]
        kept = range(shape[axis])[rows]
        shape[axis] = len(kept)
        linear = self._linear[value.number]
        factor = next((t.factor for t in linear.terms if t.of == axis), 0)
        start = linear.at(axis, kept.start)
        step = Linear(0, frozenset([Term(axis, factor * kept.step, len(kept))] if factor and len(kept) > 1 else []))
        return self.counted(start.plus(step), shape)

    def chosen(self, value: Value, axis: int, choose: Callable[[Rows], Rows]) -> Value:
        """These rows of it along one axis; any rows, where two of them may be the same key."""
        if value.axes is None or (self._may_repeat(value) and all(c != axis for c, _ in value.tells)):
            return value
        return self.part(value, (s.narrowed(value.axes[axis], choose) for s in value.sources), value.axes)

    def _may_repeat(self, value: Value) -> bool:
        """Is it any array but one of children in the tree of keys?"""
        return any(s.base not in self._nodes or s.base in self._constants for s in value.sources)

    def reversed(self, value: Value) -> Value:
        """Its first axis the other way round."""
        out = self.sliced(value, 0, slice(None, None, -1))
        self._recipes.setdefault(out.number, lambda: self._from(value, lambda t: t.reversed()))
        return out

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
                whole = mine == list(range(length))
                chosen.append((len(mine), piece if whole else self.sliced(piece, axis, part)))
        return self.join(chosen if wanted.step > 0 else chosen[::-1], along)

    def join(self, pieces: list[tuple[int, Value]], axis: int) -> Value:
        """Arrays one after the other."""
        if len(pieces) == 1:
            return pieces[0][1]
        alone = frozenset([(axis, frozenset())])
        values = [p._replace(tells=p.tells | alone) if n == 1 else p for n, p in pieces]
        shared = any(self.may_equal(a, b) for a, b in itertools.combinations(values, 2))
        out = self.union(values, ("join", axis))
        number = self._number(("join", axis, tuple((n, v.number) for n, v in pieces)))
        self._joined[number] = (axis, pieces)
        tells = frozenset(t for t in _common(v.tells for v in values) if not shared or t[0] == REPLICATES)
        depends = self._depends[number] = out.depends | {axis}
        return out._replace(number=number, axes=None, tells=tells, depends=depends)

    # -- integers that are known

    def passes(self, test: Value, start: Value, first: Linear, step: int) -> tuple[int, bool] | None:
        """How many passes a loop makes at most whose counter this is, while `test` holds, and whether it is just as many.

        None: the test does not say.
        """
        what, args = self._made.get(test.number, ((), ()))
        name = what[0] if isinstance(what, tuple) and what else ""
        if name == "and":
            found = [n[0] for arg in args if (n := self.passes(arg, start, first, step)) is not None]
            return (min(found), False) if found else None
        if name in ("gt", "ge"):
            name, args = {"gt": "lt", "ge": "le"}[name], args[::-1]
        if name not in ("lt", "le") or first.data:
            return None
        forward = args[0].number == start.number
        limit = self.linear(args[1 if forward else 0])
        if limit is None or limit.terms or args[0 if forward else 1].number != start.number or (step > 0) != forward:
            return None
        low, high = first.bounds()
        far = (limit.offset - low if forward else high - limit.offset) + (name == "le")
        return max(1, (far - 1) // abs(step) + 1), low == high and far > 0

    def linear(self, value: Value) -> Linear | None:
        return self._linear.get(value.number)

    def as_linear(self, value: Value, dtype: np.dtype) -> Linear | None:
        """What it counts; by itself, where it is data."""
        if value.number in self._linear or dtype.kind not in "iu" or dtype.itemsize < 4:
            return self._linear.get(value.number)
        if dtype.itemsize == 4:
            self._told_by_data[value.number] = value.tells
        self._depends[value.number] = value.depends
        return Linear(0, frozenset([Term(("data", value.number), 1, None)]))

    def values(self, value: Value, computed: bool = True) -> Sequence[int] | None:
        """All integers that its entries may be, or some more; None: unknown. `computed`: even if it takes computing them."""
        if (linear := self.linear(value)) is not None and not linear.data:
            return linear.values()
        if computed and (table := self.table(value)) is not None and table.entries.dtype.kind in "biu":
            return tuple(np.unique(table.entries).tolist())
        held = [entry for source in value.sources for entry in self._holds.get(source.base, (None,))]
        found = [self.values(v, computed) if v is not None else None for v in held]
        known = [f for f in found if f is not None and len(f) <= LARGE]
        return tuple(sorted(set(itertools.chain(*known)))) if known and len(known) == len(found) else None

    def settled(self, value: Value) -> Value:
        """The same, with what its entries tell if they are known one by one."""
        linear = self.linear(value)
        if (linear is not None and not linear.data) or (table := self.table(value)) is None:
            return value
        return value._replace(tells=value.tells | table.tells())

    def table(self, value: Value) -> Table | None:
        number = value.number
        if number not in self._tables:
            self._tables[number] = None
            linear, recipe = self._linear.get(number), self._recipes.get(number)
            found = (
                self._of_linear(value, linear)
                if linear is not None and not linear.data
                else recipe()
                if recipe
                else None
            )
            if found is not None and found.entries.size > LARGE:
                found = None
            self._tables[number] = found
        return self._tables[number]

    def made_by(self, value: Value, eqn: JaxprEqn, k: int, ins: Sequence[Value]) -> None:
        """How to compute it from its arguments, where those are known."""
        self._recipes.setdefault(value.number, lambda: self._computed(eqn, k, ins))

    def stacked(self, value: Value, inside: Value, loop: Path) -> None:
        self._recipes[value.number] = lambda: self._from(inside, lambda t: t.stacked(loop, self.lengths[loop] or 0))

    def _of_linear(self, value: Value, linear: Linear) -> Table | None:
        if (known := linear.table()) is None:
            return None
        names, entries = known
        ((_, box),) = value.sources
        axes = range(len(box))
        missing = [k for k in axes if k not in names]
        entries = entries.reshape((*entries.shape, *(1 for _ in missing)))
        names = (*names, *missing)
        loops = tuple(sorted(n for n in names if not isinstance(n, int)))
        entries = np.transpose(entries, [names.index(n) for n in (*loops, *axes)])
        shape = (*entries.shape[: len(loops)], *(len(r.rows) for r in box))
        return Table(loops, np.broadcast_to(entries, shape)) if np.prod(shape, dtype=float) <= LARGE else None

    def _from(self, value: Value, make: Callable[[Table], Table | None]) -> Table | None:
        return None if (table := self.table(value)) is None else make(table)

    def _computed(self, eqn: JaxprEqn, k: int, ins: Sequence[Value]) -> Table | None:
        tables = [t for x in ins if (t := self.table(x)) is not None]
        return computed(eqn, k, tables, self.lengths) if len(tables) == len(ins) else None

    # -- equality

    def may_equal(self, a: Value, b: Value) -> bool:
        if a.number == b.number:
            return True
        x, y = self.linear(a), self.linear(b)
        if x is not None and y is not None and not x.meets(y, lambda c: self._same(c, frozenset())):
            return False
        if (p := self.values(a)) is not None and (q := self.values(b)) is not None:
            return Rows(p).meet(Rows(q))
        return any(self._overlap(s, t) for s in a.sources for t in b.sources)

    def _same(self, coordinate: Coordinate, agreed: frozenset[Coordinate]) -> bool:
        """Do two values that agree in some coordinates agree in this one, or in this data?"""
        if is_data(coordinate):
            return self._depends[coordinate[1]] <= agreed
        return coordinate in agreed

    def _overlap(self, a: Source, b: Source) -> bool:
        if a.base == b.base:
            agreed = self._agreed(a.base)
            return all(x.meet(y, lambda c: self._same(c, agreed)) for x, y in zip(a.box, b.box, strict=True))
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

    def _agreed(self, base: int) -> frozenset[Coordinate]:
        """The loops whose pass is the same for two equal arrays of children."""
        _, args = self._made.get(base, ((), ()))
        if base not in self._nodes or not args:
            return frozenset()
        return frozenset(c for c in args[0].told() if not isinstance(c, int))

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
        what an earlier pass made meets what the last one leaves by name, before both are written out and look the same. What
        is none of these, and not in the tree of keys, may be anything.
        """
        for known in (self._starts, self._holds, self._like):
            for x, y in ((a, b), (b, a)):
                if entries := known.get(x.base):
                    return any(self._overlap(s, y) for value in entries for s in value.sources)
        return any(x.base not in self._nodes and x.base not in self._handed for x in (a, b))

    # -- descent

    def descends(self, value: Value, start: Value) -> bool:
        """Is each of its entries a child, or a child's child, of what a pass starts with?"""
        return all(self._descends(s, start.number, False, frozenset()) for s in value.sources)

    def _descends(self, source: Source, ancestor: int, deeper: bool, seen: frozenset[int]) -> bool:
        base = source.base
        if base == ancestor:
            return deeper
        if base in seen:
            return True
        seen |= {base}
        what, args = self._made.get(base, ((), ()))
        if _is_split(what):
            return all(self._descends(s, ancestor, True, seen) for s in args[0].sources)
        entries = self._starts.get(base) or self._holds.get(base) or self._like.get(base)
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
        what, args = self._made.get(source.base, ((), ()))
        parents = args[0].sources if _is_split(what) else ()
        entries = [s for known in (self._starts, self._holds) for v in known.get(source.base, ()) for s in v.sources]
        # What an earlier pass handed on was compared by its name; what it came of in that pass was not.
        earlier = [s for v in self._like.get(source.base, ()) for s in v.sources]
        return any(self._may_descend(s, ancestor, seen) for s in (*parents, *entries)) or any(
            self._may_descend(s, ancestor, seen, itself=False) for s in earlier
        )

    def bitcast_of(self, value: Value) -> tuple[str, Value] | None:
        """The dtype and the value that this one has the bits of."""
        match self._made.get(value.number):
            case (("bitcast", old, _), (before,)):
                return old, before
        return None

    @contextlib.contextmanager
    def in_one_pass(self, starts: Iterable[Value]) -> Iterator[None]:
        """Inside it, what a pass starts with is a key like any other: no other pass is thought of."""
        kept = {v.number: self._starts.pop(v.number) for v in starts if v.number in self._starts}
        nodes = kept.keys() - self._nodes
        self._nodes |= nodes
        self._verdicts.clear()
        yield
        self._starts.update(kept)
        self._nodes -= nodes
        self._verdicts.clear()


def is_key(x: Any) -> bool:
    """Is it a key of `jax.random`, or an array of them; or the shape and dtype of one?"""
    return jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key)


def _is_split(what: Any) -> bool:
    return isinstance(what, tuple) and bool(what) and what[0] == "random_split"


def _progression(x: np.ndarray) -> Linear | None:
    """A number, or numbers at equal distances."""
    if not x.ndim:
        return Linear(int(x))
    if x.ndim > 1 or x.size < 2:
        return None
    steps = {b - a for a, b in itertools.pairwise(x.tolist())} if x.size <= LARGE else set()
    return Linear(int(x[0]), frozenset([Term(0, steps.pop(), x.size)])) if len(steps) == 1 and 0 not in steps else None


def _common(all_tells: Iterable[frozenset[Telling]]) -> frozenset[Telling]:
    """What each of them tells, given what any of them needs."""
    first, *others = (dict(sorted(tells, key=lambda t: -len(t[1]))) for tells in all_tells)
    shared = set(first).intersection(*others)
    return frozenset((c, frozenset().union(first[c], *(t[c] for t in others))) for c in shared)
