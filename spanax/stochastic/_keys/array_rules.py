"""The value-numbering rules of operations that rearrange, cut up or put together whole arrays at static places."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from ..._jaxprs import aval
from .array_parts import Value
from .counts import Dependency
from .values import Values


def has_axis(dependency: Dependency) -> bool:
    """Is it about a position along an axis?"""
    return any(isinstance(c, int) for c in (dependency[0], *dependency[1]))


def slice_rows(values, eqn, ins):
    # Axis by axis: a full slice along one must leave the value as it is, with all that is known of it.
    out, p = ins[0], eqn.params
    strides = p["strides"] or (1,) * len(p["start_indices"])
    shape = aval(eqn.invars[0]).shape
    for axis, rows in enumerate(map(slice, p["start_indices"], p["limit_indices"], strides)):
        if range(shape[axis])[rows] != range(shape[axis]):
            out = values.slice(out, axis, rows)
    return out


def split(values, eqn, ins):
    axis, ends = eqn.params["axis"], list(itertools.accumulate(eqn.params["sizes"], initial=0))
    return [values.slice(ins[0], axis, slice(a, b)) for a, b in itertools.pairwise(ends)]


def unstack(values, eqn, ins):
    axis, ndim = eqn.params["axis"], aval(eqn.invars[0]).ndim
    shape, keep = aval(eqn.outvars[0]).shape, [k for k in range(ndim) if k != axis]
    rows = [values.slice(ins[0], axis, slice(k, k + 1)) for k in range(len(eqn.outvars))]
    return [rearrange(values, shape, row, keep) for row in rows]


def rearrange(values: Values, shape: Sequence[int], value: Value, source: Sequence[int | None]) -> Value:
    """Axis k is axis source[k] of the value, or a new one."""
    # An axis of length 1 that is dropped takes nothing with it: there was only one position.
    to = {s: k for k, s in enumerate(source) if s is not None}

    def new(c):
        return to.get(c) if isinstance(c, int) else c

    if (linear := values.integers.linear(value)) is not None:
        return values.count(linear.rename(new), shape)
    axes = None if value.axes is None else tuple(None if k is None else value.axes[k] for k in source)
    part = values.part(value, value.sources, axes)
    # A number of its own: two arrays of the same entries in another order are not the same value.
    return values.note(values.renumber(part, ("rearranged", value.number, tuple(source), shape)).rename(new))


def squeeze(values, eqn, ins):
    keep = [k for k in range(aval(eqn.invars[0]).ndim) if k not in eqn.params["dimensions"]]
    return rearrange(values, aval(eqn.outvars[0]).shape, ins[0], keep)


def transpose(values, eqn, ins):
    return rearrange(values, aval(eqn.outvars[0]).shape, ins[0], eqn.params["permutation"])


def broadcast(values, eqn, ins):
    shape, old = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    # A broadcast axis is a new one: its entries are all the same.
    dims = eqn.params["broadcast_dimensions"]
    source = [dims.index(k) if k in dims and old[dims.index(k)] == n else None for k, n in enumerate(shape)]
    return rearrange(values, shape, ins[0], source)


def reshape(values, eqn, ins):
    old, new = aval(eqn.invars[0]).shape, aval(eqn.outvars[0]).shape
    long = [k for k, n in enumerate(old) if n != 1]
    if [old[k] for k in long] == [n for n in new if n != 1]:  # only axes of length 1 come and go
        # Dimensions of 1 have no positions to keep apart, so they are new axes or gone ones.
        order = iter(long)
        return rearrange(values, new, ins[0], [None if n == 1 else next(order) for n in new])
    determines = _after_reshape(values.integers.with_table(ins[0]), old, new)
    return values.hold(values.of(("reshape", new), ins, new, determines), ins[0])


def _after_reshape(value: Value, old: Sequence[int], new: Sequence[int]) -> set[Dependency]:
    """What an entry determines whose leading axes were merged or parted, and whose last ones stayed."""
    tail = 0  # axes at the end that stay
    while old[-1 - tail :][:1] == new[-1 - tail :][:1]:
        tail += 1
    merged, parted = len(old) - tail, len(new) - tail

    def stays(c):
        return not isinstance(c, int) or c >= merged

    def shift(c):
        return c + parted - merged if isinstance(c, int) else c

    determines = {
        (shift(c), frozenset(map(shift, given))) for c, given in value.determines if all(map(stays, (c, *given)))
    }
    # The position along a merged axis determines those along the axes that it was made of, and vice versa.
    if value.closure() >= {k for k, n in enumerate(old[:merged]) if n != 1}:
        determines |= {(k, frozenset()) for k in range(parted)}
    return determines


def tile(values, eqn, ins):
    shape, old = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).shape
    # A tiled axis repeats itself; nothing is determined along it any more.
    changed = set(range(len(shape))) - {k for k, n in enumerate(shape) if old[k : k + 1] == (n,)}
    determines = [(c, given) for c, given in ins[0].determines if not changed & {c, *given}]
    return values.hold(values.of(("tile", shape), ins, shape, determines), ins[0])


def concatenate(values, eqn, ins):
    axis = eqn.params["dimension"]
    return values.join([(aval(v).shape[axis], x) for v, x in zip(eqn.invars, ins, strict=True)], axis)


def stack(values, eqn, ins):
    axis = eqn.params["axis"]
    order = list(range(aval(eqn.invars[0]).ndim))
    # As a concatenation of arrays with one new axis each.
    source, shape = [*order[:axis], None, *order[axis:]], list(aval(eqn.outvars[0]).shape)
    shape[axis] = 1
    return values.join([(1, rearrange(values, tuple(shape), x, source)) for x in ins], axis)


def reverse(values, eqn, ins):
    out = ins[0]
    for axis in eqn.params["dimensions"]:
        out = values.slice(out, axis, slice(None, None, -1))
    return out


RULES = {
    "slice": slice_rows,
    "split": split,
    "unstack": unstack,
    "squeeze": squeeze,
    "transpose": transpose,
    "broadcast_in_dim": broadcast,
    "reshape": reshape,
    "tile": tile,
    "concatenate": concatenate,
    "stack": stack,
    "rev": reverse,
}
