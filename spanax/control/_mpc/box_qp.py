"""A small quadratic problem with bounds, by projected Newton steps.

Bertsekas 1982 (SIAM J. Control Optim. 20, 221); as in Tassa, Mansard and Todorov 2014 (ICRA, 1168), section III and appendix.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

ITERATIONS = 20
# Shares of a step that are tried: clipped at a bound, the whole of it may lead uphill.
STEPS = tuple(0.4**k for k in range(12))


class Solved(NamedTuple):
    """The minimum `change`, which elements are `free`, the Hessian used; `convex`: was it positive definite as it came?"""

    change: Float[Array, " m"]
    free: Bool[Array, " m"]
    hess: Float[Array, "m m"]
    convex: Bool[Array, ""]

    def feedback(self, cross: Float[Array, "m n"]) -> Float[Array, "m n"]:
        """How the minimum moves with x where the slope gets `cross @ x`; rows of what is held are 0."""
        return -_solve(self.hess, self.free, cross)


def box_qp(
    hess: Float[Array, "m m"],
    slope: Float[Array, " m"],
    low: Float[Array, " m"],
    high: Float[Array, " m"],
    damping: Float[Array, ""],
) -> Solved:
    """min over low <= v <= high of slope . v + v . H v / 2, where H is the Hessian, made positive definite and damped."""
    hess, convex = _positive(hess, damping)
    # Of one element the minimum is known without a loop.
    if slope.shape == (1,):
        change = jnp.clip(-slope / hess[0], low, high)
        return Solved(change, (low < change) & (change < high), hess, convex)
    change = _minimise(hess, slope, low, high)
    return Solved(change, _is_free(change, slope + hess @ change, low, high), hess, convex)


def _positive(hess: Array, damping: Array) -> tuple[Array, Array]:
    """The Hessian with its eigenvalues made positive, and damped; and whether they were."""
    # Absolute values: where the cost bends down, a step of Newton would go uphill (Dauphin and others 2014, arXiv:1406.2572).
    if hess.shape == (1, 1):
        size = jnp.abs(hess)
        # Never 0: where the cost is flat and there is no damping, 0 / 0 would be NaN.
        return size + damping * (1 + size) + jnp.finfo(hess.dtype).tiny, hess[0, 0] > 0
    values, vectors = jnp.linalg.eigh(hess)
    size = jnp.abs(values)
    size = size + damping * (1 + jnp.max(size)) + jnp.finfo(hess.dtype).eps * jnp.max(size)
    return (vectors * size[None, :]) @ vectors.T, values[0] > 0


def _minimise(hess: Array, slope: Array, low: Array, high: Array) -> Array:
    def value(v):
        return slope @ v + v @ hess @ v / 2

    def more(carry):
        k, _, moved = carry
        return (k < ITERATIONS) & moved

    def one(carry):
        k, v, _ = carry
        at = slope + hess @ v
        step = -_solve(hess, _is_free(v, at, low, high), at[:, None])[:, 0]
        tries = jnp.clip(v[None] + jnp.array(STEPS, v.dtype)[:, None] * step[None], low[None], high[None])
        values = jax.vmap(value)(tries)
        best = jnp.argmin(values)
        better = values[best] < value(v)
        return k + 1, jnp.where(better, tries[best], v), better

    start = jnp.clip(jnp.zeros_like(slope), low, high)
    return lax.while_loop(more, one, (0, start, jnp.ones((), bool)))[1]


def _is_free(v: Array, slope: Array, low: Array, high: Array) -> Array:
    # At a bound an element is held only while the slope pushes it out: inwards it may leave.
    return ~(((v <= low) & (slope > 0)) | ((v >= high) & (slope < 0)))


def _solve(hess: Array, free: Array, right: Array) -> Array:
    """Of the free rows and columns; 0 in the others."""
    right = jnp.where(free[:, None], right, 0)
    if hess.shape == (1, 1):
        return right / hess
    held = jnp.where(free[:, None] & free[None, :], hess, jnp.diag((~free).astype(hess.dtype)))
    return jnp.linalg.solve(held, right)
