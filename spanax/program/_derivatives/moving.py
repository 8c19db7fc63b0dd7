"""Where the numbers of a traced program depend on its arguments, as far as selections decide.

`np.maximum(u, 0)` is constant where u is negative, and so is its root, whose slope at 0 is infinite: the derivative is 0. A
derivative that happens to be 0 makes nothing constant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..._jaxprs import Jaxpr, Literal, P, cond_branches, evaluate, is_traced
from .flat import Flat, Name, Step
from .reached import DEEPEST, EVERYWHERE, KEEPS_ALL, LEAVES_OUT, Mask, Reached, is_elementwise

NOWHERE = Mask(lambda primal: np.False_, (), True)


class Moving:
    """For each number the mask of the places where it depends on the arguments; `EVERYWHERE` where that is not known."""

    def __init__(self, flat: Flat, reached: Reached):
        self._is_active = reached.is_active
        self._found: dict[Name, Mask] = {}
        for step in flat.steps:
            if any(self.of(name) is not EVERYWHERE for name in step.ins):
                masks = self._masks(step)
                self._found.update((out, mask) for out, mask in zip(step.outs, masks, strict=True) if _is_shallow(mask))

    def of(self, name: Name) -> Mask:
        return self._found.get(name, EVERYWHERE) if self._is_active(name) else NOWHERE

    def into(self, step: Step) -> Mask:
        """That of what an elementwise step is given."""
        return _union([(self.of(name), name) for name in step.ins], step.outs[0].aval.shape)

    def _masks(self, step: Step) -> Sequence[Mask]:
        given = [self.of(name) for name in step.ins]
        # A selection depends on its arguments only where it takes a case that does.
        if step.kind == "select_n":
            return [_of_selection(step, given[1:])]
        if step.kind in ("max", "min"):
            return [_extreme(step, given)]
        if step.eqn.primitive is P.cond_p:
            return _of_branches(step, given[1:])
        # The usual case, and no mask is made.
        if all(mask is EVERYWHERE for mask, name in zip(given, step.ins, strict=True) if self._is_active(name)):
            return [EVERYWHERE] * len(step.outs)
        if is_elementwise(step):
            return [self.into(step)] * len(step.outs)
        if step.kind in KEEPS_ALL or step.kind in LEAVES_OUT or step.kind == "dot_general":
            return [_through_moves(step, given, k) for k in range(len(step.outs))]
        return [EVERYWHERE] * len(step.outs)


def within(reached: Mask, moving: Mask) -> Mask:
    """Where a number depends on the arguments, and reaches the results.

    A constant does not stop NaN in forward mode by itself, as little as a factor of 0 does.
    """
    # Nothing is known to stand still there, so the mask is the one that was asked for.
    if moving is EVERYWHERE:
        return reached

    def value(primal: Callable) -> Any:
        # Where it does not move its derivative is 0, and may be stopped as well as where it does not reach the
        # result.
        outside, inside = reached.value(primal), moving.value(primal)
        return inside if outside is None else outside & inside

    return Mask(value, (reached, moving), reached.scalar and moving.scalar, by_weight=True)


def _is_shallow(mask: Mask) -> bool:
    return mask is not EVERYWHERE and mask.depth <= DEEPEST


def _union(given: Sequence[tuple[Mask, Name]], shape: tuple) -> Mask:
    parts = [mask for mask, _ in given if mask is not NOWHERE]
    if EVERYWHERE in parts or not parts:
        return EVERYWHERE if parts else NOWHERE

    def value(primal: Callable) -> Any:
        found = np.False_
        for mask in parts:
            found = found | mask.value(primal)
        return jnp.broadcast_to(found, shape)

    return parts[0] if len(set(parts)) == 1 else Mask(value, parts, not shape)


def _of_selection(step: Step, cases: Sequence[Mask]) -> Mask:
    which, shape = step.ins[0], step.outs[0].aval.shape
    if all(mask is EVERYWHERE for mask in cases):
        return EVERYWHERE

    def value(primal: Callable) -> Any:
        found, chosen = np.False_, primal(which)
        for k, mask in enumerate(cases):
            found = found | (mask.value(primal) & (chosen == np.asarray(k, which.aval.dtype)))
        return jnp.broadcast_to(found, shape)

    return Mask(value, cases, not shape)


def _extreme(step: Step, given: Sequence[Mask]) -> Mask:
    shape = step.outs[0].aval.shape
    if all(mask is EVERYWHERE for mask in given):
        return EVERYWHERE

    def value(primal: Callable) -> Any:
        one, other = map(primal, step.ins)
        less, more = (one < other, one > other) if step.kind == "max" else (one > other, one < other)
        # where they are equal, or NaN, it depends on both
        found = (given[0].value(primal) & ~less) | (given[1].value(primal) & ~more)
        return jnp.broadcast_to(found, shape)

    return Mask(value, given, not shape)


def _of_branches(step: Step, given: Sequence[Mask]) -> list[Mask]:
    branches = cond_branches(step.eqn)
    return [_of_branch([_result(b.jaxpr, b.consts, k, given) for b in branches], step) for k in range(len(step.outs))]


def _result(jaxpr: Jaxpr, consts: Sequence, k: int, given: Sequence[Mask]) -> Mask:
    """Of a branch's result that is one of its inputs, or a constant."""
    out = jaxpr.outvars[k]
    if isinstance(out, Literal):
        return NOWHERE
    if out in jaxpr.invars:
        return given[jaxpr.invars.index(out)]
    # A branch that returns a constant, such as `else: 0.`, does not move there.
    known = {v for v, x in zip(jaxpr.constvars, consts, strict=True) if not is_traced(x)}
    made = next((eqn for eqn in jaxpr.eqns if out in eqn.outvars), None)
    constant = out in known if made is None else all(isinstance(v, Literal) or v in known for v in made.invars)
    return NOWHERE if constant else EVERYWHERE


def _of_branch(cases: Sequence[Mask], step: Step) -> Mask:
    index = step.ins[0]
    if not all(mask.scalar for mask in cases) or all(mask is EVERYWHERE for mask in cases):
        return EVERYWHERE

    def value(primal: Callable) -> Any:
        # Of the branch taken; a branch that hands on a constant does not move.
        chosen, found = primal(index), np.False_
        for k, mask in enumerate(cases):
            found = found | (mask.value(primal) & (chosen == k))
        return found

    return Mask(value, cases, True)


def _through_moves(step: Step, given: Sequence[Mask], k: int) -> Mask:
    """Through a step that moves numbers, and adds some of them up."""

    def value(primal: Callable) -> Any:
        ins = [
            jnp.broadcast_to(mask.value(primal), name.aval.shape).astype(name.aval.dtype)
            if name.is_number
            else primal(name)
            for mask, name in zip(given, step.ins, strict=True)
        ]
        if step.kind == "dot_general":
            one, other = ins
            # Counted, with 1 for numbers that move: a sum is not 0 where any of its terms moves.
            pairs = (one, jnp.ones_like(other)), (jnp.ones_like(one), other)
            outs = [evaluate(step.eqn, list(pair))[k] for pair in pairs]
        else:
            outs = [evaluate(step.eqn, ins)[k]]
        return sum(outs) != jnp.zeros((), outs[0].dtype)

    return Mask(value, given, False)
