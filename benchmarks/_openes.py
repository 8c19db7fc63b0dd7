"""Evaluations of f that an optimisation needs to reach a cost: `smooth` and evosax's OpenES, both with Adam, both tuned."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from evosax.algorithms import Open_ES  # pyright: ignore[reportMissingImports]
from jax import lax

import spanax as sx
from benchmarks import _timing
from tests.smoothing.programs import MANY, Case

PROGRAMS = [("inventory", 20), ("inventory", 100), ("queue", 20), ("queue", 100)]
EVALUATIONS, SEEDS = 6144, 7
PAIRS, RATES = (2, 4, 8, 32), (0.1, 0.2, 0.4, 0.57, 0.8, 1.13, 1.6)  # rates in units of sigma
GAPS = (0.1, 0.05, 0.02)  # of the way from the start to the best that any run reached

Optimisation = Callable[[jax.Array, jax.Array], jax.Array]  # (key, learning rate) -> x after each step


def _smooth(case: Case, pairs: int, guided: bool) -> Optimisation:
    """With the moving average of past gradients for a guide, or with the softened program's gradient."""

    def run(key, rate):
        optimiser, x = optax.adam(rate), jnp.asarray(case.x, jnp.float32)

        def step(carry, key):
            x, state, guide = carry
            g = sx.smooth(case.f, via=sx.Smoothing(case.sigma, pairs), guide=guide if guided else None)
            slope = jax.grad(g)(x, key=key)
            updates, state = optimiser.update(slope, state)
            return (x + updates, state, guide.update(slope)), x + updates

        start = (x, optimiser.init(x), sx.Guide(0.8, like=x))
        return lax.scan(step, start, jax.random.split(key, EVALUATIONS // (2 * pairs)))[1]

    return run


def _openes(case: Case, pairs: int, ranked: bool) -> Optimisation:
    """As published, with centred ranks, or with the costs as they are."""

    def run(key, rate):
        x = jnp.asarray(case.x, jnp.float32)
        shaping = {} if ranked else {"fitness_shaping_fn": lambda population, fitness, state, params: fitness}
        es = Open_ES(2 * pairs, x, optimizer=optax.adam(rate), std_schedule=lambda _: case.sigma, **shaping)
        params = es.default_params

        def step(state, key):
            ask, tell = jax.random.split(key)
            population, state = es.ask(ask, state, params)
            state, _ = es.tell(tell, population, jax.vmap(case.f)(population), state, params)
            return state, state.mean

        return lax.scan(step, es.init(key, x, params), jax.random.split(key, EVALUATIONS // (2 * pairs)))[1]

    return run


METHODS = {
    "smooth, moving average": functools.partial(_smooth, guided=True),
    "smooth, softened gradient": functools.partial(_smooth, guided=False),
    "OpenES": functools.partial(_openes, ranked=True),
    "OpenES without ranks": functools.partial(_openes, ranked=False),
}


def _costs(case: Case, optimisation: Optimisation, kept: np.ndarray) -> np.ndarray:
    """(rate, seed, checkpoint): the cost in a small neighbourhood of x, by points that are not counted."""
    noise = 0.5 * case.sigma * jax.random.normal(jax.random.key(9), (48, len(case.x)))
    rates = case.sigma * jnp.array(RATES)

    def one(rate, key):
        xs = optimisation(key, rate)[kept]
        return lax.map(lambda x: jnp.mean(jax.vmap(case.f)(x[None] + noise)), xs)

    over_seeds = jax.vmap(one, in_axes=(None, 0))
    keys = jax.random.split(jax.random.key(1), SEEDS)
    return np.asarray(jax.jit(lambda: lax.map(lambda rate: over_seeds(rate, keys), rates))(), float)


def _evaluations(costs: np.ndarray, target: float, counts: np.ndarray) -> np.ndarray:
    """(rate, seed): how many until the target is reached, infinite where it is not."""
    return np.min(np.where(costs <= target, counts[None, None], np.inf), axis=-1)


def compare() -> None:
    rows, verdicts = [], {}
    for name, d in PROGRAMS:
        case = MANY[name](d)
        runs = {}
        for method, make in METHODS.items():
            for pairs in PAIRS:
                _timing.stage(f"optimising {name}, {d} numbers: {method}, {pairs} pairs")
                steps = EVALUATIONS // (2 * pairs)
                kept = np.unique(np.geomspace(1, steps, 60).astype(int)) - 1
                runs[method, pairs] = _costs(case, make(case, pairs), kept), 2 * pairs * (kept + 1)
        best = min(np.nanmin(np.nanmedian(np.nanmin(costs, -1), -1)) for costs, _ in runs.values())
        start = float(np.nanmax([costs[0, :, 0].mean() for costs, _ in runs.values()]))
        for gap, allowed in itertools.product(GAPS, (PAIRS, PAIRS[-1:])):
            target = best + gap * (start - best)
            least = dict.fromkeys(METHODS, np.inf)
            for (method, pairs), (costs, counts) in runs.items():
                if pairs in allowed:
                    fewest = float(np.min(np.median(_evaluations(costs, target, counts), axis=1)))
                    least[method] = min(least[method], fewest)
            saved = least["OpenES"] / min(v for k, v in least.items() if k.startswith("smooth"))
            pairs = f"{allowed[0]} pairs" if len(allowed) == 1 else "best pairs"
            label = f"{name}, {d} numbers, to {100 * gap:.0f}%, {pairs}"
            rows.append([label, *(f"{v:.0f}" for v in least.values()), f"{saved:.2f}"])
            if gap == GAPS[1]:
                verdicts[label] = saved
    print("\nEvaluations of f until the cost is within a share of the way from the start to the best found, median of")
    print(
        f"{SEEDS} seeds, each method at its best learning rate (and pairs) of one grid; sigma is the program's. saved: OpenES's"
    )
    print("(as published, with centred ranks) by the fewest of smooth.\n")
    _timing.table(["optimisation", *METHODS, "saved"], rows)
    print()
    for label, saved in verdicts.items():
        _timing.verdict(f"{label}: evaluations by OpenES over those by smooth", saved, 2, at_least=True)
