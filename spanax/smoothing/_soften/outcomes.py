"""One operation for every outcome of a draw."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from ..._jaxprs import evaluate
from .interpreter import EquationContext, Interpreter, Rule
from .values import Either, Outcomes, is_float, is_soft


def _shared_draw(step: EquationContext, ins: list) -> Any:
    """The draw of which all soft operands are functions; None where they are not, or the result is a float."""
    # One draw: then the result is a function of that draw too, and its law is exact. Two draws, or a mean without a
    # law, are not.
    roots = {x.root if isinstance(x, Outcomes | Either) else None for x in ins if is_soft(x)}
    # A float beside it that carries noise of its own would need noise of its own in the result.
    moves = any(step.reached(k) and is_float(step.dtype(k)) for k, x in enumerate(ins) if not is_soft(x))
    return roots.pop() if len(roots) == 1 and not moves and not is_float(step.out.dtype) else None


def for_each_outcome(then: Rule) -> Rule:
    """An elementwise operation, once for every outcome where all operands are functions of one draw; `then` otherwise."""

    def rule(soft: Interpreter, step: EquationContext, ins: list) -> list | None:
        root = _shared_draw(step, ins)
        if root is None:
            return then(soft, step, ins)
        known = next(x for x in ins if is_soft(x))
        if isinstance(known, Either):
            no, yes = (evaluate(step.eqn, [_case(x, side) for x in ins])[0] for side in ("no", "yes"))
            return [Either(jnp.broadcast_to(known.p, no.shape), no, yes, root)]
        return [_of_all_outcomes(step, known, ins)]

    return rule


def _of_all_outcomes(step: EquationContext, known: Outcomes, ins: list) -> Outcomes:
    """One operation for each value that the draw may have."""
    weights = jnp.broadcast_to(known.weights, (*step.out.shape, known.weights.shape[-1]))
    parts = [x.values if isinstance(x, Outcomes) else x for x in ins]
    axes = [-1 if isinstance(x, Outcomes) else None for x in ins]
    values = jax.vmap(lambda *xs: evaluate(step.eqn, xs)[0], axes, -1)(*parts)
    return Outcomes(weights, values, known.root)


def _case(x: Any, side: str) -> Any:
    return getattr(x, side) if isinstance(x, Either) else x
