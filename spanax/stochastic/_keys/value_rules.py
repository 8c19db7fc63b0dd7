"""What each primitive makes of numbered values: the rules of value numbering.

`fold_in(key, i)` is row i of `split(key)`: JAX's default generators make the same bits of both. An operation without a rule
gives a new value, the same one for the same arguments where that can be told, of which nothing else is known: its entries
may repeat themselves, and be any key. `_INJECTIVE` names those that keep apart what was apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from ..._jaxprs import JaxprEqn, aval, computed_now, jaxprs_in_params
from .array_parts import ENDLESS, Rows, Source, Value, given
from .counts import LARGE, Linear, Term, telling
from .values import Values, is_key


def results(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """The results of an equation that holds no program."""
    if eqn.primitive.name in _COPIES:
        return list(ins[: len(eqn.outvars)])
    rule = RULES.get(eqn.primitive.name)
    out = rule(values, eqn, ins) if rule else None
    outs: list[Value] = _unnamed(values, eqn, ins) if out is None else out if type(out) is list else [out]
    for k, (value, v) in enumerate(zip(outs, eqn.outvars, strict=True)):
        if not is_key(aval(v)) and all(value.number != x.number for x in ins):
            values.made_by(value, eqn, k, ins)
    return outs


def _unnamed(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """New values: the same ones for the same operation of the same arguments, where that can be told."""
    name, params = eqn.primitive.name, tuple(eqn.params.items())
    try:
        hash(params)
    except TypeError:
        params = None
    holds_program = any(True for _ in jaxprs_in_params(eqn.params))
    outs, moved = [], [x for v, x in zip(eqn.invars, ins, strict=True) if name in _MOVES or is_key(aval(v))]
    for k, v in enumerate(eqn.outvars):
        shape, tells = getattr(aval(v), "shape", ()), _injective(values, eqn, ins) if name in _INJECTIVE else ()
        if eqn.effects or params is None:
            outs.append(values.fresh(shape, ins, tells))
            continue
        out = values.of((name, params, k), ins, shape, tells)
        if moved and (name in _MOVES or (is_key(aval(v)) and not holds_program)):
            out = values.holding(out, *moved)
        outs.append(out)
    return outs


def _injective(values: Values, eqn: JaxprEqn, ins: Sequence[Value]):
    """What an elementwise operation tells that is injective in each argument, the others given."""
    tells = frozenset()
    ins = [values.settled(x) for x in ins]
    for k, x in enumerate(ins):
        moving = frozenset().union(*(y.depends for j, y in enumerate(ins) if j != k))
        tells |= given(x.tells, moving)
    return tells


def _wrap(values, eqn, ins):
    ndim, value = aval(eqn.outvars[0]).ndim, ins[0]
    value = value.renamed(lambda c: None if isinstance(c, int) and c >= ndim else c)
    return value if value.axes is None else value._replace(axes=value.axes[:ndim])


def _unwrap(values, eqn, ins):
    return ins[0] if ins[0].axes is None else ins[0]._replace(axes=(*ins[0].axes, None))


def _seed(values, eqn, ins):
    seeds = ins[0]
    if not aval(eqn.invars[0]).shape and (known := values.values(seeds)) is not None and len(known) == 1:
        with computed_now():
            key = jax.random.key(known[0], impl=eqn.params["impl"].name)
        return values.constant(key, ())
    shape = aval(eqn.outvars[0]).shape
    return values.of(("random_seed", str(eqn.params["impl"])), ins, shape, values.settled(seeds).tells, node=True)


def _bits(values, eqn, ins):
    """Two of 32 bits are taken to differ; of fewer, not."""
    shape, ndim = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).ndim
    if eqn.params["bit_width"] < 32:
        return None
    tells = ins[0].tells | {(k, frozenset()) for k in range(ndim, len(shape))}
    return values.of(("random_bits", eqn.params["bit_width"], shape), ins, shape, tells, node=True)


def _convert(values, eqn, ins):
    old, new = (np.dtype(aval(v).dtype) for v in (eqn.invars[0], eqn.outvars[0]))
    if old == new:
        return ins[0]
    if old.kind in "biu" and new.kind in "iu":
        linear = values.as_linear(ins[0], old)
        if linear is not None and linear.fits(new):
            return _counted(values, linear, eqn)
        if new.itemsize >= old.itemsize:
            return values.of(("convert", str(new)), ins, aval(eqn.outvars[0]).shape, ins[0].tells)
    return None


def _bitcast(values, eqn, ins):
    """There and back it is the same."""
    old, new = (aval(v).dtype for v in (eqn.invars[0], eqn.outvars[0]))
    if (before := values.bitcast_of(ins[0])) is not None and before[0] == str(new):
        return before[1]
    if old.itemsize != new.itemsize:
        return None
    return values.of(("bitcast", str(old), str(new)), ins, aval(eqn.outvars[0]).shape, ins[0].tells)


def _slice(values, eqn, ins):
    out, p = ins[0], eqn.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    shape = aval(eqn.invars[0]).shape
    for axis, rows in enumerate(map(slice, p["start_indices"], p["limit_indices"], strides)):
        if range(shape[axis])[rows] != range(shape[axis]):
            out = values.sliced(out, axis, rows)
    return out


def _dynamic_slice(values, eqn, ins):
    out, shape = ins[0], aval(eqn.invars[0]).shape
    for axis, (size, index) in enumerate(zip(eqn.params["slice_sizes"], ins[1:], strict=True)):
        if size < shape[axis]:
            out = _window(values, out, axis, index, size, shape[axis] - size)
    return out


def _window(values: Values, array: Value, axis: int, index: Value, size: int, last: int) -> Value:
    """`size` rows from `index` on, which is brought into the array."""
    known, linear = values.values(index), values.linear(index)
    inside = bool(known) and known[0] >= 0 and known[-1] <= last
    by, tells = None, frozenset()
    if inside and linear is not None:
        window = linear.plus(Linear(0, frozenset([Term(axis, 1, size)] if size > 1 else [])))
        tells, by = window.tells(), linear if size == 1 else None
    elif (table := values.table(index)) is not None:
        loops, starts = table.clipped(last)
        window = starts[..., None] + np.arange(size) if size > 1 else starts
        tells = telling((*loops, axis) if size > 1 else loops, window)
    elif size > 1:
        tells = frozenset([(axis, index.depends)])
    out = values.chosen(array, axis, lambda old: _rows(old, known, size, last, by))
    out = values.named(out, ("window", array.number, index.number, axis, size))
    return _indexed(values, array, out, axis, tells, index.depends)


def _rows(old: Rows, known: Sequence[int] | None, size: int, last: int, by: Linear | None) -> Rows:
    """Those of the old rows that windows at the known places have in them."""
    if not known:
        return old
    starts = sorted({min(max(i, 0), last) for i in known} if len(known) <= LARGE else {0, last})
    steps = {b - a for a, b in itertools.pairwise(starts)} or {1}
    if size > 1 or len(known) > LARGE:
        chosen = range(starts[0], starts[-1] + size)
    elif len(steps) == 1:
        chosen = range(starts[0], starts[-1] + 1, steps.pop())
    else:
        chosen = tuple(starts)
    if isinstance(chosen, range):
        rows = old.rows[chosen.start : chosen.stop : chosen.step]
    else:
        rows = tuple(sorted(old.rows[i] for i in chosen))
    if by is not None and old.by is None and isinstance(old.rows, range):
        return Rows(rows, by.times(old.rows.step).plus(Linear(old.rows.start)))
    return Rows(rows)


def _indexed(values: Values, array: Value, out: Value, axis: Any, tells, moving) -> Value:
    """Entries of an array at an index that tells something: an entry tells its row, where the array's entries do."""
    own = dict(array.tells)
    found = set()
    for c, g in array.tells:
        if c != axis:
            found.add((c, (g - {axis}) | moving if axis in g else g))
    if axis in own:
        found |= {(c, g | (own[axis] - {axis})) for c, g in tells}
    depends = (array.depends - {axis}) | moving | {c for c, _ in tells if isinstance(c, int)}
    return values.noted(out._replace(tells=frozenset(found), depends=frozenset(depends)))


