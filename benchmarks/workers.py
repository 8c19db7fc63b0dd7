"""Two workers on many short tasks: ours under `supervise`, beside bare executors that nothing supervises."""

from __future__ import annotations

import functools
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context

from benchmarks import _timing
from spanax.blackbox.workers._supervisor import Done, supervise
from spanax.blackbox.workers.processes import processes
from spanax.blackbox.workers.ray import ray_executor
from spanax.blackbox.workers.run import Run

WORKERS, TASKS, NAP, EMPTY = 2, 1_000, 0.01, 5_000
IDEAL = TASKS * NAP / WORKERS

Tasks = Callable[[Callable[[float], object], int], None]  # runs so many of them, and waits


def bare(executor: Executor) -> Tasks:
    """All tasks are submitted at once, and nothing is checked."""

    def run(fn, count):
        for end in [executor.submit(fn, NAP) for _ in range(count)]:
            end.result()

    return run


def supervised(executor: Executor) -> Tasks:
    def run(fn, count):
        done = sum(type(end) is Done for end in supervise(Run(executor), fn, [NAP] * count, lambda _, y: y))
        assert done == count

    return run


def started() -> dict[str, Tasks]:
    """Every executor that is installed, its workers warm."""
    spawning = functools.partial(ProcessPoolExecutor, WORKERS, mp_context=get_context("spawn"))
    ours = processes(WORKERS)
    found = {"sx.processes, supervised": supervised(ours), "sx.processes, bare": bare(ours)}
    found |= {"ProcessPoolExecutor, supervised": supervised(spawning()), "ProcessPoolExecutor, bare": bare(spawning())}
    for name, make in {"loky": _loky, "distributed": _dask, "ray": _ray}.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name}: left out, not installed")
        else:
            executor = make()
            found |= {f"{name}, supervised": supervised(executor), f"{name}, bare": bare(executor)}
    for name, tasks in found.items():
        _timing.stage(f"warming {name}")
        tasks(time.sleep, 4 * WORKERS)
    return found


def _loky() -> Executor:
    import loky  # pyright: ignore[reportMissingImports]

    return loky.get_reusable_executor(WORKERS, timeout=1000)


def _dask() -> Executor:
    from distributed import Client  # pyright: ignore[reportMissingImports]

    client = Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=None, local_directory=tempfile.mkdtemp())
    return client.get_executor(pure=False)


def _ray() -> Executor:
    import ray  # pyright: ignore[reportMissingImports]

    paths = {"env_vars": {"PYTHONPATH": os.getcwd()}}
    ray.init(num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, runtime_env=paths)
    return ray_executor()


def start_up() -> list[float]:
    """Seconds to make a pool of one worker and have a first answer from it."""
    seconds = []
    for _ in range(10):
        start = time.perf_counter()
        with processes(1) as pool:
            pool.submit(abs, -1).result()
            seconds.append(time.perf_counter() - start)
    return seconds


def main() -> None:
    args = _timing.parser(__doc__, repeats=3).parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("jax", "loky", "distributed", "ray")
    found = started()
    naps: _timing.Seconds = {name: [] for name in found}
    empties: _timing.Seconds = {name: [] for name in found}
    for r in range(args.repeats):
        _timing.stage(f"round {r + 1} of {args.repeats}")
        for name, tasks in found.items():
            for seconds, fn, count in ((naps, time.sleep, TASKS), (empties, abs, EMPTY)):
                start = time.perf_counter()
                tasks(fn, count)
                seconds[name].append((time.perf_counter() - start) / count)

    head = [
        f"{WORKERS} workers",
        f"{TASKS} x {1e3 * NAP:g} ms: s  min..max",
        "of ideal",
        f"{EMPTY} empty: us a task  min..max",
    ]
    rows = [
        [name, _timing.spread(naps[name], 1 / TASKS), f"{share(naps[name]):.0%}", _timing.spread(empties[name], 1e-6)]
        for name in found
    ]
    _timing.table(head, rows)
    print(
        f"\nideal: {IDEAL:g} s. Supervised: each result is checked, what fails is tried again, a bounded number is under way."
    )
    print(f"start of a worker, to its first answer: {_timing.spread(start_up(), 1e-3)} ms\n")
    ours = "sx.processes, supervised"
    _timing.verdict("share of ideal", share(naps[ours]), 0.92, at_least=True)
    _timing.verdict("us a task, empty tasks", 1e6 * statistics.median(empties[ours]), 150)


def share(seconds: list[float]) -> float:
    """Of the ideal throughput; `seconds` a task."""
    return NAP / WORKERS / statistics.median(seconds)


if __name__ == "__main__":
    main()
