"""The map is not the territory: return on a real pendulum after one noisy episode, against a policy trained on the truth.

The real pendulum has another mass and length, friction, and a drag that the simulator does not have. From one episode of the
coarse simulator's policy, seen with noise, `control.identify` finds three parameters; a policy is trained in what it returns.
"""

from __future__ import annotations

import time
import warnings
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import spanax as sx
from benchmarks import _timing
from spanax import control
from spanax.gallery._refine import pendulum
from spanax.gallery.pendulum import STARTS

SEEDS, UPDATES = 5, 300
BEHIND, OFF = 2.0, 2.0  # return behind the policy that was trained on the truth; per cent that m and l are off


class Run(NamedTuple):
    coarse: float
    identified: float
    truth: float
    m: float  # per cent off
    l: float  # noqa: E741
    seconds: float  # of identify, with compiling


def run(seed: int) -> Run:
    coarse = pendulum.train(pendulum.COARSE, seed, UPDATES).policy
    data = pendulum.observe(coarse, np.array([[np.pi, 0.0]]), jax.random.key(seed))
    start = time.perf_counter()
    with warnings.catch_warnings():
        # It is known that the model has no drag.
        warnings.simplefilter("ignore", sx.SpanaxWarning)
        found = control.identify(
            pendulum.COARSE, data, parameters=pendulum.PARAMETERS, key=jax.random.key(seed), residual=None
        )
    seconds = time.perf_counter() - start
    policies = (
        coarse,
        pendulum.train(found.env, seed, UPDATES).policy,
        pendulum.train(pendulum.REAL, seed, UPDATES).policy,
    )
    m, l = (100 * abs(found.parameters[name] / getattr(pendulum.REAL, name) - 1) for name in ("m", "l"))  # noqa: E741
    before, after, truth = map(_mean_return, policies)
    return Run(before, after, truth, m, l, seconds)


def _mean_return(policy) -> float:
    return float(np.mean(control.evaluate(pendulum.REAL, policy, jnp.asarray(STARTS, float))))


def main():
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=SEEDS, help="(default: %(default)s)")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "equinox", "optax")
    runs = []
    for seed in range(args.seeds):
        runs.append(run(seed))
        _timing.stage(f"seed {seed}: {runs[-1]}")
    rows = [
        [str(seed), *(f"{x:.1f}" for x in one[:3]), f"{one.m:.2f}", f"{one.l:.2f}", f"{one.seconds:.1f}"]
        for seed, one in enumerate(runs)
    ]
    _timing.table(["seed", "coarse", "1 episode", "truth", "m off, %", "l off, %", "s to identify"], rows)
    behind = [one.truth - one.identified for one in runs]
    _timing.verdict("behind the truth, median", float(np.median(behind)), BEHIND)
    _timing.verdict("behind the truth, worst", max(behind), BEHIND)
    _timing.verdict("m and l off, worst, %", max(max(one.m, one.l) for one in runs), OFF)


if __name__ == "__main__":
    main()
