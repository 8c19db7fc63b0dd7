"""`Run`: where the evaluations of a black box run, how long each may take, and what becomes of those that fail."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Literal

from ..._checks import is_number, is_whole
from ..._errors import SpanaxError
from . import _executors
from ._executors import Maker


@dataclasses.dataclass(frozen=True)
class Run:
    """How the evaluations of a black box are run.

    - `executor`: None runs them in this process, one after the other; `sx.processes(n)` in worker processes; any
      `concurrent.futures.Executor` wherever that runs them (dask's `client.get_executor()`, loky, `mpi4py.futures`,
      `sx.ray_executor()`). A function without arguments that makes an executor, such as
      `lambda: ProcessPoolExecutor(4)`, is called once, and again whenever the executor is broken: a standard process pool
      breaks with any of its workers.
    - `timeout`: seconds for one evaluation; what takes longer is killed. Loading the function is not counted.
      Nothing in this process can be killed, so it needs processes, or a function that keeps its time itself: one with a
      method `within(timeout)`, as that of `sx.command`. On executors that cannot kill one task, evaluations then run in
      child processes of the workers.
    - `retries`: more attempts for an evaluation that failed: it raised, its process died, it took too long, its result is
      NaN or has the wrong shape. 0 for evaluations that always fail in the same way. What
      cannot go away has one attempt: a program that is not there, arguments that the function does not take, a name that is not
      defined, a wrong structure, shape or dtype where no result has fitted yet.
    - `on_failure`: what becomes of a point whose attempts are used up. "raise" ends the call with an error that names the
      input; "drop" leaves it out of the estimate, which is reweighted. That is right if failing has nothing to do with where
      the point is, and it is tested: points of `Smoothing`, `SPSA` or an own bridge that fail on one side of x, or far from it,
      raise if what is left is more than 10% off for a linear function or for its centre, and otherwise warn once
      (`SpanaxWarning`). Failures that are random do so in fewer than 1 of 10,000 calls. A few failures tell nothing by
      themselves, but those of all calls of a black box are added up. `FiniteDifference` takes the other side.
    - `max_failed`: the share of the points, in [0, 1], that may be dropped before that is an error as well.

    Raises `SpanaxError` where an argument is none of these.

    >>> import spanax as sx
    >>> sx.Run(sx.processes(2), timeout=60, on_failure="drop")
    Run(executor=processes(2), timeout=60, retries=2, on_failure='drop', max_failed=0.5)
    """

    executor: Executor | Maker | None
    timeout: float | None
    retries: int
    on_failure: Literal["raise", "drop"]
    max_failed: float

    # Written out, so that an error names the user's line and not one that dataclasses made up.
    def __init__(
        self,
        executor: Executor | Callable[[], Executor] | None = None,
        timeout: float | None = None,
        retries: int = 2,
        on_failure: Literal["raise", "drop"] = "raise",
        max_failed: float = 0.5,
    ):
        _check(timeout, retries, on_failure, max_failed)
        values = (_executor_or_maker(executor), timeout, retries, on_failure, max_failed)
        for field, value in zip(dataclasses.fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)


def _check(timeout: Any, retries: Any, on_failure: Any, max_failed: Any) -> None:
    if timeout is not None and not (is_number(timeout) and 0 < timeout <= 1e6):
        raise _invalid("timeout", timeout, "seconds for one evaluation, above 0, up to 1e6", "None: no limit")
    if not is_whole(retries, 0):
        raise _invalid("retries", retries, "a whole number of attempts after the first, 0 or more")
    if on_failure not in ("raise", "drop"):
        raise _invalid("on_failure", on_failure, '"raise"', '"drop"')
    if not (is_number(max_failed) and 0 <= max_failed <= 1):
        raise _invalid("max_failed", max_failed, "the share of points that may be dropped, from 0 to 1")


def _executor_or_maker(executor: Any) -> Executor | Maker | None:
    if isinstance(executor, Executor | Maker | None):
        return executor
    # A client of dask is callable, and would be taken for a function that makes an executor.
    if hasattr(executor, "get_executor"):
        raise _invalid("executor", executor, "its executor: client.get_executor()")
    if not callable(executor):
        raise _invalid(
            "executor",
            executor,
            "None: in this process",
            "sx.processes(4)",
            "a concurrent.futures.Executor",
            "a function that makes one: lambda: ProcessPoolExecutor(4)",
        )
    factory: Any = executor
    return Maker(factory)


def workers(executor: Any) -> int:
    """How many evaluations a `Run.executor` runs at a time, as far as it tells; makes it, where it is to be made."""
    if executor is None:
        return 1
    return _executors.workers(executor.executor() if isinstance(executor, Maker) else executor)


def _invalid(name: str, value: Any, *remedies: str) -> SpanaxError:
    return SpanaxError(f"sx.Run({name}={value!r})", *remedies)
