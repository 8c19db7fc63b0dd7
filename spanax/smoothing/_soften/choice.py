"""Choices between values: `where` and `select`."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._jaxprs import JaxprEqn, Literal
from .interpreter import EquationContext, Interpreter, Rule, as_numbers, broadcast
from .outcomes import for_each_outcome
from .values import Either, Outcomes, SoftBool, Whole, chances, default_float, is_float, is_soft, mix, number


def _select(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    which, *cases = ins
    if not any(map(is_soft, ins)):
        return None
    if not is_soft(which):
        return _select_exactly(step, which, cases)
    # Array indexing writes where(i < 0, i + n, i). Taken as a mixture of i and i + n it would be a mean of both ends.
    length = _wrap_length(step)
    if length is not None and isinstance(cases[0], SoftBool | Whole):
        return [_wrap_index(soft, cases[0], length)]
    # A soft choice: the mean of the cases, each with the chance that it is taken.
    weights = [broadcast(w, step.out.shape) for w in _weights(which, step.dtype(0), len(cases))]
    dtype = step.out.dtype if is_float(step.out.dtype) else default_float()
    if (
        not is_float(step.out.dtype)
        and step.out.dtype != jnp.bool_
        and any(isinstance(x, Outcomes | Either) for x in cases)
    ):
        return [_either(soft, weights, cases)]
    if step.out.dtype == jnp.bool_:
        return [soft.truth(mix(weights, [broadcast(x, step.out.shape) for x in as_numbers(cases, dtype)]))]
    mixed = mix(weights, [broadcast(x, step.out.shape) for x in as_numbers(cases, dtype)])
    return [SoftBool(mixed) if step.all_whole(cases, 1) else mixed]


def _weights(which: Any, dtype: Any, n: int) -> list:
    if dtype != jnp.bool_:
        return list(jnp.moveaxis(chances(which, n), -1, 0))
    p = number(which, default_float())
    return [1 - p, p]


def _two(p):
    return jnp.stack([1 - p, p], -1)


def _select_exactly(step: EquationContext, which, cases: list) -> list:
    """A hard choice of soft values: part by part, where they are of one kind."""
    trees = {jax.tree.structure(x) for x in cases}
    if all(isinstance(x, SoftBool | Whole) for x in cases) and len(trees) == 1:
        return [jax.tree.map(lambda *parts: jax.lax.select_n(which, *parts), *cases)]
    dtype = step.out.dtype if is_float(step.out.dtype) else default_float()
    chosen = jax.lax.select_n(which, *as_numbers(cases, dtype))
    return [SoftBool(chosen) if step.all_whole(cases, 1) else chosen]


def _either(soft: Interpreter, weights: list, cases: list) -> Outcomes:
    """One of several laws: all their outcomes."""
    cases = [x.outcomes() if isinstance(x, Either) else x for x in cases]
    # A mixture of laws is the union of their outcomes, with the weights multiplied by the chance of each case.
    laws = [(x.values, x.weights) if isinstance(x, Outcomes) else _points(x) for x in cases]
    values = jnp.concatenate([v.astype(jnp.int32) for v, _ in laws], -1)
    shares = jnp.concatenate([p[..., None] * w for p, (_, w) in zip(weights, laws, strict=True)], -1)
    return Outcomes(shares, values, soft.new_root())


def _points(x) -> tuple:
    if not is_soft(x):
        x = jnp.asarray(x)
        return x[..., None], jnp.ones((*x.shape, 1), default_float())
    mean = number(x, default_float())
    # A mean without a law is taken for the two integers next to it, with the weights that give that mean.
    first = jnp.floor(mean)
    return jnp.stack([first, first + 1], -1).astype(jnp.int32), _two(mean - first)


def _wrap_length(step: EquationContext) -> int | None:
    """n, in `where(i < 0, i + n, i)`, as array indexing writes it."""
    if len(step.eqn.invars) != 3 or is_float(step.out.dtype):
        return None
    test, index, other = step.eqn.invars
    below, plus = _maker(step, test), _maker(step, other)
    if below is None or plus is None:
        return None
    indexing = below.primitive.name == "lt" and plus.primitive.name == "add" and below.invars[0] is index
    if not (indexing and plus.invars[0] is index and isinstance(plus.invars[1], Literal)):
        return None
    return int(plus.invars[1].val)


def _maker(step: EquationContext, variable: Any) -> JaxprEqn | None:
    return next((e for e in step.jaxpr.eqns if any(v is variable for v in e.outvars)), None)


def _wrap_index(soft: Interpreter, x: SoftBool | Whole, n: int) -> Outcomes:
    """where(x < 0, x + n, x), between 0 and n: what is past the end is n, what is before -n is 0."""
    if isinstance(x, Whole):
        edges = jax.vmap(x.below, out_axes=-1)(jnp.arange(1 - n, n + 1, dtype=x.at.dtype))
        ends = jnp.zeros_like(edges[..., :1])
        weights = jnp.diff(jnp.concatenate([ends, edges, ends + 1], -1), axis=-1)  # of -n, ..., n
        weights = jnp.concatenate([weights[..., :n] + weights[..., n : 2 * n], weights[..., 2 * n :]], -1)
        values = jnp.broadcast_to(jnp.arange(n + 1, dtype=jnp.int32), weights.shape)
    else:
        values, weights = _points(x)
        values = jnp.clip(jnp.where(values < 0, values + n, values), 0, n)
    return Outcomes(weights, values, soft.new_root())


RULES: dict[str, Rule] = {"select_n": for_each_outcome(_select)}
