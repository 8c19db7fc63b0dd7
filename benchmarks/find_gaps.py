"""Seconds of `find_gaps` by the number of equations: is it linear?

Two programs of the same length: one whose gradient is dead by structure, and one where structure leaves a doubt, so that the
gradient is computed as well. Tracing the program, which JAX does for every use of it, is shown by itself and is part of both.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp

import spanax as sx

SIZES = (1_000, 3_000, 10_000, 30_000)
REPEATS = 3


def program(equations: int, *, dead: bool) -> Callable:
    """Straight-line code, five equations a turn."""

    def f(x):
        for i in range(equations // 5):
            x = jnp.sin(x) * 1.01 + jnp.where(x > i, x, 0.0)
        return jnp.sum(jnp.where(x > 0, 1.0, 2.0)) if dead else jnp.sum(jnp.where(x > 0, x, 0.0))

    return f


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def main() -> None:
    print(f"jax {jax.__version__}; seconds, median of {REPEATS}")
    print(f"{'equations':>10} {'trace':>8} {'dead':>8} {'doubtful':>9}")
    x = jnp.arange(3.0)
    sx.find_gaps(program(100, dead=False), x)  # what is imported late
    for size in SIZES:
        found: dict[str, list[float]] = {"trace": [], "dead": [], "doubtful": []}
        for _ in range(REPEATS):
            dead, doubtful = program(size, dead=True), program(size, dead=False)
            found["trace"].append(seconds(lambda f=dead: jax.make_jaxpr(lambda x: f(x))(x)))
            found["dead"].append(seconds(lambda f=dead: sx.find_gaps(f, x)))
            found["doubtful"].append(seconds(lambda f=doubtful: sx.find_gaps(f, x)))
        trace, dead, doubtful = (statistics.median(times) for times in found.values())
        print(f"{size:>10,} {trace:>8.2f} {dead:>8.2f} {doubtful:>9.2f}")


if __name__ == "__main__":
    main()
