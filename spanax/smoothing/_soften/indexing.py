"""Soft indices: the arg-extrema that make them, and the reads and writes that use them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..._jaxprs import aval
from . import noise
from .arithmetic import moved
from .interpreter import EquationContext, Interpreter, Rule
from .values import (
    Columns,
    Either,
    Outcomes,
    SoftBool,
    default_float,
    is_float,
    is_soft,
    law,
    mean_under,
    number,
    shape,
)


def _argmax(soft: Interpreter, step: EquationContext, ins: list) -> list:
    """Of floats: softmax, exact for Gumbel noise on each. Of truth values: the first that holds, and 0 where none does."""
    (x,) = ins
    scores = jnp.moveaxis(number(x), step.eqn.params["axes"][0], -1)
    if step.dtype(0) == jnp.bool_:
        weights = _first(scores if step.name == "argmax" else 1 - scores)
    elif is_soft(x):
        weights = _first_largest(scores if step.name == "argmax" else -scores)
    else:
        weights = noise.choice(scores if step.name == "argmax" else -scores, soft.noise(scores.dtype))
    places = scores.shape[-1]
    if soft.straight_through:
        weights = soft.value(weights, jax.nn.one_hot(soft.exact(step, ins), places, dtype=weights.dtype))
    values = jnp.broadcast_to(jnp.arange(places, dtype=step.out.dtype), weights.shape)
    return [Outcomes(weights, values, soft.new_root())]


def _first(p: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
    """P(k is the first that holds), of independent truth values; none holds: the first."""
    none = jnp.cumprod(1 - p, -1)
    before = jnp.concatenate([jnp.ones_like(none[..., :1]), none[..., :-1]], -1)
    return (p * before).at[..., 0].add(none[..., -1])


def _first_largest(v: Float[Array, "*n k"]) -> Float[Array, "*n k"]:
    """The first largest of whole numbers by their means: it exceeds those before it, and none after it exceeds it.

    Ties are the rule among whole numbers, so that a softmax would not do. Exact where all means are whole.
    """
    gap = v[..., :, None] - v[..., None, :]  # [..., k, j]
    before = jnp.tril(jnp.ones(gap.shape[-2:], bool), -1)
    wins = jnp.prod(jnp.clip(jnp.where(before, gap, gap + 1), 0, 1), -1)
    return wins / jnp.sum(wins, -1, keepdims=True)


# -- laws of index vectors


def _split(indices: Any) -> list:
    """The components of index vectors, which stand on the last axis."""
    if isinstance(indices, Columns) and indices.axis == len(shape(indices)) - 1:
        return [c for part in indices.parts for c in _split(part)]
    if isinstance(indices, Columns):
        indices = SoftBool(indices.mean)
    if isinstance(indices, Either):
        indices = indices.outcomes()
    width = shape(indices)[-1]
    if isinstance(indices, Outcomes):
        w, v = indices.weights, indices.values
        return [Outcomes(w[..., i, :], v[..., i, :], indices.root) for i in range(width)]
    return [jax.tree.map(lambda x, i=i: x[..., i], indices) for i in range(width)]


def _joint(columns: Sequence, places: Sequence[int]) -> tuple[list[Array], Float[Array, "*n k"]]:
    """The law of an index vector whose components are independent: each component's values, and the weights, outcomes last."""
    rank = len(shape(columns[0]))
    values, weights, outcomes = [], jnp.ones((1,) * (rank + 1), default_float()), 1
    for column, n in zip(columns, places, strict=True):
        if not is_soft(column):
            values.append(jnp.asarray(column).astype(jnp.int32)[..., None])
            continue
        v, w = law(column, n)
        w = w.astype(default_float())
        grown = weights[..., :, None] * w[..., None, :]
        values = [_repeat(x, v.shape[-1]) for x in values]
        values.append(jnp.tile(v, (*(1,) * rank, outcomes)))
        outcomes *= v.shape[-1]
        weights = grown.reshape(*grown.shape[:-2], outcomes)
    full = (*jnp.broadcast_shapes(*(x.shape[:-1] for x in values)), outcomes)
    return [jnp.broadcast_to(x, full) for x in values], jnp.broadcast_to(weights, full)


def _repeat(x: Array, times: int) -> Array:
    return x if x.shape[-1] == 1 else jnp.repeat(x, times, -1)


# -- reads


def _read(step: EquationContext, columns: Sequence, places: Sequence[int], read: Callable, widen: Callable) -> list:
    """E[read(index)]; of whole numbers it is `SoftBool`."""
    values, weights = _joint(columns, places)
    found = jax.vmap(lambda *index: read(list(index)), -1, -1)(*values)
    out = mean_under(widen(weights), found)
    return [out if is_float(step.out.dtype) else SoftBool(out)]


