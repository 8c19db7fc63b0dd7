"""A training as an answer: one JSON object a line, for as long as somebody listens."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from .replies import line

AHEAD = 16  # lines that a training may be ahead of who reads them
T = TypeVar("T")
Make = Callable[[Callable[[], bool]], Iterator[dict[str, Any]]]


class Training:
    """Runs an iterator in a thread of its own, and hands on what it yields. `cancel` ends it at its next yield or poll.

    JAX keeps some of its state by thread, so that all steps of a training run in the same one.
    """

    def __init__(self, make: Make, on_end: Callable[[], None]):
        self._make, self._on_end, self._loop = make, on_end, asyncio.get_running_loop()
        self._items: asyncio.Queue[Any] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._cancelled = threading.Event()
        # A daemon: one that hangs in a library must not keep the server from ending.
        threading.Thread(target=self._run, name="spanax-training", daemon=True).start()

    def cancel(self) -> None:
        self._cancelled.set()

    async def item(self) -> Any:
        """The next item; None at the end. Raises what the training raised."""
        item = await self._items.get()
        self._room.release()
        if isinstance(item, BaseException):
            raise item
        return item

    def _run(self) -> None:
        end: BaseException | None = None
        try:
            iterator = self._make(self._cancelled.is_set)
            try:
                for item in iterator:
                    if not self._has_room():
                        break
                    self._send(item)
            finally:
                # A generator's own `finally` blocks run here, in its thread.
                if close := getattr(iterator, "close", None):
                    close()
        except BaseException as error:
            end = error
        self._send(end)
        self._call(self._on_end)

    def _has_room(self) -> bool:
        """Waits for who reads. False: nobody does any longer."""
        while not self._cancelled.is_set():
            if self._room.acquire(timeout=0.05):
                return True
        return False

    def _send(self, item: Any) -> None:
        self._call(self._items.put_nowait, item)

    def _call(self, function: Callable, *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has ended
            self._loop.call_soon_threadsafe(function, *args)


class Lines(Response):
    """The answer: `first`, which is there already, and what the training yields after it."""

    media_type = "application/x-ndjson"

    def __init__(self, training: Training, first: Any):
        self.training, self.first = training, first
        self.status_code, self.background = 200, None
        self.init_headers({"cache-control": "no-store"})
        del self.headers["content-length"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            with contextlib.suppress(Gone):
                await unless_gone(receive, self._send(send))
        finally:
            self.training.cancel()

    async def _send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        item = self.first
        while item is not None:
            await send({"type": "http.response.body", "body": line(item) + b"\n", "more_body": True})
            try:
                item = await self.training.item()
            except Exception as error:
                # The status is sent: what went wrong is said in the last line.
                item = None
                await send({"type": "http.response.body", "body": line(_problem(error)) + b"\n", "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Gone(Exception):  # noqa: N818  # the client, and no error of ours
    """The client has gone: nobody wants the answer."""


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled as soon as the client goes: then raises `Gone`. The request has been read."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise Gone
    finally:
        for task in (working, leaving):
            task.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        continue


def _problem(error: Exception) -> dict[str, str]:
    import logging

    logging.getLogger("spanax.web").error("a training failed", exc_info=error)
    return {"error": "the training failed: the server's log says why"}
