"""The value-numbering rules of the primitives of `jax.random`.

`fold_in(key, i)` is row i of `split(key)`: JAX's default generators make the same bits of both. So both are rows of one endless
array of children, and a split and a fold_in of one key meet where their rows do.
"""

from __future__ import annotations

import jax
import numpy as np

from ..._jaxprs import aval, computed_now
from .array_parts import ENDLESS, Rows, Source, condition_on


def wrap(values, eqn, ins):
    # The words of a raw key are its last axis, which the typed key does not have.
    ndim, value = aval(eqn.outvars[0]).ndim, ins[0]
    value = value.rename(lambda c: None if isinstance(c, int) and c >= ndim else c)
    return value if value.axes is None else value._replace(axes=value.axes[:ndim])


def unwrap(values, eqn, ins):
    return ins[0] if ins[0].axes is None else ins[0]._replace(axes=(*ins[0].axes, None))


def seed_key(values, eqn, ins):
    seeds = ins[0]
    if not aval(eqn.invars[0]).shape and (known := values.integers.values(seeds)) is not None and len(known) == 1:
        # key(0) written twice is one key, whether JAX made it a constant or an equation.
        with computed_now():
            key = jax.random.key(known[0], impl=eqn.params["impl"].name)
        return values.constant(key, ())
    shape, determines = aval(eqn.outvars[0]).shape, values.integers.with_table(seeds).determines
    return values.of(("random_seed", str(eqn.params["impl"])), ins, shape, determines, node=True)


def bits(values, eqn, ins):
    """Two of 32 bits are taken to differ; of fewer, not."""
    shape, ndim = aval(eqn.outvars[0]).shape, aval(eqn.invars[0]).ndim
    # Two draws of 8 bits are equal once in 256 times: a key made of them would not determine much.
    if eqn.params["bit_width"] < 32:
        return None
    determines = ins[0].determines | {(k, frozenset()) for k in range(ndim, len(shape))}
    return values.of(("random_bits", eqn.params["bit_width"], shape), ins, shape, determines, node=True)


def split(values, eqn, ins):
    """A longer one begins the same; a grid is numbered by its own shape."""
    shape, key = eqn.params["shape"], ins[0]
    what = ("random_split", () if len(shape) == 1 else tuple(shape))
    ndim = aval(eqn.invars[0]).ndim
    determines = key.determines | {(ndim + k, frozenset()) for k, _ in enumerate(shape)}
    out = values.of(what, [key], aval(eqn.outvars[0]).shape, determines, node=True)
    # Row (i, j) of a grid is some row of a plain split of the same key, so it is not plain: it may equal one.
    return out if len(shape) == 1 else values.hold(out)


def fold_in(values, eqn, ins):
    key, data = ins[0], values.integers.with_table(ins[1])
    shape = aval(eqn.outvars[0]).shape
    determines, varies_with = key.determines | data.determines, key.varies_with | data.varies_with
    if "urbg" in str(aval(eqn.invars[0]).dtype):
        # The `unsafe_rbg` generator makes key ^ bits(data): folded twice, the order is lost, or all of it.
        moving = condition_on(key.determines, data.varies_with) | condition_on(data.determines, key.varies_with)
        return values.of(("xor_fold_in",), ins, shape, moving)
    ndim = aval(eqn.invars[0]).ndim
    # As long as any integer goes: row i is there for each i, so a split of any length begins it.
    children = values.of(("random_split", ()), [key], (*shape[:ndim], ENDLESS), node=True)
    (source,), known = children.sources, values.integers.values(data)
    linear = values.integers.as_linear(data, np.dtype(np.uint32))
    # By the index where it counts, so that two fold_ins of one key can be compared by what they count.
    rows = Rows(range(ENDLESS) if known is None else known, linear)
    axes = tuple(range(ndim)) if ndim == len(shape) else (None,) * len(shape)
    if not ndim and len(shape) == 1 and linear is not None and {t.of for t in linear.terms} == {0}:
        # Folded under a vmap over offset + factor * k: entry k is this row, so that a part of the result has its rows.
        (term,) = linear.terms
        rows, axes = Rows(range(linear.offset, linear.offset + term.factor * shape[0], term.factor)), (0,)
    out = values.part(children, [Source(source.base, (*source.box[:-1], rows))], axes, data.number)
    return values.note(out._replace(determines=determines, varies_with=varies_with))


RULES = {
    "random_wrap": wrap,
    "random_unwrap": unwrap,
    "random_seed": seed_key,
    "random_bits": bits,
    "random_split": split,
    "random_fold_in": fold_in,
}
