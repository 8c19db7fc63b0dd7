"""The Newton step of an optimal control problem with bounds on the actions, in one pass backwards."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from .box_qp import box_qp
from .problem import Expansion


class Law(NamedTuple):
    """Change the actions by `change + gain (x - x_nominal)`; `free`: not held by a bound.

    `convex`: the problem that was solved, without changes to its Hessian, has this minimum and no other.
    """

    change: Float[Array, "T m"]
    gain: Float[Array, "T m n"]
    free: Bool[Array, "T m"]
    convex: Bool[Array, ""]


def newton_law(
    expansion: Expansion, below: Float[Array, "T m"], above: Float[Array, "T m"], damping: Float[Array, ""]
) -> Law:
    """The changes between `below` and `above` that minimise the expansion, stage by stage.

    Control-limited differential dynamic programming: Tassa, Mansard and Todorov 2014 (ICRA, 1168), equations 5 to 8 and section
    III. `damping` (Levenberg and Marquardt) is added to the Hessian of the actions, in units of what it would be without.
    """
    n = expansion.slope.size

    def back(carry, at):
        slope, bend, convex = carry
        step, cost, hessian, low, high = at
        q, qq = cost + slope @ step, hessian + step.T @ bend @ step
        hess = qq[n:, n:]
        solved = box_qp(hess, q[n:], low, high, damping)
        change = solved.change
        gain = solved.feedback(qq[n:, :n])
        # With the Hessian as it is: the usual shorter form would need the change to be its minimum, without damping.
        slope = q[:n] + gain.T @ (hess @ change + q[n:]) + qq[:n, n:] @ change
        bend = qq[:n, :n] + gain.T @ hess @ gain + gain.T @ qq[n:, :n] + qq[:n, n:] @ gain
        # Rounding makes it lopsided, and the next steps would amplify that.
        return (slope, (bend + bend.T) / 2, convex & solved.convex), (change, gain, solved.free)

    carry = expansion.slope, expansion.bend, jnp.ones((), bool)
    stages = expansion.steps, expansion.costs, expansion.bends, below, above
    (_, _, convex), (change, gain, free) = lax.scan(back, carry, stages, reverse=True)
    return Law(change, gain, free, convex)


def solve_free(expansion: Expansion, free: Bool[Array, "T m"], b: Float[Array, "T m"]) -> Float[Array, "T m"]:
    """v with H v = b, where H is the Hessian of the total cost over the free actions; 0 for the others."""
    n = expansion.slope.size
    zero = jnp.zeros_like(expansion.slope)

    def back(carry, at):
        slope, bend = carry
        step, hessian, free, b = at
        q, qq = slope @ step, hessian + step.T @ bend @ step
        # Rows and columns of what is held become those of the identity.
        held = jnp.where(free[:, None] & free[None, :], qq[n:, n:], jnp.diag((~free).astype(b.dtype)))
        cross = jnp.where(free[:, None], qq[n:, :n], 0)
        right = jnp.concatenate([jnp.where(free, b - q[n:], 0)[:, None], -cross], axis=1)
        solved = right / held if held.shape == (1, 1) else jnp.linalg.solve(held, right)
        change, gain = solved[:, 0], solved[:, 1:]
        bend = qq[:n, :n] + cross.T @ gain
        return (q[:n] + cross.T @ change, (bend + bend.T) / 2), (change, gain)

    stages = expansion.steps, expansion.bends, free, b
    _, (change, gain) = lax.scan(back, (zero, expansion.bend), stages, reverse=True)

    def forward(x, at):
        step, change, gain = at
        v = change + gain @ x
        return step[:, :n] @ x + step[:, n:] @ v, v

    return lax.scan(forward, zero, (expansion.steps, change, gain))[1]