def _split(values, eqn, ins):
    axis, ends = eqn.params["axis"], list(itertools.accumulate(eqn.params["sizes"], initial=0))
    return [values.sliced(ins[0], axis, slice(a, b)) for a, b in itertools.pairwise(ends)]


def _unstack(values, eqn, ins):
    axis, ndim = eqn.params["axis"], aval(eqn.invars[0]).ndim
    shape, keep = aval(eqn.outvars[0]).shape, [k for k in range(ndim) if k != axis]
    rows = [values.sliced(ins[0], axis, slice(k, k + 1)) for k in range(len(eqn.outvars))]
    return [_rearranged(values, shape, row, keep) for row in rows]


def _random_split(values, eqn, ins):
    """A longer one begins the same; a grid is numbered by its own shape."""
    shape, key = eqn.params["shape"], ins[0]
    what = ("random_split", () if len(shape) == 1 else tuple(shape))
    ndim = aval(eqn.invars[0]).ndim
    tells = key.tells | {(ndim + k, frozenset()) for k, _ in enumerate(shape)}
    out = values.of(what, [key], aval(eqn.outvars[0]).shape, tells, node=True)
    return out if len(shape) == 1 else values.holding(out)


def _fold_in(values, eqn, ins):
    key, data = ins[0], values.settled(ins[1])
    shape = aval(eqn.outvars[0]).shape
    tells, depends = key.tells | data.tells, key.depends | data.depends
    if "urbg" in str(
        aval(eqn.invars[0]).dtype
    ):  # it is key ^ bits(data): folded twice, the order is lost, or all of it
        moving = given(key.tells, data.depends) | given(data.tells, key.depends)
        return values.of(("xor_fold_in",), ins, shape, moving)
    ndim = aval(eqn.invars[0]).ndim
    children = values.of(("random_split", ()), [key], (*shape[:ndim], ENDLESS), node=True)
    (source,), known = children.sources, values.values(data)
    linear = values.as_linear(data, np.dtype(np.uint32))
    rows = Rows(range(ENDLESS) if known is None else known, linear)
    axes = tuple(range(ndim)) if ndim == len(shape) else (None,) * len(shape)
    if not ndim and len(shape) == 1 and linear is not None and {t.of for t in linear.terms} == {0}:
        (term,) = linear.terms  # entry k is this row: a part of it has its rows
        rows, axes = Rows(range(linear.offset, linear.offset + term.factor * shape[0], term.factor)), (0,)
    out = values.part(children, [Source(source.base, (*source.box[:-1], rows))], axes, data.number)
    return values.noted(out._replace(tells=tells, depends=depends))


