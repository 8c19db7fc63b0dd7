"""Which values of a traced program may be equal: value numbering, with the part of an array that a value is.

Every value has a number (the same number: the same function of the same inputs), the loops from whose passes it
differs, and its sources: the arrays, and their rows along each axis, of which it may be a part. So a static row of an
array, the row of a loop's pass and a traced index into it can be compared, and so can loop counters and literals, which
are rows of the array of all integers. Two values may be equal where two of their sources overlap, where they come of
the same operation from arguments that may be equal, or where one was made of entries of the other (`_holds`: what a loop
carries is its initial value or what the last pass handed on). `fold_in(key, i)` is row i of `split(key)`: JAX's default
generators make the same bits of both.

Not followed: two indices that are data are taken to differ, and so are numbers from arithmetic other than `a * i + b` on
counters.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .._jaxprs import JaxprEqn, Literal, aval
from .flow import Path

INTEGERS = 0  # the number of the array of all integers
ENDLESS = 1 << 62


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
    base: int
    box: tuple[Rows, ...]

    def narrowed(self, axis: int | None, rows: slice, by: int | None = None) -> Source:
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
        if _is_key(x):
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

    # -- equations

    def results(self, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
        """The results of an equation that holds no program."""
        if eqn.primitive.name in _COPIES:
            return list(ins[: len(eqn.outvars)])
        if (rule := RULES.get(eqn.primitive.name)) and (out := rule(self, eqn, ins)) is not None:
            return out if isinstance(out, list) else [out]
        outs, repeats = self._unnamed(eqn, ins), _repeats_elementwise(eqn, ins)
        moves = eqn.primitive.name in _MOVES
        moved = [x for v, x in zip(eqn.invars, ins, strict=True) if moves or _is_key(aval(v))]
        outs = [
            self.holding(x, *moved) if moves or _is_key(aval(v)) else x for x, v in zip(outs, eqn.outvars, strict=True)
        ]
        if eqn.primitive.name in _NOT_INJECTIVE:
            outs = [out._replace(varies=frozenset()) for out in outs]
        return [out._replace(repeats=repeats) for out in outs]

    def _unnamed(self, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
        """New values: the same ones for the same operation of the same arguments, where that can be told."""
        shapes, params = [getattr(aval(v), "shape", ()) for v in eqn.outvars], tuple(eqn.params.items())
        try:
            hash(params)
        except TypeError:
            params = None
        if eqn.effects or params is None:
            varies = frozenset().union(*(v.varies for v in ins))
            return [self.fresh(varies, shape) for shape in shapes]
        return [self.of((eqn.primitive.name, params, k), ins, shape) for k, shape in enumerate(shapes)]


def _is_key(x: Any) -> bool:
    return jnp.issubdtype(getattr(x, "dtype", float), jax.dtypes.prng_key)


def _is_split(what: Any) -> bool:
    return isinstance(what, tuple) and what[0] == "random_split"


def _repeats_elementwise(eqn: JaxprEqn, ins: Sequence[Value]) -> frozenset[int]:
    """An elementwise operation repeats itself where all its arrays do."""
    arrays = [(v, value) for v, value in zip(eqn.invars, ins, strict=True) if getattr(aval(v), "shape", ())]
    shape = getattr(aval(eqn.outvars[0]), "shape", ()) if eqn.outvars else ()
    if not arrays or any(aval(v).shape != shape[: aval(v).ndim] for v, _ in arrays):
        return frozenset()
    return frozenset.intersection(*(value.repeats for _, value in arrays))


def _wrap(values, eqn, ins):
    return ins[0] if ins[0].axes is None else ins[0]._replace(axes=ins[0].axes[: aval(eqn.outvars[0]).ndim])


def _unwrap(values, eqn, ins):
    return ins[0] if ins[0].axes is None else ins[0]._replace(axes=(*ins[0].axes, None))


def _convert(values, eqn, ins):
    kinds = {np.dtype(d).kind for d in (aval(eqn.invars[0]).dtype, aval(eqn.outvars[0]).dtype)}
    return ins[0] if kinds <= set("iu") else None


def _slice(values, eqn, ins):
    out, p = ins[0], eqn.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    for axis, rows in enumerate(map(slice, p["start_indices"], p["limit_indices"], strides)):
        out = values.sliced(out, axis, rows)
    return out


def _dynamic_slice(values, eqn, ins):
    out, shape, varies = ins[0], aval(eqn.invars[0]).shape, ins[0].varies
    for axis, (size, index) in enumerate(zip(eqn.params["slice_sizes"], ins[1:], strict=True)):
        if size == shape[axis]:
            continue
        known, last = values.known(index), shape[axis] - size
        if known is None or not known:
            out = values.sliced(out, axis, slice(None), index.number if size == 1 else None)
        elif len(known) == 1 or size == 1:
            first, step = min(max(known[0], 0), last), max(known.step, 1)
            out = values.sliced(out, axis, slice(first, min(max(known[-1], 0), last) + size, step))
        if size == 1 and not (
            known and (known[0] < 0 or known[-1] > last)
        ):  # else windows overlap, or an end is met twice
            varies |= index.varies
    return out._replace(varies=varies)


def _split(values, eqn, ins):
    axis, ends = eqn.params["axis"], list(itertools.accumulate(eqn.params["sizes"], initial=0))
    return [values.sliced(ins[0], axis, slice(a, b)) for a, b in itertools.pairwise(ends)]


def _random_split(values, eqn, ins):
    """A longer one begins the same; a grid is numbered by its own shape."""
    shape, key = eqn.params["shape"], ins[0]
    what = ("random_split", () if len(shape) == 1 else tuple(shape))
    out = values.of(what, [key], aval(eqn.outvars[0]).shape)._replace(repeats=_repeats_elementwise(eqn, ins))
    return out if len(shape) == 1 else values.holding(out)


def _fold_in(values, eqn, ins):
    key, data = ins
    children = values.of(("random_split", ()), [key], (*aval(eqn.invars[0]).shape, ENDLESS))
    (source,), known = children.sources, values.known(data)
    rows = Rows(known) if known is not None else Rows(range(ENDLESS), data.number)
    key_axes = tuple(range(aval(eqn.invars[0]).ndim))
    axes = key_axes if key_axes or not aval(eqn.invars[1]).ndim else (0,)
    out = values.part(children, [Source(source.base, (*source.box[:-1], rows))], axes, _repeats_elementwise(eqn, ins))
    return out._replace(varies=key.varies | data.varies)


def _gather(values, eqn, ins):
    array, index = ins
    shape = aval(eqn.outvars[0]).shape
    out = values.of(("gather", str(eqn.params)), ins, shape)
    repeats = range(len(shape)) if array.repeats or index.repeats else ()
    return values.holding(out, array)._replace(repeats=frozenset(repeats))


def _squeeze(values, eqn, ins):
    keep = [k for k in range(aval(eqn.invars[0]).ndim) if k not in eqn.params["dimensions"]]
    return _rearranged(values, ins[0], keep)


def _transpose(values, eqn, ins):
    return _rearranged(values, ins[0], eqn.params["permutation"])


def _broadcast(values, eqn, ins):
    shape, old = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    dims = eqn.params["broadcast_dimensions"]
    source = [dims.index(k) if k in dims and old[dims.index(k)] == n else None for k, n in enumerate(shape)]
    repeats = {k for k, n in enumerate(shape) if source[k] is None and n > 1}
    return _rearranged(values, ins[0], source, repeats)


def _reshape(values, eqn, ins):
    old, new = aval(eqn.invars[0]).shape, aval(eqn.outvars[0]).shape
    long = [k for k, n in enumerate(old) if n != 1]
    if [old[k] for k in long] == [n for n in new if n != 1]:
        order = iter(long)
        return _rearranged(values, ins[0], [None if n == 1 else next(order) for n in new])
    out = values.holding(values.of(("reshape", new), ins, new), ins[0])
    return out._replace(repeats=frozenset(range(len(new)) if ins[0].repeats else ()))


def _rearranged(values: Values, value: Value, source: Sequence[int | None], repeats: Iterable[int] = ()) -> Value:
    """Axis k is axis source[k] of the value, or a new one."""
    axes = None if value.axes is None else tuple(None if k is None else value.axes[k] for k in source)
    repeats = {*repeats, *(k for k, s in enumerate(source) if s in value.repeats)}
    return values.part(value, value.sources, axes, repeats)


def _tile(values, eqn, ins):
    repeats = {k for k, n in enumerate(eqn.params["reps"]) if n > 1} | ins[0].repeats
    return values.part(ins[0], ins[0].sources, None, repeats)


def _concatenate(values, eqn, ins):
    axis = eqn.params["dimension"]
    return values.join([(aval(v).shape[axis], x) for v, x in zip(eqn.invars, ins, strict=True)], axis)


def _stack(values, eqn, ins):
    axis = eqn.params["axis"]
    order = list(range(aval(eqn.invars[0]).ndim))
    return values.join([(1, _rearranged(values, x, [*order[:axis], None, *order[axis:]])) for x in ins], axis)


def _reverse(values, eqn, ins):
    out = ins[0]
    for axis in eqn.params["dimensions"]:
        out = values.sliced(out, axis, slice(None, None, -1))
    return out


def _select(values, eqn, ins):
    which = values.known(ins[0])
    if which is not None and len(which) == 1:
        return ins[1 + which[0]]
    return values.union(ins[1:], ("select", ins[0].number))


def _less(values, eqn, ins):
    a, b = map(values.known, ins)
    if a and b and not aval(eqn.outvars[0]).shape and (a[-1] < b[0] or a[0] >= b[-1]):
        return values.integers(range(a[-1] < b[0], (a[-1] < b[0]) + 1))
    return None


def _iota(values, eqn, ins):
    shape = aval(eqn.outvars[0]).shape
    return values.integers(range(shape[0]), axes=(0,)) if len(shape) == 1 else None


def _arithmetic(values, eqn, ins):
    """a * i + b, where one side is one known integer."""
    a, b = map(values.known, ins)
    if a is None or b is None or not a or not b or min(len(a), len(b)) > 1:
        return None
    (many, one, value), name = ((a, b[0], ins[0]) if len(b) == 1 else (b, a[0], ins[1])), eqn.primitive.name
    if name == "sub":
        one, factor = (-one, 1) if many is a else (one, -1)
    else:
        one, factor = (0, one) if name == "mul" else (one, 1)
    if factor == 0:
        return None
    first, step = many[0] * factor + one, many.step * factor
    return values.integers(range(first, first + step * len(many), step), value.varies, value.axes or ())


_LARGE = 1 << 16
_COPIES = frozenset("copy copy_p optimization_barrier device_put sharding_constraint random_clone pvary".split())
_MOVES = frozenset("scatter dynamic_update_slice pad sort".split())  # their results are entries of their arguments
# Different numbers may come out equal, so a loop's passes may.
_NOT_INJECTIVE = frozenset("rem div and or shift_right_logical shift_right_arithmetic min max clamp sign".split())
RULES = {
    "random_wrap": _wrap,
    "random_unwrap": _unwrap,
    "convert_element_type": _convert,
    "random_split": _random_split,
    "random_fold_in": _fold_in,
    "split": _split,
    "slice": _slice,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "squeeze": _squeeze,
    "transpose": _transpose,
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "tile": _tile,
    "concatenate": _concatenate,
    "stack": _stack,
    "rev": _reverse,
    "select_n": _select,
    "lt": _less,
    "iota": _iota,
    "add": _arithmetic,
    "sub": _arithmetic,
    "mul": _arithmetic,
}
