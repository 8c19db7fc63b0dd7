"""Which values of a traced program may be equal: value numbering, with the part of an array that a value is.

Global value numbering (Alpern, Wegman and Zadeck, POPL 1988), extended by what it does not have: rows of arrays, iterations of
loops, and a tree of keys. Every value has a number (the same number: the same function of the same inputs) and its sources
(`array_parts`), so that a static row of an array, the row of a loop's iteration and a traced index into it can be compared. Keys
form a tree: two children differ where their parents or their rows do. Everything else is equal until it is proved otherwise
(`equality`): the result of an operation that is not known to keep different things apart may equal any key, and two integers
may be equal unless what they count (`counts`, `integers`) says no. `value_rules` has what each primitive makes of its arguments.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import Literal, aval, computed_now
from ..flow import Path
from .array_parts import REPLICATES, Rows, Source, Value, condition_on, within_chains
from .counts import LARGE, Coordinate, Dependency, Linear, Term
from .equality import Equality
from .integers import Integers
from .numbering import Numbering
from .tables import Table


class Values:
    """Makes the values of one program; `integers` and `equality` answer questions about them."""

    def __init__(self):
        self._all = Numbering()
        self.lengths = self._all.lengths
        self.integers = Integers(self._all)
        self.equality = Equality(self._all, self.integers)

    # -- making values

    def of(
        self,
        what: Hashable,
        args: Sequence[Value],
        shape: Sequence[int],
        determines: Iterable[Dependency] = (),
        node: bool = False,
    ) -> Value:
        """The value of an operation. `what`: all that it depends on beside the arguments. `node`: of the tree of keys."""
        number = self._all.number((what, tuple(a.number for a in args)))
        self._all.made[number] = (what, args)
        if node:
            self._all.nodes.add(number)
            # Two nodes that come of plain ones and of counts are equal by their number and their rows alone.
            if all(self._all.is_plain(a) for a in args if a.number not in self._all.linear):
                self._all.plain.add(number)
        varies_with = self._all.varies_with[number] = _varies_with(args, shape)
        chains = frozenset().union(*(a.chains for a in args))
        return Value(number, frozenset(determines), varies_with, *_whole(number, shape), chains)

    def fresh(self, shape: Sequence[int], args: Sequence[Value] = (), determines: Iterable[Dependency] = ()) -> Value:
        return self.of(("fresh", len(self._all)), args, shape, determines)

    def root(self, name: Hashable, shape: Sequence[int], determines: Iterable[Dependency]) -> Value:
        """A key, or an array of them, that comes from outside."""
        return self.of(("root", name), (), shape, determines, node=True)

    def hold(self, value: Value, *entries: Value) -> Value:
        """The same value, now known to have entries that may be those of others."""
        self._all.plain.discard(value.number)
        self.equality.forget()
        self._all.holds[value.number] = list(entries)
        return value

    def loop_start(self, first: Value, shape: Sequence[int], loop: Path) -> tuple[Value, Value]:
        """What an iteration starts with: `first`, or what the iteration before handed on; and that by itself."""
        before, start = self.fresh(shape, [first]), self.fresh(shape, [first])
        self._all.handed_on.add(before.number)
        self._all.starts[start.number] = [first, before]
        start, before = (self.note(v._replace(varies_with=v.varies_with | {loop})) for v in (start, before))
        return start, before

    def hand_on(self, before: Value, out: Value) -> None:
        """`out`, as an iteration makes it from what it starts with, is what the next one gets."""
        self._all.like[before.number] = [out]
        self.equality.forget()

    def last(
        self, out: Value, kept: Value, new: Iterable[Value], shape: Sequence[int], loop: Path, exact: bool
    ) -> Value:
        """What the last iteration hands on: none starts with it. `exact`: the length of the loop is not a mere bound."""
        # A counter ends at a number that is known; anything else after the loop is a value of its own.
        if (linear := self.integers.linear(out)) is not None and exact and (length := self.lengths[loop]):
            return self.count(linear.at(loop, length - 1), shape)
        # After the loop there is no iteration left that it could vary with.
        gone = out.rename(lambda c: None if c == loop else c)
        after = self.hold(self.fresh(shape, [out]), out)._replace(varies_with=gone.varies_with)
        self._all.varies_with[after.number] = after.varies_with
        for other in new:
            self._all.apart |= {(after.number, other.number), (other.number, after.number)}
        chains = kept.chains - {loop}
        determines = within_chains((d for d in kept.determines if loop not in (d[0], *d[1])), chains)
        if exact:
            self._all.recipes[after.number] = lambda: self.integers.from_table(out, lambda t: t.last(loop))
        return after._replace(determines=determines, chains=chains)

    def stack(self, inside: Value, shape: Sequence[int], loop: Path, own: frozenset[Dependency]) -> Value:
        """What all iterations return, one after the other. `own`: what an entry determines besides."""

        def stacked_axis(coordinate):
            if coordinate == loop:  # the loop is the new first axis
                return 0
            return coordinate + 1 if isinstance(coordinate, int) else coordinate

        if (linear := self.integers.linear(inside)) is not None:
            return self.count(linear.rename(stacked_axis), shape)
        out = inside._replace(determines=inside.determines | own).rename(stacked_axis)
        array = self.hold(self.fresh(shape, [inside]), inside)
        array = array._replace(determines=out.determines, varies_with=out.varies_with | {0}, chains=inside.chains)
        self.integers.stacks(array, inside, loop)
        return self.note(array)

    def constant(self, x: Any, name: Hashable) -> Value:
        """A constant of the program; equal keys and numbers are the same value."""
        typed, shape = is_key(x), np.shape(x)
        keys = typed or _may_be_raw_key(x, shape)
        if not keys and (np.dtype(x.dtype).kind not in "biu" or np.size(x) > LARGE):
            out = self.of(("constant", name), (), shape)
            if np.size(x) <= LARGE:
                self._all.recipes.setdefault(out.number, lambda: Table((), np.asarray(x)))
            return out
        # Concrete, whatever is traced around: the bits of a constant key are its name.
        with computed_now():
            data = np.asarray(jax.random.key_data(x)) if typed else np.asarray(x)
        what = ("constant", str(data.dtype), data.shape, data.tobytes())
        if keys:
            out = self.of(what, (), shape, _distinct_rows(data), node=True)
            self._all.constants.add(out.number)
        elif (linear := _progression(data)) is not None:
            return self.count(linear, shape)
        else:
            out = self.of(what, (), shape)
        if not typed:
            self._all.recipes.setdefault(out.number, lambda: Table((), data))
        return out

    def literal(self, literal: Literal) -> Value:
        return self.constant(np.asarray(literal.val, aval(literal).dtype), ("literal", str(literal.val)))

    def count(self, linear: Linear, shape: Sequence[int]) -> Value:
        number = self._all.number(("count", linear, tuple(shape)))
        self._all.linear[number] = linear
        moving = frozenset().union(*(self._all.varies_with[t.of[1]] for t in linear.data))
        varies_with = self._all.varies_with[number] = moving.union(t.of for t in linear.counters)
        determines = condition_on(linear.determines(), moving)
        # x + i with data x: given i, it determines what x does. A factor other than 1 could lose bits of x modulo 2**32.
        if len(linear.data) == 1 and abs((term := next(iter(linear.data))).factor) == 1:
            own = self._all.by_data.get(term.of[1], frozenset())
            determines |= condition_on(own, (t.of for t in linear.counters))
        return Value(number, determines, varies_with, *_whole(number, shape))

    def note(self, value: Value) -> Value:
        """The same value: what its number varies with is recorded."""
        self._all.varies_with[value.number] = value.varies_with
        return value

    def renumber(self, value: Value, what: Hashable) -> Value:
        """The same value, with the number of another operation."""
        return self.note(value._replace(number=self._all.number(what)))

    def part(self, value: Value, sources: Iterable[Source], axes, what: Hashable = ()) -> Value:
        """Some entries of `value`."""
        sources = frozenset(sources)
        # A part that is followed is its sources: two ways to cut out the same rows give one number. Else the cut names it.
        where = (value.number, what) if axes is None or what or len(sources) != 1 else ()
        return value._replace(number=self._all.number(("part", sources, axes, where)), sources=sources, axes=axes)

    def union(self, values: Sequence[Value], what: Hashable) -> Value:
        """Any one of these values: it determines what all of them do, if no two can be taken for one another."""
        distinct = list({v.number: v for v in values}.values())
        if len(distinct) == 1:
            return values[0]
        determines = _common(v.determines for v in distinct)
        if self._do_any_meet(distinct):
            determines = frozenset(d for d in determines if d[0] == REPLICATES)
        # Of values that lie differently in their arrays, rows cannot be chosen any more.
        axes = values[0].axes if len({v.axes for v in values}) == 1 else None
        number = self._all.number(("one of", what, tuple(v.number for v in values)))
        varies_with = self._all.varies_with[number] = _together(values, "varies_with")
        return Value(number, determines, varies_with, _together(values, "sources"), axes, _together(values, "chains"))

    def _do_any_meet(self, values: Sequence[Value]) -> bool:
        return any(self.equality.may_equal(a, b) for a, b in itertools.combinations(values, 2))

    # -- the part of an array

    def row(self, value: Value, loop: Path, axis: int = 0) -> Value:
        """The entry that one iteration of a loop, or one index of a vmap, gets: another loop over the array gets the same."""

        def new(c):
            return (loop if c == axis else c - (c > axis)) if isinstance(c, int) else c

        if (linear := self.integers.linear(value)) is not None:
            return self.count(linear.rename(new), _shape_without(value, axis))
        axes = None if value.axes is None else (*value.axes[:axis], *value.axes[axis + 1 :])
        out = self.part(value, value.sources, axes, (loop, axis)).rename(new)
        self._all.varies_with[out.number] = out.varies_with
        self._all.recipes.setdefault(out.number, lambda: self.integers.from_table(value, lambda t: t.row(loop, axis)))
        return out

    def slice(self, value: Value, axis: int, rows: slice) -> Value:
        if value.number in self._all.linear:
            return self._slice_count(value, axis, rows)
        if value.number in self._all.pieces:
            return self._slice_pieces(value, axis, rows)
        out = self.choose(value, axis, lambda old: Rows(old.rows[rows], old.by))
        if out.number == value.number:  # its parts are not followed
            out = self.renumber(out, ("sliced", value.number, axis, rows.start, rows.stop, rows.step))
        return out

    def _slice_count(self, value: Value, axis: int, rows: slice) -> Value:
        ((_, box),) = value.sources
        shape = [len(r.rows) for r in box]
        kept = range(shape[axis])[rows]
        shape[axis] = len(kept)
        linear = self._all.linear[value.number]
        factor = next((t.factor for t in linear.terms if t.of == axis), 0)
        start = linear.at(axis, kept.start)
        step = Linear(0, frozenset([Term(axis, factor * kept.step, len(kept))] if factor and len(kept) > 1 else []))
        return self.count(start.plus(step), shape)

    def _slice_pieces(self, value: Value, axis: int, rows: slice) -> Value:
        """Of a concatenation: a slice that takes a whole piece is that piece, with all that is known of it."""
        along, pieces = self._all.pieces[value.number]
        if axis != along:
            return self.join([(n, self.slice(p, axis, rows)) for n, p in pieces], along)
        ends = list(itertools.accumulate((n for n, _ in pieces), initial=0))
        wanted, chosen = range(ends[-1])[rows], []
        # Piece by piece, by where each begins and ends in the whole.
        for start, (length, piece) in zip(ends, pieces, strict=False):
            if mine := [i - start for i in wanted if start <= i < start + length]:
                whole = mine == list(range(length))
                chosen.append((len(mine), piece if whole else self.slice(piece, axis, _as_slice(mine, wanted.step))))
        return self.join(chosen if wanted.step > 0 else chosen[::-1], along)

    def choose(self, value: Value, axis: int, choose: Callable[[Rows], Rows]) -> Value:
        """These rows of it along one axis; any rows, where two of them may be the same key."""
        if value.axes is None or (self._may_repeat(value) and all(c != axis for c, _ in value.determines)):
            return value
        return self.part(value, (s.narrow(value.axes[axis], choose) for s in value.sources), value.axes)

    def _may_repeat(self, value: Value) -> bool:
        """Is it any array but one of children in the tree of keys?"""
        return any(s.base not in self._all.nodes or s.base in self._all.constants for s in value.sources)

    def reverse(self, value: Value) -> Value:
        """Its first axis in the opposite order."""
        out = self.slice(value, 0, slice(None, None, -1))
        self._all.recipes.setdefault(out.number, lambda: self.integers.from_table(value, lambda t: t.reverse()))
        return out

    def join(self, pieces: list[tuple[int, Value]], axis: int) -> Value:
        """Arrays one after the other."""
        # So that a stack of one, and a slice that leaves one piece, are that piece.
        if len(pieces) == 1:
            return pieces[0][1]
        alone = frozenset([(axis, frozenset())])
        values = [p._replace(determines=p.determines | alone) if n == 1 else p for n, p in pieces]
        shared = self._do_any_meet(values)
        out = self.union(values, ("join", axis))
        number = self._all.number(("join", axis, tuple((n, v.number) for n, v in pieces)))
        self._all.pieces[number] = (axis, pieces)
        determines = frozenset(d for d in _common(v.determines for v in values) if not shared or d[0] == REPLICATES)
        varies_with = self._all.varies_with[number] = out.varies_with | {axis}
        return out._replace(number=number, axes=None, determines=determines, varies_with=varies_with)

    def bitcast_of(self, value: Value) -> tuple[str, Value] | None:
        """The dtype and the value that this one has the bits of."""
        match self._all.made.get(value.number):
            case (("bitcast", old, _), (before,)):
                return old, before
        return None


def is_key(x: Any) -> bool:
    """Is it a key of `jax.random`, or an array of them; or the shape and dtype of one?"""
    return jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key)


def _may_be_raw_key(x: Any, shape: Sequence[int]) -> bool:
    """Words of a key as JAX's older interface has them: 2 of threefry, 4 of the hardware's generators."""
    return bool(x.dtype == np.uint32 and shape and shape[-1] in (2, 4))


def _distinct_rows(data: np.ndarray) -> frozenset[Dependency]:
    """What an entry of an array of known keys determines: its position, where no key stands there twice."""
    lead = data.shape[:-1]
    rows = np.unique(data.reshape(-1, data.shape[-1]), axis=0) if lead else data[None]
    if len(rows) != int(np.prod(lead, dtype=int)):
        return frozenset()
    return frozenset((k, frozenset()) for k in range(len(lead)))


def _whole(number: int, shape: Sequence[int]) -> tuple[frozenset[Source], tuple[int, ...]]:
    """The sources and axes of a value that is an array by itself, and all of it."""
    return frozenset([Source(number, tuple(Rows(range(n)) for n in shape))]), tuple(range(len(shape)))


def _varies_with(args: Sequence[Value], shape: Sequence[int]) -> frozenset[Coordinate]:
    """The loops of the arguments, whose axes need not be those of the result, and the axes of the result."""
    loops = frozenset(c for a in args for c in a.varies_with if not isinstance(c, int))
    return loops | frozenset(k for k, n in enumerate(shape) if n != 1)


def _together(values: Iterable[Value], field: str) -> frozenset:
    return frozenset().union(*(getattr(v, field) for v in values))


def _shape_without(value: Value, axis: int) -> tuple[int, ...]:
    ((_, box),) = value.sources
    return tuple(len(r.rows) for k, r in enumerate(box) if k != axis)


def _as_slice(rows: Sequence[int], step: int) -> slice:
    stop = rows[-1] + (1 if step > 0 else -1)
    return slice(rows[0], stop if stop >= 0 else None, step)  # a stop of -1 would count from the end


def _progression(x: np.ndarray) -> Linear | None:
    """An integer, or integers at equal distances."""
    if x.dtype.kind not in "iu" or x.ndim > 1 or x.size > LARGE:
        return None
    if not x.ndim:
        return Linear(int(x))
    steps = {b - a for a, b in itertools.pairwise(x.tolist())}
    return Linear(int(x[0]), frozenset([Term(0, steps.pop(), x.size)])) if len(steps) == 1 and 0 not in steps else None


def _common(dependencies: Iterable[frozenset[Dependency]]) -> frozenset[Dependency]:
    """What each of them determines, given what any of them needs."""
    # Sorted, so that of several dependencies of one coordinate the one with the fewest conditions is kept.
    first, *others = (dict(sorted(each, key=lambda d: -len(d[1]))) for each in dependencies)
    shared = set(first).intersection(*others)
    return frozenset((c, frozenset().union(first[c], *(o[c] for o in others))) for c in shared)