def _gather(values, eqn, ins):
    """Single rows at traced places; of any other gather, only that its entries are of the array."""
    array, index = ins
    p, shape, old = eqn.params, aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    out = values.holding(values.of(("gather", str(p)), ins, shape), array)
    numbers = p["dimension_numbers"]
    along = numbers.operand_batching_dims
    moved_along = [k for k in numbers.start_index_map if p["slice_sizes"][k] < old[k]]
    axis = moved_along[0] if moved_along else next(iter(numbers.start_index_map), 0)
    whole = tuple(1 if k == axis or k in along else n for k, n in enumerate(old))
    if len(moved_along) > 1 or p["slice_sizes"] != whole or not set(numbers.collapsed_slice_dims) <= {axis}:
        return out._replace(tells=frozenset(t for t in array.tells if not _has_axis(t)))
    if len(numbers.start_index_map) > 1:
        which = numbers.start_index_map.index(axis)
        index = values.sliced(index, aval(eqn.invars[1]).ndim - 1, slice(which, which + 1))
    index = values.settled(index)
    batch = [k for k in range(len(shape)) if k not in numbers.offset_dims]
    kept = [k for k in range(len(old)) if k not in (*numbers.collapsed_slice_dims, *along)]
    to = dict(zip(kept, numbers.offset_dims, strict=True))
    to |= {k: batch[b] for k, b in zip(along, numbers.start_indices_batching_dims, strict=True)} | {axis: ("row",)}
    known, last = values.values(index), old[axis] - 1
    tells = index.tells
    if not (known and known[0] >= 0 and known[-1] <= last):
        table = values.table(index) if "CLIP" in str(p["mode"]) else None
        tells = table.clipped(last).tells() if table is not None else ()

    def position(c):
        return (batch[c] if c < len(batch) else None) if isinstance(c, int) else c

    index = index._replace(tells=frozenset(tells)).renamed(position)
    if known and not along and len(known) <= LARGE:
        values.holding(out, values.chosen(array, axis, lambda rows: _rows(rows, known, 1, last, None)))
    moved = array.renamed(lambda c: to[c] if isinstance(c, int) else c)
    return _indexed(values, moved, out, ("row",), index.tells, index.depends)


