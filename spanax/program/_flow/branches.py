"""One of two traced branches: as a branch of the program or, where both are next to nothing, as a choice between their results.

XLA compiles each branch as a program of its own, and enters it at the price of some fifty additions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..._jaxprs import JaxprEqn, Literal, aval, operations
from .._session import session
from .capture import Capture

FEW, NUMBERS = 12, 256  # operations of a branch that is computed in any case, and entries of what it computes

# Operations whose derivative is that of their arguments, times numbers that are known and finite: where the other branch is
# chosen it is 0, and not NaN, whatever the arguments are. So are products with, and quotients by, known numbers.
_HARMLESS = frozenset(
    "add sub neg max min select_n convert_element_type broadcast_in_dim reshape squeeze copy jit stop_gradient "
    "eq ne lt le gt ge and or not is_finite".split()
)


def either(
    chosen: Any, branches: Sequence[Capture], then: Callable[[], list], orelse: Callable[[], list]
) -> list[jax.Array]:
    """`then() if chosen else orelse()`; `branches` are their traced programs."""
    # Only in a gradient: elsewhere the branch stays one, so that `find_gaps` can name its line.
    if session().only_derived and all(map(is_slight, branches)):
        return [jnp.where(chosen, a, b) for a, b in zip(then(), orelse(), strict=True)]
    return lax.cond(chosen, then, orelse)


def is_slight(branch: Capture) -> bool:
    eqns = list(operations(branch.program.jaxpr))
    return len(eqns) <= FEW and not branch.program.effects and all(map(_is_harmless, eqns))


def _is_harmless(eqn: JaxprEqn) -> bool:
    if sum(math.prod(aval(v).shape) for v in eqn.outvars) > NUMBERS:
        return False
    if eqn.primitive.name == "mul":
        return any(map(_is_finite, eqn.invars))
    if eqn.primitive.name == "div":
        return _is_finite(eqn.invars[1], but=0)
    return eqn.primitive.name in _HARMLESS


def _is_finite(x: Any, but: float | None = None) -> bool:
    """Is it a known finite number, other than `but`?"""
    return isinstance(x, Literal) and bool(np.all(np.isfinite(x.val) & (x.val != but)))
