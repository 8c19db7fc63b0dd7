"""The derivative of a solution: by the implicit function theorem, at a point where it holds."""

from __future__ import annotations

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

from .._session import line, session
from .given import Given
from .host import standard


def at_root(f: Callable, x: jax.Array) -> jax.Array:
    """x, where f(x) = 0, with the derivative by all that f closes over: -(df/dx)^-1 df. Of every order, in every mode."""

    def solve_linear(g: Callable, y: jax.Array) -> jax.Array:
        # A division, where a linear solve would be a library call.
        if y.ndim == 0:
            return y / g(jnp.ones_like(y))
        with standard():
            matrix = jax.jacfwd(lambda flat: g(flat.reshape(y.shape)).reshape(-1))(jnp.zeros(y.size, y.dtype))
            return jnp.linalg.solve(matrix, y.reshape(-1)).reshape(y.shape)

    # The solver given here is the identity: x is a root already. custom_root adds the derivative, of every order.
    return lax.custom_root(lambda z: f(z).astype(x.dtype), lax.stop_gradient(x), lambda _, z: z, solve_linear)


def check_simple(f: Given, x: jax.Array, width: jax.Array, scale: jax.Array) -> None:
    """An error where the root x, which is known to about `width`, is none, or has no derivative; `scale`: of f elsewhere."""
    x = lax.stop_gradient(x)
    value, slope = jax.vmap(lambda z: jax.jvp(f.still, (z,), (jnp.ones_like(z),)))(
        # Just beside the root too: where the slope changes within what x is known to, the root has no derivative.
        x + 4 * width * jnp.asarray([0.0, -1.0, 1.0], x.dtype)
    )
    small = 10 * jnp.abs(slope[0]) * width + 0.1 * math.sqrt(jnp.finfo(x.dtype).eps) * scale
    small = jnp.where(scale > 0, jnp.minimum(small, scale), small)
    session().check(
        ~(jnp.abs(value[0]) <= small),
        f"{f.who}: the function is not 0 where it changes its sign: it jumps there, has a pole, or is NaN",
        line(),
        "a bracket, or a start, at a root",
    )
    # A double root has a slope that goes through 0 there; a kink, one that jumps.
    turns = jnp.any(jnp.abs(slope[1:] - slope[0]) > 0.5 * jnp.abs(slope[0]))
    session().check(
        (slope[0] == 0) | ~jnp.isfinite(slope[0]) | turns,
        f"{f.who}: the root is not a simple one: the function touches 0, or has a kink there, and the root has no derivative",
        line(),
        "a function that crosses 0 with a slope: without its repeated factor",
        "sx.gradient(..., sigma=...)",
    )


def check_regular(f: Given, x: jax.Array) -> None:
    """An error where the Jacobian of f at x is singular."""
    x = lax.stop_gradient(x)
    matrix = jax.jacfwd(lambda flat: f.still(flat.reshape(x.shape)).reshape(-1))(x.reshape(-1))
    # Equations in different units are brought to the same size first: scaling them changes no solution.
    rows = jnp.max(jnp.abs(matrix), axis=1, keepdims=True)
    even = matrix / jnp.where(rows == 0, 1, rows)
    condition = jnp.linalg.norm(even) * jnp.linalg.norm(jnp.linalg.inv(even))
    session().check(
        ~(condition < 0.01 * jnp.finfo(x.dtype).eps ** -0.75),
        f"{f.who}: the equations' Jacobian is singular at the solution, which has no derivative there",
        line(),
        "as many independent equations as unknowns",
        "another start",
    )


def check_converged(done: jax.Array, who: str, bound: str) -> None:
    session().check(~done, f"{who} failed to converge {bound}", line(), "a start that is nearer", "a larger bound")
