"""The Radau IIA method of order 5, for stiff problems (Hairer, Wanner, Solving Ordinary Differential Equations II, section IV.8).

The stages are found by a simplified Newton method; their derivative is that of the implicit function theorem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..implicit import at_root
from .steps import Attempt, Problem, powers, rms

_S = 6**0.5
_A = np.array(
    [
        [(88 - 7 * _S) / 360, (296 - 169 * _S) / 1800, (-2 + 3 * _S) / 225],
        [(296 + 169 * _S) / 1800, (88 + 7 * _S) / 360, (-2 - 3 * _S) / 225],
        [(16 - _S) / 36, (16 + _S) / 36, 1 / 9],
    ]
)
_C = np.array([(4 - _S) / 10, (4 + _S) / 10, 1])
_E = np.array([-13 - 7 * _S, -13 + 7 * _S, -1]) / 3
_MU = 3 + 3 ** (2 / 3) - 3 ** (1 / 3)
_P = np.array(
    [
        [13 / 3 + 7 * _S / 3, -23 / 3 - 22 * _S / 3, 10 / 3 + 5 * _S],
        [13 / 3 - 7 * _S / 3, -23 / 3 + 22 * _S / 3, 10 / 3 - 5 * _S],
        [1 / 3, -8 / 3, 10 / 3],
    ]
)
_ROUNDS = 6  # of Newton's method


@dataclass(frozen=True)
class Radau:
    error_order: int = 3

    def memory(self, problem: Problem, y: jax.Array) -> list:
        """The polynomial of the step before and its length; its error, 0 before there was one."""
        zero = jnp.zeros((), y.dtype)
        return [jnp.zeros((3, y.size), y.dtype), zero, zero]

    def attempt(
        self, problem: Problem, t: jax.Array, y: jax.Array, slope: jax.Array, h: jax.Array, rejected: Any, memory: list
    ) -> Attempt:
        def residual(z: jax.Array) -> jax.Array:
            return z - h * (jnp.asarray(_A, y.dtype) @ jax.vmap(problem.f)(t + h * _C, y + z))

        still = lax.stop_gradient
        # The stages are searched with values alone; `at_root` then gives them the derivative of the implicit
        # equations that they solve.
        searched = _search(problem, still(t), still(y), still(slope), still(h), rejected, memory)
        z = at_root(residual, searched["z"])
        new = y + z[2]
        polynomial = jnp.asarray(_P, y.dtype).T @ z

        def dense(x: jax.Array) -> jax.Array:
            return y + powers(x, 3) @ polynomial

        accepted = searched["accepted"]
        kept = [polynomial, h, searched["error"]]
        return Attempt(
            new,
            problem.f(t + h, new),
            accepted,
            searched["factor"],
            dense,
            [jnp.where(accepted, new_, old) for new_, old in zip(map(still, kept), memory, strict=True)],
        )


def _search(
    problem: Problem, t: jax.Array, y: jax.Array, slope: jax.Array, h: jax.Array, rejected: Any, memory: list
) -> dict:
    """The stages, the error, and what becomes of the step. Nothing of it is differentiated."""
    n, dtype = y.size, y.dtype
    jacobian = jax.jacfwd(lambda v: problem.still(t, v))(y)
    A, C = jnp.asarray(_A, dtype), jnp.asarray(_C, dtype)
    # One factorisation for all of Newton's steps (simplified Newton), of the 3n equations together. SciPy splits them
    # by complex eigenvalues, which is faster for large n and gives the same.
    factors = jax.scipy.linalg.lu_factor(jnp.eye(3 * n, dtype=dtype) - h * jnp.kron(A, jacobian))
    scale = problem.scale(y)
    tol = jnp.maximum(10 * jnp.finfo(dtype).eps / problem.rtol, jnp.minimum(0.03, problem.rtol**0.5))
    polynomial, before, old_error = memory
    x = 1 + C * h / jnp.where(before == 0, 1, before)
    # The polynomial of the step before, continued: 0 where there was none.
    guess = (powers(x, 3) - 1) @ polynomial

    def newton(s: tuple) -> tuple:
        z, k, size_before, _, _ = s
        left = z - h * (A @ jax.vmap(problem.still)(t + h * C, y + z))
        move = jax.scipy.linalg.lu_solve(factors, -left.reshape(-1)).reshape(3, n)
        size = rms(move / scale)
        rate = jnp.where(k == 0, 0, size / jnp.where(size_before == 0, 1, size_before))
        # Hairer's test: at this rate the steps that are left would not reach the tolerance.
        slow = (rate >= 1) | (rate ** (_ROUNDS - k).astype(dtype) / jnp.where(rate >= 1, 1, 1 - rate) * size > tol)
        failed = ~jnp.isfinite(size) | ((k > 0) & slow)
        done = (size == 0) | ((k > 0) & (rate / jnp.where(rate >= 1, 1, 1 - rate) * size < tol))
        return jnp.where(failed, z, z + move), k + 1, size, done & ~failed, failed

    no = jnp.asarray(False)
    start = guess, jnp.zeros((), jnp.int32), jnp.zeros((), dtype), no, no
    z, rounds, _, done, _ = lax.while_loop(lambda s: (s[1] < _ROUNDS) & ~s[3] & ~s[4], newton, start)
    whole = problem.scale(y, y + z[2])
    matrix = jax.scipy.linalg.lu_factor(_MU / h * jnp.eye(n, dtype=dtype) - jacobian)
    scaled = jnp.asarray(_E, dtype) @ z / h
    estimate = jax.scipy.linalg.lu_solve(matrix, slope + scaled)
    error = rms(estimate / whole)
    # After a rejected step the estimate is filtered once more, because it is far too large for very stiff components.
    again = jax.scipy.linalg.lu_solve(matrix, problem.still(t, y + estimate) + scaled)
    error = jnp.where(rejected & (error > 1), rms(again / whole), error)
    error = jnp.where(done & jnp.isfinite(error), error, jnp.inf)
    accepted = error <= 1
    return {
        "z": z,
        "error": error,
        "accepted": accepted,
        "factor": _factor(h, before, error, old_error, rounds, done, rejected),
    }


def _factor(
    h: jax.Array, before: jax.Array, error: jax.Array, old: jax.Array, rounds: jax.Array, done: Any, rejected: Any
) -> jax.Array:
    """By which the length of the step changes: Gustafsson's predictor (1994)."""
    safety = 0.9 * (2 * _ROUNDS + 1) / (2 * _ROUNDS + rounds)
    safe = jnp.where((error == 0) | ~jnp.isfinite(error), 1, error)
    # Gustafsson: the step length follows the trend of the error from step to step, not its last value alone.
    trend = jnp.where(
        (old == 0) | (before == 0), 1, jnp.abs(h / jnp.where(before == 0, 1, before)) * (old / safe) ** 0.25
    )
    factor = safety * jnp.minimum(1, trend) * safe**-0.25
    factor = jnp.where(error == 0, 10.0, jnp.where(error <= 1, jnp.minimum(10.0, factor), jnp.maximum(0.2, factor)))
    factor = jnp.where((error <= 1) & rejected, jnp.minimum(1.0, factor), factor)
    # Newton failed: half the step, as SciPy does.
    return jnp.where(done & jnp.isfinite(error), factor, 0.5).astype(h.dtype)
