"""A process that is ready before it is asked for: its libraries take seconds to import."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from .run import Confined, Limits

IDLE = 300.0  # seconds that a process waits for a program
Cancelled = Callable[[], bool]


class Ready:
    """A confined process, and the thread that it lives and ends with. Made for one program."""

    def __init__(self, limits: Limits):
        self._jobs: queue.SimpleQueue[tuple[tuple[str, str, str], Cancelled] | None] = queue.SimpleQueue()
        self._future: Future[dict[str, Any]] = Future()
        self._future.set_running_or_notify_cancel()
        self._limits = limits
        threading.Thread(target=self._run, name="spanax-find", daemon=True).start()

    def look(self, program: tuple[str, str, str], cancelled: Cancelled) -> Future[dict[str, Any]]:
        """What comes of the program: source, arguments, and the function's name or ""."""
        self._jobs.put((program, cancelled))
        return self._future

    def end(self) -> None:
        self._jobs.put(None)

    def _run(self) -> None:
        try:
            with contextlib.closing(Confined(self._limits)) as process:
                if job := self._jobs.get():
                    program, cancelled = job
                    answer = process.look(*program, cancelled)
        except BaseException as error:
            self._future.set_exception(error)
            return
        # After the end of the process: an answer says that nothing is left over.
        if job:
            self._future.set_result(answer)


class Spare:
    """At most one process that is ready, for `IDLE` seconds. Used by the event loop's thread alone."""

    def __init__(self, limits: Limits):
        self.limits, self.enabled = limits, True
        self._ready: Ready | None = None
        self._timer: asyncio.TimerHandle | None = None

    def prepare(self) -> None:
        if self._ready is None and self.enabled:
            self._ready = Ready(self.limits)
            self._timer = asyncio.get_running_loop().call_later(IDLE, self.end)

    def take(self) -> Ready:
        """The one that is ready, or one that will be."""
        ready, self._ready = self._ready or Ready(self.limits), None
        self._stop_timer()
        return ready

    def end(self) -> None:
        if self._ready is not None:
            self._ready.end()
        self._ready = None
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
