"""Soft orders: sorting, top-k, and the search in a sorted table."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..._jaxprs import aval
from . import noise
from .interpreter import EquationContext, Interpreter, Rule
from .values import Outcomes, SoftBool, is_float, is_soft, mean_under, number, shape


def _searchsorted(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """P(N = k) from P(a_k < v + softness e): the noise is on what is looked up, one draw for all comparisons."""
    if len(ins) != 2 or not all(is_float(step.dtype(k)) for k in (0, 1)):
        return None
    a, v = ins
    dtype = jnp.promote_types(number(a).dtype, number(v).dtype)
    edges, x = jnp.expand_dims(number(a, dtype), tuple(range(len(shape(v))))), number(v, dtype)[..., None]
    known = jnp.isfinite(edges) & jnp.isfinite(x)
    gap = jnp.where(known, x, 0.0) - jnp.where(known, edges, 0.0)
    above = jnp.where(known, noise.positive(gap, soft.noise(dtype)), (x > edges).astype(dtype))
    # P(N >= 0) = 1 and P(N > n) = 0; the differences between neighbours are P(N = k).
    ends = jnp.ones((*above.shape[:-1], 1), dtype)
    weights = -jnp.diff(jnp.concatenate([ends, above, 0 * ends], -1), axis=-1)
    n = weights.shape[-1]
    if soft.straight_through:
        weights = soft.value(weights, jax.nn.one_hot(soft.exact(step, ins), n, dtype=dtype))
    values = jnp.broadcast_to(jnp.arange(n, dtype=step.out.dtype), weights.shape)
    return [Outcomes(weights, values, soft.new_root())]


def _sort(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """The sorted keys are continuous, and stay; what is carried along comes as its mean, or as a law, by `permutation`."""
    keys, *carried = ins
    axis, count = step.eqn.params["dimension"], step.eqn.params["num_keys"]
    # SoftSort is defined for one key.
    if count > 1:
        return None
    if not is_soft(keys) and not (step.reached(0) and is_float(step.dtype(0))):  # hard keys of soft companions
        outs = soft.bind(step, [number(x) if is_soft(x) else x for x in ins])
        pairs = zip(outs, ins, step.eqn.outvars, strict=True)
        return [SoftBool(o) if is_soft(x) and not is_float(aval(v).dtype) else o for o, x, v in pairs]
    scores = jnp.moveaxis(number(keys), axis, -1)
    weights = noise.permutation(scores, soft.noise(scores.dtype))
    # The value of straight_through is the hard order, ties as JAX breaks them.
    order = jnp.argsort(lax.stop_gradient(scores), -1, stable=True)
    if soft.straight_through:
        weights = soft.value(weights, jax.nn.one_hot(order, scores.shape[-1], dtype=scores.dtype))
    ordered = jnp.moveaxis(jnp.sort(scores, -1), -1, axis)
    root = soft.new_root()
    rest = [_carry_along(x, step.dtype(k + 1), weights, axis, root) for k, x in enumerate(carried)]
    return [SoftBool(ordered) if is_soft(keys) else ordered, *rest]


def _carry_along(x: Any, dtype: Any, weights: Float[Array, "*n k k"], axis: int, root: Any) -> Any:
    if is_soft(x) or is_float(dtype):
        values = jnp.moveaxis(number(x), axis, -1)[..., None, :]
        mean = jnp.moveaxis(mean_under(weights.astype(values.dtype), jnp.broadcast_to(values, weights.shape)), -1, axis)
        return mean if is_float(dtype) else SoftBool(mean)
    values = jnp.broadcast_to(jnp.moveaxis(jnp.asarray(x), axis, -1)[..., None, :], weights.shape)
    return Outcomes(jnp.moveaxis(weights, -2, axis), jnp.moveaxis(values, -2, axis), root)


def _top_k(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    (x,), p = ins, step.eqn.params
    dtype = number(x).dtype
    values, hard = lax.top_k(jnp.moveaxis(number(x), p["axis"], -1), p["k"])
    # Descending: the negative scores in ascending order.
    scores = jnp.moveaxis(number(x), p["axis"], -1)
    weights = noise.permutation(-scores, soft.noise(dtype))[..., : p["k"], :]
    if soft.straight_through:
        weights = soft.value(weights, jax.nn.one_hot(hard, scores.shape[-1], dtype=dtype))
    places = jnp.broadcast_to(jnp.arange(scores.shape[-1], dtype=aval(step.eqn.outvars[1]).dtype), weights.shape)
    weights, places = (jnp.moveaxis(v, -2, p["axis"]) for v in (weights, places))
    values = jnp.moveaxis(values, -1, p["axis"])
    return [SoftBool(values) if is_soft(x) else values, Outcomes(weights, places, soft.new_root())]


RULES: dict[str, Rule] = {
    "searchsorted": _searchsorted,
    "sort": _sort,
    "top_k": _top_k,
}
