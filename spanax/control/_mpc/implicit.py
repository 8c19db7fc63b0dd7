"""The derivative of a solution, by the implicit function theorem: not of the search that found it.

At a local minimum the slope of the total cost over the actions that no bound holds is zero, J_u(u, inputs) = 0. So

    H du = -J_ui d inputs     over the free actions, and du = 0 for those that a bound holds,

with the exact Hessian H, whose inverse is one pass backwards and one forwards (Amos, Rodriguez, Sacks, Boots and Kolter 2018,
arXiv:1810.13400, who drop the second derivatives of the motion; here they are kept).
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

from .problem import Inputs, Problem
from .riccati import solve_free


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def solution(
    problem: Problem, inputs: Inputs, actions: Float[Array, "T m"], converged: Bool[Array, ""]
) -> Float[Array, "T m"]:
    """`actions`, which minimise the problem, as a function of its inputs; the derivative is NaN unless `converged`."""
    return actions


@solution.defjvp
def _solution_jvp(problem, primals, tangents):
    inputs, actions, converged = primals
    # Again by this rule, so that there are derivatives of every order.
    actions = solution(problem, inputs, actions, converged)
    slope, turned = jax.jvp(lambda inputs: problem.gradient(actions, inputs), (inputs,), (tangents[0],))
    held = ((actions <= problem.low) & (slope > 0)) | ((actions >= problem.high) & (slope < 0))

    def hessian(v):
        along = jnp.where(held, 0, v)
        bent = jax.jvp(lambda actions: problem.gradient(actions, inputs), (actions,), (along,))[1]
        return jnp.where(held, v, bent)

    def solve(_, b):
        # How it is solved needs no derivative: JAX differentiates the equation, which is `hessian`.
        given = lax.stop_gradient(inputs)
        expansion = problem.expand(given, problem.play(given, lax.stop_gradient(actions)), 1.0)
        return jnp.where(held, b, solve_free(expansion, ~held, b))

    # A Hessian is its own transpose: reverse mode solves by the same two passes.
    moved = lax.custom_linear_solve(hessian, jnp.where(held, 0, -turned), solve, symmetric=True)
    # By multiplication, which is linear: reverse mode passes on the NaN as well.
    return actions, moved * jnp.where(converged, 1, jnp.nan).astype(moved.dtype)
