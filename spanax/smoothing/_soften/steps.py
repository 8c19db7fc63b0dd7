"""Steps of one number, softened: comparisons, rounding, the sign, remainders, and casts to integers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..._jaxprs import is_traced
from . import noise
from .arithmetic import of_integers
from .interpreter import EquationContext, Interpreter, Rule, broadcast
from .outcomes import for_each_outcome
from .reach import COMPARISONS, CONSTANT
from .values import Either, Outcomes, SoftBool, Whole, default_float, is_float, is_soft, number

# -- comparisons


def _compare(soft: Interpreter, step: EquationContext, ins: list) -> list:
    """P(a < b): of floats, P(a + softness e < b).

    Whole numbers get no noise of their own: one whose law is known is compared exactly, one with a mean only is taken for one of
    the two integers next to it.
    """
    # A float and a number written in the program: noise never meets that number, so the test stays what it is.
    if step.name in ("eq", "ne") and not any(map(is_soft, ins)) and any(b & CONSTANT for b in step.bits):
        return soft.exactly(step, ins)
    name, (a, b), at = step.name.removesuffix("_to"), ins, (0, 1)
    if name in ("gt", "ge"):  # a > b is b < a
        name, a, b, at = {"gt": "lt", "ge": "le"}[name], b, a, (1, 0)
    if isinstance(a, Whole) and _is_fixed(step, at[1], b):
        return [soft.truth(_of_law(name, a, number(b, a.at.dtype)))]
    if isinstance(b, Whole) and _is_fixed(step, at[0], a):
        return [soft.truth(_of_law({"lt": "gt", "le": "ge"}.get(name, name), b, number(a, b.at.dtype)))]
    x, y = _on_one_side(step, a, b)
    fixed = [_is_fixed(step, k, v) for v, k in zip((a, b), at, strict=True)]
    if all(f or step.is_whole(k, v) for v, k, f in zip((a, b), at, fixed, strict=True)):
        return [soft.truth(_of_counts(name, x, y, fixed, step.dtype(0) == jnp.bool_))]
    return [soft.truth(soft.value(_of_floats(name, x, y, soft.noise(x.dtype)), soft.exact(step, ins)))]


def _is_fixed(step: EquationContext, k: int, value: Any) -> bool:
    """An operand that noise does not reach: an exact number."""
    return not is_soft(value) and not step.reached(k)


def _on_one_side(step: EquationContext, a, b) -> list[Array]:
    dtype = jnp.promote_types(number(a).dtype, number(b).dtype)
    return [broadcast(number(v, dtype), step.out.shape) for v in (a, b)]


def _of_law(name: str, n: Whole, c: Array) -> Array:
    """P(N < c), P(N <= c), P(N > c), P(N >= c), P(N = c) or P(N != c)."""
    up = jnp.ceil(c)
    if name in ("eq", "ne"):
        same = jnp.where(c == up, n.below(up + 1) - n.below(up), 0.0)
        return same if name == "eq" else 1 - same
    below = n.below(up) if name in ("lt", "ge") else n.below(jnp.floor(c) + 1)
    return below if name in ("lt", "le") else 1 - below


def _of_counts(name: str, x: Array, y: Array, fixed: list[bool], truths: bool) -> Array:
    """Of whole numbers by their means: linear between integers, exact where one of them is a truth value.

    `fixed`: which of the two is the number itself, and may be no whole one.
    """
    if name in ("eq", "ne"):
        same = x * y + (1 - x) * (1 - y) if truths else jnp.clip(1 - jnp.abs(x - y), 0, 1)
        for v, f in zip((x, y), fixed, strict=True):
            same = jnp.where(v == jnp.floor(v), same, 0.0) if f else same
        return same if name == "eq" else 1 - same
    inward, outward = (jnp.floor, jnp.ceil) if name == "lt" else (jnp.ceil, jnp.floor)
    x = inward(x) if fixed[0] else x
    y = outward(y) if fixed[1] else y
    known = jnp.isfinite(x) & jnp.isfinite(y)
    gap = jnp.where(known, y, 0.0) - jnp.where(known, x, 0.0)
    return jnp.where(known, jnp.clip(gap if name == "lt" else gap + 1, 0, 1), (x < y).astype(x.dtype))


def _of_floats(name: str, x: Array, y: Array, softness: Array) -> Array:
    known = jnp.isfinite(x) & jnp.isfinite(y)
    gap = jnp.where(known, y, 0.0) - jnp.where(known, x, 0.0)
    if name in ("eq", "ne"):
        same = jnp.where(known, noise.equal(gap, softness), (x == y).astype(x.dtype))
        return same if name == "eq" else 1 - same
    hard = x < y if name == "lt" else x <= y
    return jnp.where(known, noise.positive(gap, softness), hard.astype(x.dtype))


# -- rounding


def _whole(soft: Interpreter, step: EquationContext, x, at: Array, scale: Array, **options) -> Whole:
    """T(at + scale e), to which `hard` gives the exact value."""
    hard = soft.exact(step, x).astype(at.dtype) if soft.straight_through else None
    return Whole(at, broadcast(scale, at.shape), jnp.zeros_like(at), hard, **options)


def _rounding_rule(move: float) -> Rule:
    """floor(x + move), but for the ends of the steps, which noise does not meet."""

    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list:
        (x,) = ins
        if is_soft(x):
            return [x]  # whole already
        return [_whole(soft, step, ins, x + jnp.asarray(move, x.dtype), soft.noise(x.dtype), fine=soft.fine)]

    return rule


def _trunc(soft: Interpreter, step: EquationContext, ins: list) -> list:
    (x,) = ins
    return [x if is_soft(x) else _whole(soft, step, ins, x, soft.noise(x.dtype), truncates=True, fine=soft.fine)]


def _sign(soft: Interpreter, step: EquationContext, ins: list) -> list:
    (x,) = ins
    if is_soft(x):
        # A whole number with a mean only: between -1 and 1 its sign is linear, as a comparison with 0 is.
        return [SoftBool(jnp.clip(number(x), -1, 1))]
    p = noise.positive(jnp.where(jnp.isnan(x), 0.0, x), soft.noise(x.dtype))
    if soft.straight_through:  # of 0 as well, whose sign is neither
        return [SoftBool(soft.value(2 * p - 1, jnp.sign(x)))]
    return [Either(p, -jnp.ones_like(x), jnp.ones_like(x), soft.new_root())]


# -- quotients and remainders of floats: their noise is the dividend's


def _floor_divide(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    if not is_float(step.out.dtype):
        return of_integers(soft, step, ins)
    x, y = as_floats(step, ins)
    at, scale, usual = _quotient(soft, x, y)
    n = _whole(soft, step, ins, at, scale)
    return [n if _always(usual) else jnp.where(usual, number(n), x / y)]


def _quotient(soft: Interpreter, x: Array, y: Array):
    """x/y, its noise, and where that makes sense."""
    # Division by 0 and infinities are left to the hard operation: noise on them has no meaning.
    usual = jnp.isfinite(y) & (y != 0) & jnp.isfinite(x)
    safe = jnp.where(usual, y, 1.0)
    return jnp.where(usual, x, 0.0) / safe, soft.noise(x.dtype) / jnp.abs(safe), usual


def _always(usual: Array) -> bool:
    return not is_traced(usual) and bool(np.all(usual))


def _remainder(truncates: bool) -> Rule:
    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        if not is_float(step.out.dtype):
            return of_integers(soft, step, ins)
        x, y = as_floats(step, ins)
        at, scale, usual = _quotient(soft, x, y)
        n = Whole(at, scale, jnp.zeros_like(at), truncates=truncates).mean
        exact = soft.exact(step, ins)
        rest = jnp.where(usual, jnp.where(usual, x, 0.0) - jnp.where(usual, y, 0.0) * n, exact)
        return [soft.value(rest, exact)]

    return rule


def _divmod(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    if not is_float(step.out.dtype):
        return None
    x, y = as_floats(step, ins)
    at, scale, usual = _quotient(soft, x, y)
    n = Whole(at, scale, jnp.zeros_like(at)).mean
    parts = [n, jnp.where(usual, x, 0.0) - jnp.where(usual, y, 0.0) * n]
    exact = soft.bind(step, list(map(number, ins)))
    return [
        soft.value(jnp.where(usual, part, jax.lax.stop_gradient(e)), jax.lax.stop_gradient(e))
        for part, e in zip(parts, exact, strict=True)
    ]


def as_floats(step: EquationContext, ins: list) -> list[Array]:
    """The operands, in the dtype and the shape of the result."""
    return [broadcast(number(x, step.out.dtype), step.out.shape) for x in ins]


# -- casts


def _convert(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    (x,), target = ins, step.out.dtype
    if not is_soft(x):
        return _truncate(soft, step, ins)
    if jnp.issubdtype(target, jnp.complexfloating):
        return [number(x, target)]
    if isinstance(x, Outcomes):
        return [Outcomes(x.weights, x.values.astype(target), x.root)]
    if isinstance(x, Either):
        return [Either(x.p, x.no.astype(target), x.yes.astype(target), x.root)]
    if is_float(target):
        return [SoftBool(number(x, target))]
    if target == jnp.bool_:
        return [soft.truth(_nonzero(x))]
    if isinstance(x, Whole):
        return [x]
    return [SoftBool(number(x, default_float()))]


def _truncate(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
    """A float to an integer."""
    (x,), target = ins, step.out.dtype
    if is_float(target) or target == jnp.bool_ or not jnp.issubdtype(step.dtype(0), jnp.floating):
        return None  # of a float to a boolean: noise is never 0
    at = jnp.where(jnp.isfinite(x), x, 0.0).astype(default_float())
    return [_whole(soft, step, ins, at, soft.noise(default_float()), truncates=True, fine=soft.fine)]


def _nonzero(x) -> Array:
    """P(N != 0)."""
    if isinstance(x, Whole):
        return 1 - x.below(1) + x.below(0)
    return jnp.clip(jnp.abs(number(x, default_float())), 0, 1)


def _signbit(soft: Interpreter, step: EquationContext, ins: list) -> list:
    """Of -0. as of 0.: noise tells them not apart."""
    (x,) = ins
    p = noise.positive(-jnp.where(jnp.isnan(number(x)), 0.0, number(x)), soft.noise(number(x).dtype))
    return [soft.truth(soft.value(p, soft.exact(step, ins)))]


RULES: dict[str, Rule] = {
    **dict.fromkeys(COMPARISONS, for_each_outcome(_compare)),
    "floor": _rounding_rule(0.0),
    "ceil": _rounding_rule(1.0),
    "round": _rounding_rule(0.5),
    "trunc": _trunc,
    "signbit": _signbit,
    "sign": _sign,
    "floor_divide": _floor_divide,
    "rem": _remainder(True),
    "remainder": _remainder(False),
    "divmod": _divmod,
    "convert_element_type": _convert,
}
