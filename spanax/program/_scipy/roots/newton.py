"""`scipy.optimize.newton`, step by step as SciPy has it: Newton's, Halley's and the secant method."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax

Found = tuple[jax.Array, jax.Array, jax.Array]  # the root, the number of steps, and whether it was found


def newton(
    f: Callable,
    slope: Callable,
    curvature: Callable | None,
    x0: jax.Array,
    tol: jax.Array,
    rtol: jax.Array,
    maxiter: int,
) -> Found:
    """x - f/f', or Halley's step where there is a second derivative."""

    def step(s: tuple) -> tuple:
        x, k, _, _ = s
        value, by_x = f(x), slope(x)
        move = value / jnp.where(by_x == 0, 1, by_x)
        if curvature is not None:
            bend = move * curvature(x) / jnp.where(by_x == 0, 1, by_x) / 2
            # SciPy takes Halley's step only where the correction is below 1.
            move = jnp.where(jnp.abs(bend) < 1, move / (1 - jnp.where(jnp.abs(bend) < 1, bend, 0)), move)
        # A root that is hit exactly stays, and a slope of 0 elsewhere is a failure, as in SciPy.
        there = value == 0
        flat = (by_x == 0) & ~there
        new = jnp.where(there | flat, x, x - move)
        near = _close(new, x, tol, rtol) & ~flat
        return new, k + 1, jnp.all(there | near), jnp.any(flat) & (x.ndim == 0)

    start = x0, jnp.zeros((), jnp.int32), jnp.asarray(False), jnp.asarray(False)
    x, k, done, _ = lax.while_loop(lambda s: ~s[2] & ~s[3] & (s[1] < maxiter), step, start)
    return x, k, done


def secant(f: Callable, x0: jax.Array, x1: jax.Array | None, tol: jax.Array, rtol: jax.Array, maxiter: int) -> Found:
    # SciPy's own second points, which differ for a number and for an array.
    eps = 1e-4 if x0.ndim == 0 else float(jnp.finfo(x0.dtype).eps) ** 0.33
    wider = x0 * (1 + eps)
    beside = wider + jnp.where((wider if x0.ndim == 0 else x0) >= 0, eps, -eps).astype(x0.dtype)
    second: jax.Array = beside if x1 is None else x1
    q0, q1 = f(x0), f(second)
    swap = (jnp.abs(q1) < jnp.abs(q0)) & (x0.ndim == 0)
    first = jnp.where(swap, second, x0), jnp.where(swap, x0, second), jnp.where(swap, q1, q0), jnp.where(swap, q0, q1)

    def step(s: tuple) -> tuple:
        x0, x1, q0, q1, k, _, _ = s
        flat = q1 == q0
        # Of the two forms of the secant step, the one that divides by the larger value.
        back = jnp.abs(q1) > jnp.abs(q0)
        ratio = jnp.where(flat, 0, jnp.where(back, q0 / jnp.where(q1 == 0, 1, q1), q1 / jnp.where(q0 == 0, 1, q0)))
        gone = jnp.where(back, -ratio * x1 + x0, -ratio * x0 + x1) / jnp.where(flat, 1, 1 - ratio)
        new = jnp.where(flat, (x0 + x1) / 2, gone)
        near = jnp.where(flat, (x0 == x1) | (q1 == 0), _close(new, x1, tol, rtol))
        stuck = jnp.any(flat & ~near) & (x0.ndim == 0)
        return x1, new, q1, f(new), k + 1, jnp.all(near), stuck

    start = *first, jnp.zeros((), jnp.int32), jnp.asarray(False), jnp.asarray(False)
    final = lax.while_loop(lambda s: ~s[5] & ~s[6] & (s[4] < maxiter), step, start)
    return final[1], final[4], final[5]


def _close(x: jax.Array, y: jax.Array, tol: jax.Array, rtol: jax.Array) -> jax.Array:
    return jnp.isfinite(x) & (jnp.abs(x - y) <= tol + rtol * jnp.abs(y))
