"""The executor of a `Run`: made when first needed, replaced when broken, and left to one task where that matters."""

from __future__ import annotations

import contextlib
import os
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from ..._errors import SpanaxError
from ._foreign import evaluated_apart, evaluated_within
from .processes import Processes, cores

_WORKERS = 64  # assumed where an executor does not tell


class BrokenError(Exception):
    """The executor takes no tasks any more, and has lost those that it had."""


class Maker:
    """Calls the user's factory when an executor is needed. All copies of a `Run` share it, and so the executor.

    `alone` lets one task in when all others are done, so that it is known who broke the executor.
    """

    def __init__(self, factory: Callable[[], Executor]):
        self.factory = factory
        self._executor: Executor | None = None
        self._state = threading.Condition()
        self._flying = 0
        self._turn: object = None  # the thread that is alone

    def __repr__(self) -> str:
        return repr(self.factory)

    def __reduce__(self):
        return Maker, (self.factory,)

    def executor(self, where: str = "") -> Executor:
        with self._state:
            if self._executor is None:
                made = self.factory()
                if not isinstance(made, Executor):
                    raise SpanaxError(
                        f"sx.Run(executor=...): the function made {made!r}, which is no concurrent.futures.Executor",
                        "lambda: concurrent.futures.ProcessPoolExecutor(4)",
                        where=where,
                    )
                self._executor = made
            return self._executor

    def discard(self, broken: Executor) -> None:
        """The next call of `executor` makes a new one."""
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


def submitted(executor: Executor, fn: Callable[[Any], Any], x: Any, timeout: float | None) -> Future:
    """A future of the `Outcome` of fn(x). Raises `BrokenError` where the executor takes no more."""
    ticket = uuid.uuid4().hex
    try:
        if timeout is None:
            return executor.submit(evaluated_apart, fn, x, ticket)
        return executor.submit(evaluated_within, fn, x, ticket, timeout)
    except RuntimeError as error:  # BrokenExecutor, or what executors raise after their shutdown
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
    count = getattr(executor, "_max_workers", None)  # stdlib, loky, mpi4py.futures and our Ray adapter
    if isinstance(count, int) and count > 0:
        return count
    client: Any = getattr(executor, "_client", None)  # dask
    with contextlib.suppress(Exception):
        return max(sum(client.nthreads().values()), cores())
    return _WORKERS
