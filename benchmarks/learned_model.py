"""Gymnasium's Pendulum-v1 as a black box: regret to the optimum after 20 real episodes, by policies trained in a learned model.

A model is fitted to the episodes so far and a policy trained through it: by backpropagation through time, and by a choice among
three heads as well. Every episode counts, the random one among them. The regret is that of the exact pendulum, which is
Gymnasium's number for number, in float64 over 100 fixed starts.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from benchmarks import _timing
from benchmarks.pendulum import regret
from spanax import control

SEEDS, EPISODES, TARGET = 5, 20, 12.0
MOTION = "backpropagation through time"
CHOICE = "and a choice"


class Run(NamedTuple):
    regret: float
    r2: float  # of the worst part of the observation, at steps held out
    seconds: float
    compiling: float


def run(seed: int, way: str) -> Run:
    env, key = control.from_gymnasium("Pendulum-v1", n=1), jax.random.key(seed)
    if way == MOTION:
        policy, via = control.MLPPolicy(env, key=key), control.BPTT(horizon=40, truncate=False)
    else:
        policy, via = control.ChoicePolicy(env, heads=3, key=key), control.Choice(motion=500, choice=1500)
    learned = control.LearnedModel(via, episodes=EPISODES, fits=400)
    result = control.train(env, policy, via=learned, key=key, progress=False)
    # The figure is by real episodes.
    assert (result.episodes, result.env_steps) == (EPISODES, 200 * EPISODES)
    worst = float(result.metrics["model_r2_worst"][-1])
    return Run(regret(result.policy), worst, result.run_seconds, result.compile_seconds)


def main():
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=SEEDS, help="(default: %(default)s)")
    options.add_argument("--headline", action="store_true", help="only the recipe that the figure is for")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "equinox", "optax", "gymnasium")
    ways, rows = [CHOICE] if args.headline else [MOTION, CHOICE], []
    for way in ways:
        runs = []
        for seed in range(args.seeds):
            runs.append(run(seed, way))
            _timing.stage(f"{way}, seed {seed}: {runs[-1]}")
        regrets = [r.regret for r in runs]
        numbers = [np.median(regrets), max(regrets), min(r.r2 for r in runs), np.median([r.seconds for r in runs])]
        rows.append([way, *(f"{x:.4g}" for x in numbers), f"{np.median([r.compiling for r in runs]):.3g}"])
    _timing.table(["trained in the model by", "regret, median", "worst", "least R^2", "s", "s compile"], rows)
    _timing.verdict(f"regret within {EPISODES} real episodes, median", float(rows[-1][1]), TARGET)


if __name__ == "__main__":
    main()
