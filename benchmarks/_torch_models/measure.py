"""Seconds and bytes of `find_gaps` beside those of a forward pass and of a training step."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import torch  # pyright: ignore[reportMissingImports]

import spanax.torch as st

from .case import Builder, Case, built


class Costs(NamedTuple):
    """`overhead`: seconds by those of a forward pass, of the same round; `memory`: the peak by that of a training step."""

    seconds: float
    forward: float
    overhead: float
    memory: float


def report_of(case: Case) -> Any:
    return st.find_gaps(case.model, *case.args, loss=case.loss, kwargs=case.keywords)


def costs(builder: Builder, rounds: int) -> Costs:
    case = built(builder)
    case.training_loss()  # what is imported late
    pairs = [(seconds(lambda: report_of(case)), seconds(case.training_loss)) for _ in range(rounds)]
    finding, forward = (statistics.median(column) for column in zip(*pairs, strict=True))
    return Costs(finding, forward, statistics.median(f / g for f, g in pairs), _memory(builder))


def seconds(run: Callable[[], Any]) -> float:
    """Of one core's time, which other programs on the machine do not lengthen much."""
    start = time.process_time()
    run()
    return time.process_time() - start


def _memory(builder: Builder) -> float:
    case = built(builder)
    case.training_loss()  # caches that live on
    weights = sum(p.numel() * p.element_size() for p in case.model.parameters())
    finding = _peak(lambda: report_of(case))
    step = _peak(lambda: case.training_loss().backward())
    return (weights + finding) / (weights + step)


def _peak(run: Callable[[], Any]) -> int:
    """Bytes in tensors at the highest moment, beyond those at the start, from the allocator's own events."""
    gc.collect()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        run()
    results: Any = profile.profiler
    events = sorted(
        (event.start_ns(), event.nbytes()) for event in results.kineto_results.events() if event.name() == "[memory]"
    )
    held = highest = 0
    for _, change in events:
        held += change
        highest = max(highest, held)
    return highest
