"""`processes`: worker processes that can be killed one by one, by us or by others, without harm to the rest."""

from __future__ import annotations

import os
import pickle
import weakref
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from ..._checks import check_whole
from ..._errors import SpanaxError
from ..._jaxprs import here
from .._reason import Reason
from . import _child
from ._dispatcher import Dispatcher, Task
from ._worker import Outcome, Program, arguments, as_call, is_worker, program


class Processes(Executor):
    """The pool that `processes` makes."""

    def __init__(self, n: int):
        self.n = n
        self._process = os.getpid()
        self._dispatcher = Dispatcher(n)
        # Called at the end of the program as well, and then before anything else is torn down.
        self._finalizer = weakref.finalize(self, _abandon, self._dispatcher, self._process)

    def __repr__(self) -> str:
        return f"processes({self.n})"

    def __reduce__(self):
        raise SpanaxError(
            "a pool of processes cannot be sent to another process",
            "it belongs to the process that made it: functions that workers run get along without it",
        )

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future:
        """As of any `concurrent.futures.Executor`; an exception of fn's that cannot be pickled comes as a `SpanaxError`.

        Raises `SpanaxError` where fn or an argument cannot be pickled, in a worker of a pool, and after a fork.
        """
        where = here()
        return self._submit(program(fn, where), arguments(args, kwargs, where), None, _set_result, where)

    def attempt(self, program: Program, x: Any, timeout: float | None, where: str) -> Future:
        """A future of an `Outcome`: fn(x) in at most `timeout` seconds, loading the function not counted.

        Its exception is `LostError` where the worker died or ran out of time, another `SpanaxError` where no worker can load fn.
        """
        return self._submit(program, arguments(*as_call(x), where), timeout, _set_outcome, where)

    def kill(self, future: Future) -> None:
        """Ends the worker that runs this future's task; cancels a task that waits. Another worker takes its place."""
        self._dispatcher.kill(future)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the workers when all tasks are done; `cancel_futures` cancels those that wait."""
        if os.getpid() == self._process:
            self._dispatcher.stop(wait=wait, cancel=cancel_futures)

    def _submit(
        self, program: Program, arguments: bytes, timeout: float | None, finish: Callable, where: str
    ) -> Future:
        # A script without a `__main__` guard would start workers in its workers, and those in theirs.
        if is_worker():
            raise SpanaxError(
                "a pool of processes is used inside a worker of such a pool",
                'a script keeps what it runs under `if __name__ == "__main__":`, for a worker imports the script',
                "sx.Run(executor=None) in functions that workers run",
                where=where,
            )
        if os.getpid() != self._process:
            raise SpanaxError(
                "a pool of processes is used after a fork, in a process that did not make it",
                "a pool of its own in each process",
                'multiprocessing.get_context("spawn") instead of a fork',
                where=where,
            )
        # The task holds the pool: `processes(4).submit(...)` works without a variable for the pool.
        future: Future = Future()
        if not self._dispatcher.submit(Task(program, arguments, timeout, future, finish, where, self)):
            raise SpanaxError("the pool of processes was shut down", "sx.processes() makes a new one", where=where)
        return future


def processes(n: int | None = None) -> Processes:
    """`n` worker processes as a `concurrent.futures.Executor`.

    A worker that dies, by `kill -9`, for want of memory or in a segmentation fault, takes only its own task with it, and is
    replaced: each has a pipe of its own, and there is no queue or lock that it could leave in disorder. Under `sx.Run`, a task
    that outlives its timeout is killed with what it started: interrupted by SIGTERM, so that it may clean up, and ended by
    SIGKILL a second later. Workers start when they are first needed, ignore Ctrl-C, print to this process's output, and end
    with the pool or with this process, also when that is killed.

    Functions, arguments and results are pickled, so a function is one at the top level of a module. A worker imports the
    main script only if the function or an argument comes from there; such a script keeps what it runs under
    `if __name__ == "__main__":`. What has not finished when the program ends is killed.

    **Arguments:**

    - `n`: how many workers; None: one for each CPU core that this process may use.

    **Returns:**

    The pool, a `concurrent.futures.Executor`; see also `Processes.submit`. Needs POSIX (Linux, macOS).

    **Raises:**

    - `SpanaxError` where n is not a positive whole number, and on a system without POSIX processes.

    >>> import math, spanax as sx
    >>> with sx.processes(2) as pool:
    ...     list(pool.map(math.sqrt, [4.0, 9.0]))
    [2.0, 3.0]
    """
    if os.name != "posix":
        raise SpanaxError(
            "sx.processes needs POSIX (Linux, macOS)", "lambda: concurrent.futures.ProcessPoolExecutor(4)"
        )
    if n is None:
        n = cores()
    check_whole("sx.processes(n", n, 1, "a whole number of workers, 1 or more", "None: one for each core")
    return Processes(n)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _abandon(dispatcher: Dispatcher, process: int) -> None:
    # In a fork the dispatcher's thread does not exist: joining it would never return.
    if os.getpid() == process:
        dispatcher.stop(wait=True, abandon=True)


def _set_outcome(future: Future, answer: tuple) -> None:
    kind, seconds, payload = answer[:3]
    if kind == _child.RAISED:
        future.set_result(Outcome(None, seconds, Reason(*payload)))
        return
    try:
        value = pickle.loads(payload)
    except Exception as error:
        unread = "returned what cannot be unpickled here"
        future.set_result(Outcome(None, seconds, Reason(unread, f"{unread}: {_child.describe(error)}")))
    else:
        future.set_result(Outcome(value, seconds, None))


def _set_result(future: Future, answer: tuple) -> None:
    kind, _, payload, *exception = answer
    if kind == _child.RAISED:
        future.set_exception(_exception(Reason(*payload).text, exception[0]))
        return
    try:
        value = pickle.loads(payload)
    except Exception as error:
        future.set_exception(error)
    else:
        future.set_result(value)


def _exception(text: str, data: bytes | None) -> BaseException:
    # The exception itself where it pickles, as of any executor; an exception of its class may still fail to be made here.
    try:
        error = SpanaxError(f"in a worker process: {text}") if data is None else pickle.loads(data)
    except Exception:
        return SpanaxError(f"in a worker process: {text}")
    error.add_note(f"in a worker process, which {text}")
    return error