def _has_axis(telling) -> bool:
    return any(isinstance(c, int) for c in (telling[0], *telling[1]))


def _squeeze(values, eqn, ins):
    keep = [k for k in range(aval(eqn.invars[0]).ndim) if k not in eqn.params["dimensions"]]
    return _rearranged(values, aval(eqn.outvars[0]).shape, ins[0], keep)


def _transpose(values, eqn, ins):
    return _rearranged(values, aval(eqn.outvars[0]).shape, ins[0], eqn.params["permutation"])


def _broadcast(values, eqn, ins):
    shape, old = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    dims = eqn.params["broadcast_dimensions"]
    source = [dims.index(k) if k in dims and old[dims.index(k)] == n else None for k, n in enumerate(shape)]
    return _rearranged(values, aval(eqn.outvars[0]).shape, ins[0], source)


def _reshape(values, eqn, ins):
    old, new = aval(eqn.invars[0]).shape, aval(eqn.outvars[0]).shape
    long = [k for k, n in enumerate(old) if n != 1]
    if [old[k] for k in long] == [n for n in new if n != 1]:
        order = iter(long)
        return _rearranged(values, aval(eqn.outvars[0]).shape, ins[0], [None if n == 1 else next(order) for n in new])
    tail = 0  # axes at the end that stay
    while old[-1 - tail :][:1] == new[-1 - tail :][:1]:
        tail += 1
    merged, parted, value = len(old) - tail, len(new) - tail, values.settled(ins[0])

    def stays(c):
        return not isinstance(c, int) or c >= merged

    def shifted(c):
        return c + parted - merged if isinstance(c, int) else c

    tells = {(shifted(c), frozenset(map(shifted, g))) for c, g in value.tells if all(map(stays, (c, *g)))}
    if value.told() >= {k for k in long if k < merged}:
        tells |= {(k, frozenset()) for k in range(parted)}
    return values.holding(values.of(("reshape", new), ins, new, tells), ins[0])


def _rearranged(values: Values, shape: Sequence[int], value: Value, source: Sequence[int | None]) -> Value:
    """Axis k is axis source[k] of the value, or a new one."""
    to = {s: k for k, s in enumerate(source) if s is not None}

    def new(c):
        return to.get(c) if isinstance(c, int) else c

    if (linear := values.linear(value)) is not None:
        return values.counted(linear.renamed(new), shape)
    axes = None if value.axes is None else tuple(None if k is None else value.axes[k] for k in source)
    out = values.named(values.part(value, value.sources, axes), ("rearranged", value.number, tuple(source), shape))
    return values.noted(out.renamed(new))


def _tile(values, eqn, ins):
    shape, old = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    changed = set(range(len(shape))) - {k for k, n in enumerate(shape) if old[k : k + 1] == (n,)}
    tells = [(c, given) for c, given in ins[0].tells if not changed & {c, *given}]
    return values.holding(values.of(("tile", shape), ins, shape, tells), ins[0])


def _concatenate(values, eqn, ins):
    axis = eqn.params["dimension"]
    return values.join([(aval(v).shape[axis], x) for v, x in zip(eqn.invars, ins, strict=True)], axis)


