"""What each primitive makes of numbered values: the rules of value numbering.

`fold_in(key, i)` is row i of `split(key)`: JAX's default generators make the same bits of both. An operation without a rule
gives a new value, the same one for the same arguments where that can be told. Not followed: numbers from arithmetic other
than `a * i + b` on counters are taken to differ.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence

import numpy as np

from .._jaxprs import JaxprEqn, aval
from .array_parts import ENDLESS, Rows, Source, Value
from .values import Values, is_key


def results(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """The results of an equation that holds no program."""
    if eqn.primitive.name in _COPIES:
        return list(ins[: len(eqn.outvars)])
    if (rule := RULES.get(eqn.primitive.name)) and (out := rule(values, eqn, ins)) is not None:
        return out if isinstance(out, list) else [out]
    outs, repeats = _unnamed(values, eqn, ins), _repeats_elementwise(eqn, ins)
    moves = eqn.primitive.name in _MOVES
    moved = [x for v, x in zip(eqn.invars, ins, strict=True) if moves or is_key(aval(v))]
    outs = [
        values.holding(x, *moved) if moves or is_key(aval(v)) else x for x, v in zip(outs, eqn.outvars, strict=True)
    ]
    if eqn.primitive.name in _NOT_INJECTIVE:
        outs = [out._replace(varies=frozenset()) for out in outs]
    return [out._replace(repeats=repeats) for out in outs]


def _unnamed(values: Values, eqn: JaxprEqn, ins: Sequence[Value]) -> list[Value]:
    """New values: the same ones for the same operation of the same arguments, where that can be told."""
    shapes, params = [getattr(aval(v), "shape", ()) for v in eqn.outvars], tuple(eqn.params.items())
    try:
        hash(params)
    except TypeError:
        params = None
    if eqn.effects or params is None:
        varies = frozenset().union(*(v.varies for v in ins))
        return [values.fresh(varies, shape) for shape in shapes]
    return [values.of((eqn.primitive.name, params, k), ins, shape) for k, shape in enumerate(shapes)]


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
