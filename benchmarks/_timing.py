"""What every benchmark shares: interleaved repeats, medians, tables, versions, and moments of estimators."""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

Call = Callable[[], object]
Seconds = dict[str, list[float]]  # name -> seconds a call, one number for each round


def stage(text: str) -> None:
    """Progress, on stderr."""
    print(f"... {text}", file=sys.stderr, flush=True)


def parser(description: str | None, *, repeats: int) -> argparse.ArgumentParser:
    summary = (description or "").strip().split("\n")[0]
    options = argparse.ArgumentParser(description=summary)
    options.add_argument("--repeats", type=int, default=repeats, help="interleaved rounds (default: %(default)s)")
    options.add_argument("--cores", type=int, help="use only this many CPU cores (Linux)")
    return options


def limit_cores(cores: int | None) -> None:
    """Keeps this process on the first `cores` of its CPU cores; to be called before any JAX or torch operation."""
    if cores is not None:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])


def interleaved(calls: Mapping[str, Call], *, repeats: int, round_seconds: float = 0.02) -> Seconds:
    """Seconds a call of each, in `repeats` rounds that visit all of them in turn.

    A call must return only when its work is done. In one round each is called as often as fills about `round_seconds`.
    """
    counts = {name: max(1, round(round_seconds / _once(call))) for name, call in calls.items()}
    seconds: Seconds = {name: [] for name in calls}
    for r in range(repeats):
        if r % 10 == 0:
            stage(f"timing {len(calls)} programs, round {r + 1} of {repeats}")
        for name in _rotated(list(calls), r):
            seconds[name].append(_mean_seconds(calls[name], counts[name]))
    return seconds


def _once(call: Call) -> float:
    call()  # compiles, allocates, fills caches
    return min(_mean_seconds(call, 1) for _ in range(3))


def _mean_seconds(call: Call, count: int) -> float:
    start = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - start) / count


def _rotated(names: list[str], by: int) -> list[str]:
    by %= len(names)
    return names[by:] + names[:by]


def ratio(seconds: Seconds, name: str, reference: str) -> float:
    """The median over rounds of one time by another of the same round, so that a noisy machine cancels."""
    return statistics.median(a / b for a, b in zip(seconds[name], seconds[reference], strict=True))


def fastest(seconds: Seconds, names: Iterable[str]) -> str:
    return min(names, key=lambda name: statistics.median(seconds[name]))


def spread(seconds: Sequence[float], unit: float) -> str:
    """ "median  min..max", in units of `unit` seconds."""
    return f"{statistics.median(seconds) / unit:.3g}  {min(seconds) / unit:.3g}..{max(seconds) / unit:.3g}"


def times_head(unit: str) -> list[str]:
    return [f"{unit}  min..max", "ratio", "minima"]


def times(seconds: Seconds, name: str, reference: str, unit: float) -> list[str]:
    """Cells under `times_head`: median, minimum and maximum; `ratio` to the reference; ratio of the minima.

    On a busy machine the ratio of the minima is the steadier of the two.
    """
    minima = min(seconds[name]) / min(seconds[reference])
    return [spread(seconds[name], unit), f"{ratio(seconds, name, reference):.2f}", f"{minima:.2f}"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints columns: the first flush left, the others flush right."""
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]
    for row in [head, ["-" * w for w in widths], *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True)]
        print("  ".join(cells))


def verdict(what: str, value: float, target: float, *, at_least: bool = False) -> None:
    met = value >= target if at_least else value <= target
    print(f"{what}: {value:.3g}, target {'>=' if at_least else '<='} {target:g}: {'met' if met else 'MISSED'}")


def versions(*packages: str) -> None:
    found = [f"python {platform.python_version()}", f"{len(os.sched_getaffinity(0))} cores of {os.cpu_count()}"]
    for name in packages:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{name} (not installed as a package)")
    line = ""
    for item in found:
        if len(line) + len(item) > 76:
            print(line)
            line = ""
        line += f"{', ' if line else ''}{item}"
    print(f"{line}\n")


# -- moments of an estimator, from one gradient for each of n keys: arrays of shape (n, coordinates) ----------------


def trace_of_covariance(gradients: np.ndarray) -> float:
    return float(np.sum(np.var(gradients, axis=0, ddof=1)))


def assert_agree(name: str, gradients: np.ndarray, reference: np.ndarray) -> float:
    """Raises if two estimators differ in mean. Returns |difference of means|^2 over its expectation if they agree.

    That ratio has mean 1 and standard deviation sqrt(2 tr C^2)/tr C, for the covariance C of the difference: 6 of
    those are allowed. Each coordinate must agree within 6 standard errors (25,000 of them: one false alarm in 20,000).
    """
    difference = np.mean(gradients, 0) - np.mean(reference, 0)
    variance = np.var(gradients, 0, ddof=1) / len(gradients) + np.var(reference, 0, ddof=1) / len(reference)
    far = float(np.sum(difference**2) / np.sum(variance))
    allowed = 1 + 6 * max(_spread_of_square(gradients), _spread_of_square(reference))
    varies = variance > 1e-12 * np.max(variance)
    worst = float(np.max(np.abs(difference[varies]) / np.sqrt(variance[varies])))
    if far > allowed or worst > 6:
        raise AssertionError(
            f"{name}: the mean gradient differs: squared distance {far:.2f} times its expectation "
            f"(at most {allowed:.2f}), worst coordinate {worst:.1f} standard errors (at most 6)"
        )
    return far


def _spread_of_square(gradients: np.ndarray) -> float:
    """sqrt(2 tr C^2)/tr C, from the Gram matrix of the centred gradients (which overstates it a little)."""
    centred = gradients - np.mean(gradients, 0)
    gram = centred @ centred.T
    return math.sqrt(2.0) * float(np.linalg.norm(gram) / np.trace(gram))