def _floats(step: EquationContext, x: Any) -> Array:
    return number(x, step.out.dtype if is_float(step.out.dtype) else default_float())


def _gather(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    operand, indices = ins
    if not is_soft(indices):
        return moved(soft, step, ins)
    p, table = step.eqn.params, _floats(step, operand)
    d = p["dimension_numbers"]
    places = [table.shape[k] - p["slice_sizes"][k] + 1 for k in d.start_index_map]

    def read(index: list) -> Array:
        return lax.gather(
            table,
            jnp.stack(index, -1),
            d,
            p["slice_sizes"],
            indices_are_sorted=False,
            unique_indices=False,
            mode=p["mode"],
            fill_value=p["fill_value"] if is_float(step.out.dtype) else None,
        )

    return _read(step, _split(indices), places, read, lambda w: jnp.expand_dims(w, d.offset_dims))


def _dynamic_slice(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    operand, *starts = ins
    if not any(map(is_soft, starts)):
        return moved(soft, step, ins)
    sizes, table = step.eqn.params["slice_sizes"], _floats(step, operand)
    places = [n - size + 1 for n, size in zip(table.shape, sizes, strict=True)]
    return _read(step, starts, places, lambda index: lax.dynamic_slice(table, index, sizes), lambda w: w)


# -- writes


def _dynamic_update_slice(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    operand, update, *starts = ins
    table, patch = _floats(step, operand), _floats(step, update)
    if not any(map(is_soft, starts)):
        written = lax.dynamic_update_slice(table, patch, starts)
        return [SoftBool(written) if step.all_whole([operand, update]) else written]
    places = [n - size + 1 for n, size in zip(table.shape, patch.shape, strict=True)]
    return _read(step, starts, places, lambda index: lax.dynamic_update_slice(table, patch, index), lambda w: w)


_SCATTERS = {
    "scatter": lax.scatter,
    "scatter-add": lax.scatter_add,
    "scatter-mul": lax.scatter_mul,
    "scatter-min": lax.scatter_min,
    "scatter-max": lax.scatter_max,
}


def _scatter(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """At soft places: what is added is shared out; what is set replaces each entry by as much as it is likely to be hit."""
    operand, indices, updates = ins
    table, new = _floats(step, operand), _floats(step, updates)
    p = step.eqn.params
    d, options = p["dimension_numbers"], {"mode": p["mode"]}
    if not is_soft(indices):
        out = _SCATTERS[step.name](table, indices, new, d, **options)
        return [SoftBool(out) if not is_float(step.out.dtype) else out]
    # A product or a minimum over soft places is not linear in the weights: it stays hard, and is listed.
    if step.name not in ("scatter", "scatter-add"):
        return None
    places = [_places(step, d, k) + 1 for k in d.scatter_dims_to_operand_dims]  # the last: beyond the end
    values, weights = _joint(_split(indices), places)
    window = d.update_window_dims

    def add(to: Array, what: Array) -> Array:
        def one(total, outcome):
            index, w = outcome
            share = jnp.expand_dims(w.astype(what.dtype), window) * what
            return lax.scatter_add(total, jnp.stack(index, -1), share, d, **options), None

        # One outcome of the index after the other: all at once would take as many copies of the table.
        by_outcome = jax.tree.map(lambda x: jnp.moveaxis(x, -1, 0), (values, weights))
        return lax.scan(one, to, by_outcome)[0]

    if step.name == "scatter-add":
        out = add(table, new)
    else:
        # The expected number of hits; more than one means that two updates set the same entry, whose mean is taken.
        hits = add(jnp.zeros_like(table), jnp.ones_like(new))
        # An infinity times a weight of 0 is NaN, so infinite entries are kept out of the product.
        kept = jnp.where(jnp.isfinite(table), table, 0.0) * (1 - jnp.minimum(hits, 1))
        out = jnp.where(jnp.isfinite(table) | (hits >= 1), kept, table) + add(jnp.zeros_like(table), new) / jnp.maximum(
            hits, 1
        )
    return [out if is_float(step.out.dtype) else SoftBool(out)]


def _places(step: EquationContext, d: Any, axis: int) -> int:
    """How many starts a window has along an axis of the operand."""
    operand, updates = aval(step.eqn.invars[0]).shape, aval(step.eqn.invars[2]).shape
    outside = (*d.inserted_window_dims, *d.operand_batching_dims)
    if axis in outside:
        return operand[axis]
    inside = [k for k in range(len(operand)) if k not in outside]
    return operand[axis] - updates[d.update_window_dims[inside.index(axis)]] + 1


RULES: dict[str, Rule] = {
    "argmax": _argmax,
    "argmin": _argmax,
    "gather": _gather,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    **dict.fromkeys(_SCATTERS, _scatter),
}