def _stack(values, eqn, ins):
    axis = eqn.params["axis"]
    order = list(range(aval(eqn.invars[0]).ndim))
    source, shape = [*order[:axis], None, *order[axis:]], list(aval(eqn.outvars[0]).shape)
    shape[axis] = 1
    return values.join([(1, _rearranged(values, tuple(shape), x, source)) for x in ins], axis)


def _reverse(values, eqn, ins):
    out = ins[0]
    for axis in eqn.params["dimensions"]:
        out = values.sliced(out, axis, slice(None, None, -1))
    return out


def _sort(values, eqn, ins):
    """Along its one axis, each result has the entries of its argument."""
    outs = _unnamed(values, eqn, ins)
    moved = []
    for out, x in zip(outs, map(values.settled, ins), strict=True):
        tells = frozenset(t for t in x.tells if not _has_axis(t))
        if 0 in x.told() and aval(eqn.invars[0]).ndim == 1:
            tells |= {(0, frozenset())}
        moved.append(values.holding(out, x)._replace(tells=tells))
    return moved


def _select(values, eqn, ins):
    which = values.values(ins[0], computed=False)
    if which is not None and len(which) == 1:
        return ins[1 + which[0]]
    out = values.union(ins[1:], ("select", ins[0].number))
    moving = ins[0].depends
    return values.noted(out._replace(depends=out.depends | moving))


def _compare(values, eqn, ins):
    """Known where one side is below the other."""
    a, b = (values.values(x, computed=False) for x in ins)
    if not a or not b:
        return None
    less = a[-1] < b[0]
    if less or a[0] >= b[-1]:
        return values.counted(Linear(int(less)), aval(eqn.outvars[0]).shape)
    return None


def _iota(values, eqn, ins):
    shape, axis = aval(eqn.outvars[0]).shape, eqn.params["dimension"]
    if aval(eqn.outvars[0]).dtype.kind not in "iu":
        return None
    return _counted(values, Linear(0, frozenset([Term(axis, 1, shape[axis])] if shape[axis] > 1 else [])), eqn)


def _arithmetic(values, eqn, ins):
    """Sums of what is counted, and multiples of it."""
    dtype, name = np.dtype(aval(eqn.outvars[0]).dtype), eqn.primitive.name
    if dtype.kind not in "iu":
        return None
    a, b = (values.as_linear(x, dtype) for x in (ins[0], ins[-1]))
    if a is None or b is None:
        return None
    if name == "neg":
        return _counted(values, a.times(-1), eqn)
    if name == "mul":
        if a.terms and b.terms:
            return None
        return _counted(values, a.times(b.offset) if not b.terms else b.times(a.offset), eqn)
    return _counted(values, a.plus(b, 1 if name == "add" else -1), eqn)


def _counted(values: Values, linear: Linear, eqn: JaxprEqn) -> Value | None:
    fits = linear.fits(np.dtype(aval(eqn.outvars[0]).dtype))
    return values.counted(linear, aval(eqn.outvars[0]).shape) if fits else None


_COPIES = frozenset("copy copy_p optimization_barrier device_put sharding_constraint random_clone pvary".split())
_MOVES = frozenset("scatter dynamic_update_slice pad".split())  # their results are entries of their arguments
# Elementwise, and different results for different values of one argument, the others given. Not `add` of floats.
_INJECTIVE = frozenset("xor not".split())
RULES = {
    "random_wrap": _wrap,
    "random_unwrap": _unwrap,
    "random_seed": _seed,
    "convert_element_type": _convert,
    "bitcast_convert_type": _bitcast,
    "random_bits": _bits,
    "random_split": _random_split,
    "random_fold_in": _fold_in,
    "split": _split,
    "unstack": _unstack,
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
    "sort": _sort,
    "select_n": _select,
    "lt": _compare,
    "iota": _iota,
    "add": _arithmetic,
    "sub": _arithmetic,
    "mul": _arithmetic,
    "neg": _arithmetic,
}
