"""A problem in 100 dimensions that lives on 10 directions: how near do the probing bridges come to its gradient?

f(x) = sum_i (z_{i+1} - z_i^2)^2 + (1 - z_i)^2 with z = Q^T x, Q from the QR decomposition of a 100 x 10 matrix of normal
numbers. At x = Q 2, where the gradient is 43.7 long; sigma = step = .014 is what reproduces published figures under noise.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spanax.bridges.finite_difference import FiniteDifference
from spanax.bridges.smoothing import Smoothing
from spanax.bridges.spsa import SPSA

SIZE, INNER, SIGMA, FIXED = 100, 10, 0.014, 1e-3


class Problem(NamedTuple):
    """f with independent normal noise in each evaluation, its gradient without, and where it is asked for."""

    Q: jax.Array
    noise: jax.Array

    @property
    def x(self) -> jax.Array:
        return self.Q @ jnp.full(INNER, 2.0)

    def exact(self, x: jax.Array) -> jax.Array:
        z = self.Q.T @ x
        return jnp.sum((z[1:] - z[:-1] ** 2) ** 2 + (1 - z[:-1]) ** 2)

    def at(self, X: jax.Array, key: jax.Array) -> jax.Array:
        return jax.vmap(self.exact)(X) + self.noise * jax.random.normal(key, X.shape[:1])


def problem(key: jax.Array, noise: jax.Array) -> Problem:
    return Problem(jnp.linalg.qr(jax.random.normal(key, (SIZE, INNER)))[0], noise)


def once(bridge, problem: Problem, key: jax.Array, kept=None) -> jax.Array:
    for_points, for_values, for_value, for_pilot = jax.random.split(key, 4)
    x = problem.x
    y = problem.at(x[None], for_value)[0]
    if isinstance(bridge, FiniteDifference) and (P := bridge.pilot(x, None)) is not None:
        bridge = bridge.fitted(x, P, problem.at(P, for_pilot), y)
    X = bridge.points(x, for_points)
    return bridge.combine(x, X, problem.at(X, for_values), y=y, kept=kept)


def fixed(n: int) -> Callable[[Problem, jax.Array], jax.Array]:
    """Central differences of n/2 coordinates, the others 0; of all of them several times, where n is more than 200."""
    times, some = max(n // (2 * SIZE), 1), np.arange(2 * SIZE) % SIZE < n // 2

    def estimate(problem, key):
        found = [once(FiniteDifference(FIXED), problem, k, jnp.asarray(some)) for k in jax.random.split(key, times)]
        return jnp.nan_to_num(jnp.stack(found)).mean(0)

    return estimate


def by(bridge) -> Callable[[Problem, jax.Array], jax.Array]:
    return lambda problem, key: once(bridge, problem, key)


# The evaluations besides the value at x, which a gradient needs anyway: n of them.
ROWS: dict[str, Callable[[int], Callable[[Problem, jax.Array], jax.Array]]] = {
    "forward ES": lambda n: by(Smoothing(SIGMA, n, "gaussian", antithetic=False)),
    "antithetic": lambda n: by(Smoothing(SIGMA, n // 2, "gaussian")),
    "orthogonal": lambda n: by(Smoothing(SIGMA, n // 2)),
    "coordinate": lambda n: by(Smoothing(SIGMA, n // 2, "coordinate")),
    "SPSA": lambda n: by(SPSA(SIGMA, n // 2)),
    "FD, step 1e-3": fixed,
}
# With a chosen step the number of evaluations is that of the coordinates, and 24.
CHOSEN = {
    "FD forward, step chosen": (124, by(FiniteDifference(scheme="forward"))),
    "FD central, step chosen": (224, by(FiniteDifference())),
}


def cosines(estimate: Callable[[Problem, jax.Array], jax.Array], noises: tuple[float, ...], count: int) -> np.ndarray:
    """The cosines between the estimate and the gradient, (noises, problems): the same problems for each noise."""

    def one(noise, key):
        for_problem, for_estimate = jax.random.split(key)
        p = problem(for_problem, noise)
        found, slope = estimate(p, for_estimate), jax.grad(p.exact)(p.x)
        return jnp.vdot(found, slope) / (jnp.linalg.norm(found) * jnp.linalg.norm(slope))

    run = jax.jit(jax.vmap(one, in_axes=(None, 0)))
    keys = jax.random.split(jax.random.key(0), count)
    return np.stack([np.asarray(run(jnp.asarray(noise), keys), float) for noise in noises])
