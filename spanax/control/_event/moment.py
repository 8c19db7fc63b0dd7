"""The derivative of the moment at which a condition is met, by the implicit function theorem.

With x(t, p) a motion that depends on parameters p, and t(p) the moment at which g(x(t, p), p) = 0,

    dt/dp = -(dg/dp at a fixed t) / (dg/dt),

and the state at the event moves by dx/dp at a fixed t, plus dx/dt dt/dp. Followed by a reset, this is the saltation matrix
(Aizerman and Gantmakher, Quarterly Journal of Mechanics and Applied Mathematics 11, 1958; Kong, Payne, Zhu and Johnson,
"Saltation matrices: the essential tool for linearizing hybrid dynamical systems", 2023).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from .integrators import Scalar


def moment(value: Callable[[Any, Scalar], Scalar], rate: Callable[[Any, Scalar], Scalar]) -> Callable[..., Scalar]:
    """A function `(parameters, root) -> root` whose derivatives, of every order and in both modes, are those of the root t of
    value(parameters, t), by all of the parameters, a pytree of arrays.

    **Arguments:**

    - `value`: smooth, and 0 at the root.
    - `rate`: its derivative by t.
    """

    @jax.custom_jvp
    def root(_: Any, t: Scalar) -> Scalar:
        return t

    @root.defjvp
    def _(primals, tangents):
        parameters, t = primals
        # The rule holds for the root with its derivative, not for its value alone: so the next order comes out right, too.
        t = root(parameters, t)
        _, moved = jax.jvp(lambda p: value(p, t), (parameters,), (tangents[0],))
        slope = rate(parameters, t)
        # A root that is flat, or none, is the caller's to refuse: here it must not be the 0/0 that a `where` lets through.
        return t, -moved / jnp.where(slope == 0, jnp.ones_like(slope), slope)

    return root
