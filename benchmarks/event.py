"""Events: a bouncing ball over 20 impacts against its closed form, and the seconds until the gradient of 64 throws is compiled.

The trebuchet's projectile is lifted, released and lands: three events in a row. Each repeat clears JAX's caches.
"""

from __future__ import annotations

import itertools
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import _timing
from spanax import control

IMPACTS, THROWS = 20, 64
SECONDS = 4.0  # to trace, lower and compile
STAGES = ("trace", "lower", "compile", "total")


def impacts(height, restitution, gravity):
    """The times of a ball's impacts."""

    def flow(state, t):
        return state[0] + state[1] * t - gravity * t * t / 2, state[1] - gravity * t

    def one(state, _):
        reset = lambda state: (state[0], -restitution * state[1])  # noqa: E731
        there = control.event(flow, lambda state: state[0], state, within=3.0, reset=reset)
        return there.state, there.time

    return jnp.cumsum(jax.lax.scan(one, (height, jnp.zeros_like(height)), length=IMPACTS)[1])


def exact(height, restitution, gravity):
    speeds = jnp.sqrt(2 * gravity * height) * restitution ** jnp.arange(IMPACTS)
    return jnp.cumsum(jnp.concatenate([speeds[:1], 2 * speeds[1:]]) / gravity)


def ball_error() -> float:
    """The largest relative error of the times and of their derivatives, in float64."""
    with jax.enable_x64(True):
        at, worst = (10.0, 0.8, 9.81), 0.0
        for derivative in (lambda f: f, lambda f: jax.jacrev(f, (0, 1, 2)), lambda f: jax.jacfwd(f, (0, 1, 2))):
            got, want = (jax.tree.leaves(jax.jit(derivative(f))(*at)) for f in (impacts, exact))
            errors = [np.max(np.abs(a - b)) / np.max(np.abs(b)) for a, b in zip(got, want, strict=True)]
            worst = max(worst, *map(float, errors))
    return worst


def compile_stages() -> dict[str, float]:
    """Seconds of each stage, from cold."""
    jax.clear_caches()
    keys = jax.random.split(jax.random.key(0), 3)
    at = [jax.random.uniform(key, (THROWS,), minval=low, maxval=high) for key, low, high in zip(
        keys, (-10.0, 20.0, 60.0), (10.0, 70.0, 500.0), strict=True)]  # fmt: skip
    jax.block_until_ready(at)
    marks = [time.perf_counter()]
    traced = jax.jit(jax.vmap(jax.grad(control.shoot, (0, 1, 2)))).trace(*at)
    marks.append(time.perf_counter())
    lowered = traced.lower()
    marks.append(time.perf_counter())
    lowered.compile()
    marks.append(time.perf_counter())
    seconds = [b - a for a, b in itertools.pairwise(marks)]
    return dict(zip(STAGES, [*seconds, sum(seconds)], strict=True))


def main() -> None:
    args = _timing.parser(__doc__, repeats=3).parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "jaxlib", "spanax")
    _timing.verdict(f"relative error of {IMPACTS} impacts and their derivatives", ball_error(), 1e-6)
    found = [compile_stages() for _ in range(args.repeats)]
    rows = [[stage, f"{statistics.median(f[stage] for f in found):.2f}"] for stage in STAGES]
    _timing.table([f"seconds for the gradient of {THROWS} throws", "median"], rows)
    _timing.verdict("seconds to the first gradient, median", statistics.median(f["total"] for f in found), SECONDS)


if __name__ == "__main__":
    main()
