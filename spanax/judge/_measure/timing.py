"""How long one gradient takes: the median over rounds that visit all candidates in turn, so that drift cancels."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import jax

ROUND_SECONDS = 0.002  # in one round a gradient is computed as often as fills this
ENOUGH_SECONDS = 0.15  # for one candidate, over all rounds
LEAST, MOST = 3, 41  # rounds


def medians(calls: Mapping[str, Callable[[int], object]]) -> dict[str, float]:
    """Seconds a call of each, until its results are there. `call(i)` starts the i-th; each was called before."""
    # The smaller of two: the first may still compile or warm a cache.
    once = {name: min(_mean_seconds(call, i, 1) for i in range(2)) for name, call in calls.items()}
    # A call of microseconds is repeated until a round is long beside the clock's resolution.
    counts = {name: max(1, round(ROUND_SECONDS / seconds)) for name, seconds in once.items()}
    round_seconds = sum(counts[name] * once[name] for name in calls)
    rounds = min(MOST, max(LEAST, int(ENOUGH_SECONDS * len(calls) / round_seconds)))
    found: dict[str, list[float]] = {name: [] for name in calls}
    names = list(calls)
    for r in range(rounds):
        # Another one is first in each round: the first call after a pause is slower.
        turn = r % len(names)
        for name in names[turn:] + names[:turn]:
            found[name].append(_mean_seconds(calls[name], r, counts[name]))
    # The median: other work on the machine makes a few rounds slow, never one fast.
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def _mean_seconds(call: Callable[[int], object], i: int, count: int) -> float:
    start = time.perf_counter()
    for k in range(count):
        jax.block_until_ready(call(i + k))
    return (time.perf_counter() - start) / count
