"""The reference problems: what an optimiser starts from, what it must reach, and f with noise in each evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from tests.bridges import submanifold


class Instance(NamedTuple):
    """One problem of one seed. Its data are in `parameters`, so that instances can be mapped over."""

    start: jax.Array
    parameters: jax.Array
    noise: jax.Array


class Problem(NamedTuple):
    """f, its size, how an instance is made from a key, the value to reach, and after how many evaluations to give up."""

    f: Callable[[jax.Array, jax.Array], jax.Array]
    size: int
    make: Callable[[jax.Array], tuple[jax.Array, jax.Array]]
    target: float
    budget: int

    def instance(self, key: jax.Array, noise: jax.Array) -> Instance:
        return Instance(*self.make(key), noise)

    def reached(self, instance: Instance, x: jax.Array) -> jax.Array:
        return self.f(x, instance.parameters) <= self.target

    def measured(self, instance: Instance, X: jax.Array, key: jax.Array) -> jax.Array:
        """The values that an optimiser sees at the rows of X."""
        values = jax.vmap(self.f, in_axes=(0, None))(X, instance.parameters)
        return values + instance.noise * jax.random.normal(key, values.shape)


def _camel(x, _):
    return 2 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6 + x[0] * x[1] + x[1] ** 2


def _rosenbrock(x, _):
    return jnp.sum((x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def _submanifold(x, Q):
    return submanifold.Problem(Q, jnp.zeros(())).exact(x)


def _from(*start: float):
    return lambda key: (jnp.array(start), jnp.zeros(()))


def _in_subspace(key):
    problem = submanifold.problem(key, jnp.zeros(()))
    return problem.x, problem.Q


# Both minima are 0, so 1% of the start's distance in value is 1% of its value: 28/15 at (2, 0), 45 where all numbers are 2.
PROBLEMS = {
    "three-hump camel": Problem(_camel, 2, _from(2.0, 0.0), 0.01 * 28 / 15, 400),
    "Rosenbrock, 10 numbers": Problem(_rosenbrock, 10, _from(*[2.0] * 10), 0.45, 1200),
    "submanifold, 100 numbers": Problem(_submanifold, submanifold.SIZE, _in_subspace, 0.5, 2000),
}
