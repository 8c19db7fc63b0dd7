"""Which operations of a traced program only choose among values, and which may cut a derivative.

The second table only decides what is measured: JAX's own derivative rules say what is cut (see `gaps`). A table of guilty
primitives would be wrong for the first new one.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp

from ._jaxprs import JaxprEqn, aval

# What an operand other than a value is used for: the first operand of that kind, and the last (None: all that follow).
BRANCH, INDEX = "branch", "index"
STEERING = {
    "select_n": (BRANCH, 0, 1),
    "cond": (BRANCH, 0, 1),
    "gather": (INDEX, 1, 2),
    "dynamic_slice": (INDEX, 1, None),
    "dynamic_update_slice": (INDEX, 2, None),
    "scatter": (INDEX, 1, 2),
    "scatter-add": (INDEX, 1, 2),
    "scatter-mul": (INDEX, 1, 2),
    "scatter-min": (INDEX, 1, 2),
    "scatter-max": (INDEX, 1, 2),
}


def steers(eqn: JaxprEqn, operand: int) -> str | None:
    """BRANCH or INDEX if this operand only chooses among values, else None."""
    what, first, last = STEERING.get(eqn.primitive.name, ("", 0, 0))
    return what if first <= operand and (last is None or operand < last) else None


_STEPS = frozenset("eq ne lt le gt ge lt_to le_to floor ceil round sign argmax argmin stop_gradient".split())


def is_step(eqn: JaxprEqn) -> bool:
    """Might it hide a cut? A yes only asks for a measurement, so a wrong one costs time and nothing else."""
    # A float made an integer is a step; an integer made a float has nothing to cut.
    if eqn.primitive.name == "convert_element_type":
        return floats(eqn.invars) == [True] and floats(eqn.outvars) == [False]
    return eqn.primitive.name in _STEPS


def floats(variables: Sequence) -> list[bool]:
    return [jnp.issubdtype(getattr(aval(v), "dtype", bool), jnp.inexact) for v in variables]
