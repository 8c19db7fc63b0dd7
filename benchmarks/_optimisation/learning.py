"""`Surrogate` as an optimiser. It learns on the host between the steps, so each seed runs by itself."""

from __future__ import annotations

import functools
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks._optimisation.ours import OPTIMISERS, Setting
from benchmarks._optimisation.problems import Problem

# The settings at which smoothing is fast; all of the larger grid would take a day.
GRID = [
    Setting(optimiser, rate, width, pairs)
    for pairs in (5, 1, 2, 10, 20)
    for optimiser, rates in (("SGD", (0.012, 0.025, 0.006)), ("Adam(.5, .9)", (0.2, 0.1, 0.4)))
    for rate in rates
    for width in (0.3, 0.1)
]


@functools.cache
def _step(problem: Problem, trust: Literal["control-variate", "direct"], optimiser: str, pairs: int):
    """Compiled once for all rates, widths and seeds."""

    @jax.jit
    def step(instance, x, memory, learnt, rate, width, key):
        bridge = sx.Surrogate(width, pairs, trust=trust).holding(learnt)
        optimizer = OPTIMISERS[optimiser][0](rate, problem.budget // (2 * pairs))
        for_points, for_values = jax.random.split(key)
        X = bridge.points(x, for_points)
        Y = problem.measured(instance, X, for_values)
        updates, memory = optimizer.update(bridge.combine(x, X, Y), memory)
        return x + updates, memory, bridge.evidence(x, X, Y), problem.reached(instance, x + updates)

    return step


def evaluations(
    problem: Problem,
    trust: Literal["control-variate", "direct"],
    setting: Setting,
    noise: float,
    seed: jax.Array,
    budget: float,
) -> float:
    """Until the target, infinite beyond the budget."""
    assert setting.pairs is not None
    step, each = _step(problem, trust, setting.optimiser, setting.pairs), 2 * setting.pairs
    for_instance, for_steps = jax.random.split(seed)
    instance, bridge = problem.instance(for_instance, jnp.asarray(noise)), sx.Surrogate(1.0, setting.pairs, trust=trust)
    x = instance.start
    memory = OPTIMISERS[setting.optimiser][0](setting.rate, 1).init(x)
    learnt = bridge.untrained(x, jnp.zeros((), x.dtype))
    for k in range(int(min(problem.budget, budget)) // each):
        key = jax.random.fold_in(for_steps, k)
        x, memory, evidence, reached = step(instance, x, memory, learnt, setting.rate, setting.width, key)
        if reached:
            return float(each * (k + 1))
        learnt = bridge.learned(learnt, [jax.tree.map(np.asarray, evidence)])
    return np.inf


def fewest(
    problem: Problem, trust: Literal["control-variate", "direct"], noise: float, seeds: int
) -> tuple[float, Setting | None]:
    """The least median over the settings, and its setting. A setting may take as many evaluations as the best before it."""
    best, setting = np.inf, None
    for tried in GRID:
        counts: list[float] = []
        # The median of an even number of seeds is a mean of two: the later of them may lie over the best.
        while len(counts) < seeds and np.sum(np.isinf(counts)) <= seeds // 2:
            key = jax.random.split(jax.random.key(1), seeds)[len(counts)]
            counts.append(evaluations(problem, trust, tried, noise, key, 1.5 * best))
        if len(counts) == seeds and (median := float(np.median(counts))) < best:
            best, setting = median, tried
    return best, setting
