"""The executor of a `Run`: made when first needed, replaced when broken, and given to one task alone where that matters.

When a standard pool breaks, all its tasks fail alike, and it is not known whose worker died. `Maker.alone` finds out: a
suspect runs when no other task is in flight, of any thread that shares the executor.
"""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from ..._errors import SpanaxError
from ._foreign import evaluate_apart, evaluate_within
from .processes import Processes, cores

# Assumed where an executor does not tell: too many only makes tasks wait in its queue.
_WORKERS = 64


class BrokenError(Exception):
    """The executor accepts no tasks any more, and has lost those that it had."""


class Maker:
    """Calls the user's factory when an executor is needed. All copies of a `Run` share it, and so the executor.

    `alone` lets one task in when all others are done, so that it is known who broke the executor.
    """

    def __init__(self, factory: Callable[[], Executor]):
        self.factory = factory
        self._executor: Executor | None = None
        self._state = threading.Condition()
        self._flying = 0
        # The thread that is alone.
        self._turn: object = None

    def __repr__(self) -> str:
        return repr(self.factory)

    def __reduce__(self):
        return Maker, (self.factory,)

    def executor(self, where: str = "") -> Executor:
        with self._state:
            if self._executor is None:
                executor = self.factory()
                if not isinstance(executor, Executor):
                    raise SpanaxError(
                        f"sx.Run(executor=...): the function made {executor!r}, which is not a concurrent.futures.Executor",
                        "lambda: concurrent.futures.ProcessPoolExecutor(4)",
                        where=where,
                    )
                self._executor = executor
            return self._executor

    def discard(self, broken: Executor) -> None:
        """The next call of `executor` makes a new one."""
        # Several threads notice that it broke; only the first one replaces it.
        with self._state:
            if self._executor is broken:
                self._executor = None
        with contextlib.suppress(Exception):
            broken.shutdown(wait=False)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        me = threading.current_thread()
        with self._state:
            self._state.wait_for(lambda: self._turn is None)
            self._turn = me
        # From here on `take_off` lets no other thread in: what is in flight lands, and nothing follows.
        try:
            with self._state:
                self._state.wait_for(lambda: self._flying == 0)
            yield
        finally:
            with self._state:
                self._turn = None
                self._state.notify_all()

    def take_off(self) -> None:
        with self._state:
            self._state.wait_for(lambda: self._turn in (None, threading.current_thread()))
            self._flying += 1

    def land(self) -> None:
        with self._state:
            self._flying -= 1
            self._state.notify_all()


def submit(executor: Executor, fn: Callable[[Any], Any], x: Any, timeout: float | None) -> Future:
    """A future of the `Outcome` of fn(x). Raises `BrokenError` where the executor accepts no tasks."""
    # Dask takes equal calls for one: a noisy function would be evaluated once for all its points.
    ticket = uuid.uuid4().hex
    try:
        if timeout is None:
            return executor.submit(evaluate_apart, fn, x, ticket)
        return executor.submit(evaluate_within, fn, x, ticket, timeout)
    except RuntimeError as error:
        # BrokenExecutor is one, and so is what executors raise after their shutdown.
        raise BrokenError(f"{type(error).__name__}: {error}") from error


def works(executor: Executor) -> bool:
    """Can it run anything at all?"""
    try:
        return executor.submit(os.getpid).result() > 0
    except (RuntimeError, CancelledError):
        return False


def workers(executor: Executor) -> int:
    """How many tasks it runs at a time, as far as it tells."""
    if isinstance(executor, Processes):
        return executor.n
    # No executor has a public attribute for it. This one is in the standard library's, loky, mpi4py.futures and our Ray adapter.
    count = getattr(executor, "_max_workers", None)
    if isinstance(count, int) and count > 0:
        return count
    # dask
    client: Any = getattr(executor, "_client", None)
    with contextlib.suppress(Exception):
        return max(sum(client.nthreads().values()), cores())
    return _WORKERS
