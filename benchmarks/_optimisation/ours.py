"""The bridges of this library as optimisers: an estimate of the gradient from `points` and `combine`, an optax optimiser.

One program for each (problem, bridge, pairs, optimiser): seeds, noises, learning rates and widths are mapped over.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

import spanax as sx
from benchmarks._optimisation.problems import Instance, Problem

WIDTHS = (0.03, 0.1, 0.3, 0.6, 1.0)
_SGD = (0.003, 0.006, 0.012, 0.025, 0.08, 0.2)


def _decaying(rate: float, steps: int) -> optax.GradientTransformation:
    """SPSA's gains (Spall 1998, IEEE Trans. Aerosp. 34, 817): a/(k + 1 + A)^.602, A a tenth of the steps."""
    later = 0.1 * steps
    return optax.sgd(lambda k: rate * ((1 + later) / (k + 1 + later)) ** 0.602)


# (learning rate, number of steps) -> the optimiser, and the learning rates tried.
OPTIMISERS: dict[str, tuple[Callable, tuple[float, ...]]] = {
    "Adam": (lambda rate, steps: optax.adam(rate), (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)),
    "Adam(.5, .9)": (lambda rate, steps: optax.adam(rate, 0.5, 0.9), (0.02, 0.05, 0.1, 0.2, 0.4, 0.8)),
    "SGD": (lambda rate, steps: optax.sgd(rate), _SGD),
    "SGD, decaying": (_decaying, _SGD),
}
BRIDGES: dict[str, Callable] = {
    "SPSA": lambda sigma, pairs: sx.SPSA(sigma, pairs),
    "antithetic": lambda sigma, pairs: sx.Smoothing(sigma, pairs, "gaussian"),
    "orthogonal": lambda sigma, pairs: sx.Smoothing(sigma, pairs),
    "FD, central": lambda sigma, pairs: sx.FiniteDifference(sigma),
    "FD, forward": lambda sigma, pairs: sx.FiniteDifference(sigma, "forward"),
}


class Setting(NamedTuple):
    """What the best run used."""

    optimiser: str
    rate: float
    width: float
    pairs: int | None


def _estimate(bridge, problem: Problem, instance: Instance, x, key):
    for_points, for_values, for_value = jax.random.split(key, 3)
    X = bridge.points(x, for_points)
    y = problem.measured(instance, x[None], for_value)[0]
    return bridge.combine(x, X, problem.measured(instance, X, for_values), y=y)


def cost(bridge: str, pairs: int | None, problem: Problem) -> int:
    """Evaluations of one gradient."""
    return {"FD, central": 2 * problem.size, "FD, forward": problem.size + 1}.get(bridge) or 2 * pairs  # pyright: ignore


def evaluations(problem: Problem, name: str, pairs: int | None, optimiser: str, noises, seeds: int) -> np.ndarray:
    """(rate, width, noise, seed): evaluations until f at the iterate is at the target, infinite if it never is."""
    make, rates = OPTIMISERS[optimiser]
    each = cost(name, pairs, problem)

    def run(rate, width, noise, key):
        for_instance, for_steps = jax.random.split(key)
        instance, optimizer = problem.instance(for_instance, noise), make(rate, problem.budget // each)
        bridge = BRIDGES[name](width, pairs)

        def step(carry, key):
            x, state = carry
            updates, state = optimizer.update(_estimate(bridge, problem, instance, x, key), state)
            return (x + updates, state), problem.reached(instance, x + updates)

        start = (instance.start, optimizer.init(instance.start))
        reached = lax.scan(step, start, jax.random.split(for_steps, problem.budget // each))[1]
        return jnp.where(jnp.any(reached), each * (1.0 + jnp.argmax(reached)), jnp.inf)

    keys = jax.random.split(jax.random.key(1), seeds)
    for axes in ((None, None, None, 0), (None, None, 0, None), (None, 0, None, None)):
        run = jax.vmap(run, in_axes=axes)
    every = jax.jit(
        lambda: lax.map(lambda rate: run(rate, jnp.array(WIDTHS), jnp.array(noises), keys), jnp.array(rates))
    )
    return np.asarray(every(), float)
