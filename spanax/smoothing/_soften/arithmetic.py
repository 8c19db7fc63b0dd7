"""Arithmetic, logic and rearrangements of soft values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..._jaxprs import evaluate
from .interpreter import EquationContext, Interpreter, Rule, as_numbers, broadcast, is_concrete
from .outcomes import for_each_outcome
from .values import Columns, Either, Outcomes, SoftBool, Whole, default_float, is_float, is_soft, number

# -- what only moves entries about: the same for every part of a soft value


def moved(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """Acts on the first operand alone; the others are places, and hard."""
    x, *others = ins
    if not is_soft(x) or any(map(is_soft, others)):
        return None

    def move(part):
        return evaluate(step.eqn, [part, *others])

    if isinstance(x, Outcomes):
        parts = jax.vmap(move, -1, -1)(x.weights), jax.vmap(move, -1, -1)(x.values)
        return [Outcomes(w, v, (x.root, step.name, str(step.eqn.params))) for w, v in zip(*parts, strict=True)]
    if isinstance(x, Columns):
        x = SoftBool(x.mean)
    if isinstance(x, Either):
        x = Either(x.p, x.no, x.yes, (x.root, step.name, str(step.eqn.params)))
    leaves, tree = jax.tree.flatten(x)
    return [jax.tree.unflatten(tree, parts) for parts in zip(*map(move, leaves), strict=True)]


def _concatenate(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    if not any(map(is_soft, ins)):
        return None
    if not is_float(step.out.dtype) and any(isinstance(x, Whole | Outcomes | Either) for x in ins):
        return [Columns(tuple(ins), step.eqn.params["dimension"])]
    return _at_means(soft, step, ins)


# -- arithmetic


def _at_means(soft: Interpreter, step: EquationContext, ins: list, **changed: Any) -> list | None:
    """The operation of the means: exact for sums, and for products of independent numbers."""
    if not any(map(is_soft, ins)):
        return None
    dtype = step.out.dtype if is_float(step.out.dtype) else default_float()
    (out,) = soft.bind(step, as_numbers(ins, dtype), **changed)
    return [SoftBool(out) if step.all_whole(ins) else out]


def _product(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    dtype = step.out.dtype if is_float(step.out.dtype) else default_float()
    return _at_means(soft, step, ins, preferred_element_type=dtype)


def _between(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """An operation of integers, linear between the two next to each mean."""
    if is_float(step.out.dtype):
        return _at_means(soft, step, ins)
    laws = [_neighbours(x, step.dtype(k)) for k, x in enumerate(ins)]
    total = jnp.zeros(step.out.shape, default_float())

    def add(k: int, chosen: list, weight):
        nonlocal total
        if k == len(laws):
            total = total + weight * number(evaluate(step.eqn, chosen)[0], default_float())
            return
        for value, share in laws[k]:
            add(k + 1, [*chosen, value], weight * share)

    add(0, [], jnp.ones((), default_float()))
    return [SoftBool(total)]


of_integers = for_each_outcome(_between)


def _neighbours(x, dtype) -> list[tuple]:
    if not is_soft(x):
        return [(x, jnp.ones((), default_float()))]
    mean = number(x, default_float())
    first = jnp.floor(mean)
    return [(first.astype(dtype), 1 - (mean - first)), ((first + 1).astype(dtype), mean - first)]


def _of_rounded(then: Rule, whole: Callable[[EquationContext, Whole, list, int], Whole | None]) -> Rule:
    """Keeps a rounded number with its law, where `whole` can."""

    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        found = [k for k, x in enumerate(ins) if isinstance(x, Whole)]
        if len(found) == 1 and not any(is_soft(x) for k, x in enumerate(ins) if k != found[0]):
            n = whole(step, ins[found[0]], ins, found[0])
            if n is not None:
                return [n]
        return then(soft, step, ins)

    return rule


def _shift(sign: int) -> Callable:
    def whole(step: EquationContext, n: Whole, ins: list, k: int) -> Whole | None:
        other = ins[1 - k]
        unbounded = n.low == -np.inf and n.high == np.inf
        if not unbounded or (sign < 0 and k == 1) or not step.is_whole(1 - k, other):
            return None
        if n.at.shape != step.out.shape:
            return None
        return n.moved(sign * broadcast(number(other, n.at.dtype), n.at.shape))

    return whole


def _scalar(x: Any) -> float | None:
    """A whole number that is known now."""
    if not is_concrete(x) or np.size(x) != 1:
        return None
    value = float(np.asarray(x).reshape(()))
    return value if value == np.floor(value) or np.isinf(value) else None


def _bound(side: str) -> Callable:
    def whole(step: EquationContext, n: Whole, ins: list, k: int) -> Whole | None:
        bound = _scalar(ins[1 - k])
        return None if bound is None or n.at.shape != step.out.shape else n.within(**{side: bound})

    return whole


def _clamp(step: EquationContext, n: Whole, ins: list, k: int) -> Whole | None:
    low, high = _scalar(ins[0]), _scalar(ins[2])
    return None if k != 1 or low is None or high is None else n.within(low, high)


# -- logic


def _logic(of_truths: Callable) -> Rule:
    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        if not any(map(is_soft, ins)):
            return None
        if step.out.dtype != jnp.bool_:
            return _between(soft, step, ins)
        return [soft.truth(of_truths(*as_numbers(ins, default_float())))]

    return rule


def _reduce(of_truths: Callable) -> Rule:
    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        if not is_soft(ins[0]) or step.out.dtype != jnp.bool_:
            return None
        return [soft.truth(of_truths(number(ins[0], default_float()), step.eqn.params["axes"]))]

    return rule


def _and(p, q):
    return p * q


def _or(p, q):
    return p + q - p * q


def _all(p, axes):
    return jnp.prod(p, axes)


def _any(p, axes):
    return 1 - jnp.prod(1 - p, axes)


def _largest(side: str, of_truths: Callable) -> Rule:
    """max and min: of booleans they are logic."""
    numbers, truths = _of_rounded(_at_means, _bound(side)), _logic(of_truths)

    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        return (truths if step.out.dtype == jnp.bool_ else numbers)(soft, step, ins)

    return rule


_MOVES = """broadcast_in_dim reshape squeeze expand_dims transpose slice rev copy copy_p stop_gradient split unstack
    optimization_barrier device_put"""
_LINEAR = (
    "reduce_sum cumsum reduce_max reduce_min cummax cummin cumprod reduce_prod pad stack reduce_window_sum add_any"
)
_BETWEEN = "div square integer_pow shift_left shift_right_logical shift_right_arithmetic population_count clz"

RULES: dict[str, Rule] = {
    **dict.fromkeys(_MOVES.split(), moved),
    **dict.fromkeys(_LINEAR.split(), _at_means),
    **dict.fromkeys(_BETWEEN.split(), of_integers),
    **{name: for_each_outcome(_at_means) for name in ("mul", "neg", "abs")},
    "concatenate": _concatenate,
    "dot_general": _product,
    "add": for_each_outcome(_of_rounded(_at_means, _shift(1))),
    "sub": for_each_outcome(_of_rounded(_at_means, _shift(-1))),
    "max": for_each_outcome(_largest("low", _or)),
    "min": for_each_outcome(_largest("high", _and)),
    "clamp": for_each_outcome(_of_rounded(_at_means, _clamp)),
    "and": for_each_outcome(_logic(_and)),
    "or": for_each_outcome(_logic(_or)),
    "xor": for_each_outcome(_logic(lambda p, q: p + q - 2 * p * q)),
    "not": for_each_outcome(_logic(lambda p: 1 - p)),
    "reduce_and": _reduce(_all),
    "reduce_or": _reduce(_any),
    "reduce_xor": _reduce(lambda p, axes: (1 - jnp.prod(1 - 2 * p, axes)) / 2),
}
