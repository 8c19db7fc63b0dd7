"""How much is computed at once: short actions in a few threads, trainings a few at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from ...._errors import SpanaxError
from ..requests import BadRequest
from .bodies import read_object
from .replies import reply
from .streams import Gone, Lines, Training, unless_gone
from .toys import toys

ACTIONS_AT_ONCE = 4
ACTIONS_WAITING = 1000
TRAININGS = 2
PATIENCE = 3.0  # seconds that a new training waits for one that is ending: a page that was loaded again
log = logging.getLogger("spanax.web")


class Work:
    """What the server computes. `stop` ends the trainings."""

    def __init__(self, trainings: int = TRAININGS):
        self._limit = anyio.CapacityLimiter(ACTIONS_AT_ONCE)
        self._slots = asyncio.Semaphore(trainings)
        self._running: set[Training] = set()
        self._waiting = 0
        self.trainings = trainings

    async def respond(self, request: Request) -> Response:
        """`POST /api/toy/action`."""
        name = "{toy}/{action}".format(**request.path_params)
        body = await read_object(request)
        known = await anyio.to_thread.run_sync(toys)
        try:
            if action := known.ACTIONS.get(name):
                return reply(await unless_gone(request.receive, self.run(lambda: action(body))))
            if stream := known.STREAMS.get(name):
                return await unless_gone(request.receive, self._train(lambda cancelled: stream(body, cancelled)))
        except Gone:
            return Response(status_code=499)  # nobody reads it
        raise HTTPException(404, f"there is no {name}")

    async def run(self, action: Callable[[], Any]) -> Any:
        """A short action, in a thread, when it is its turn."""
        if self._waiting >= ACTIONS_WAITING:
            raise HTTPException(503, "too many requests at once: try again", {"retry-after": "1"})
        self._waiting += 1
        try:
            return await anyio.to_thread.run_sync(action, limiter=self._limit)
        except Exception as error:
            raise as_answer(error) from error
        finally:
            self._waiting -= 1

    async def _train(self, make: Callable[[Callable[[], bool]], Any]) -> Response:
        try:
            # Not wait_for, which up to Python 3.11 loses a cancellation that comes together with the result.
            async with asyncio.timeout(PATIENCE):
                await self._slots.acquire()
        except TimeoutError:
            busy = f"{self.trainings} trainings are running, which is the most: stop one, or wait"
            raise HTTPException(503, busy, {"retry-after": "5"}) from None
        training = Training(make, lambda: self._ended(training))
        self._running.add(training)
        try:
            # A wrong argument is met here, while the status can still say so.
            first = await training.item()
        except Exception as error:
            raise as_answer(error) from error
        except BaseException:  # the client has gone, or the server ends
            training.cancel()
            raise
        return Lines(training, first)

    def _ended(self, training: Training) -> None:
        self._running.discard(training)
        self._slots.release()

    def stop(self) -> None:
        for training in list(self._running):
            training.cancel()

    async def finish(self, timeout: float = 2.0) -> None:
        """Ends the trainings, and waits for them, but not for ever."""
        self.stop()
        last = asyncio.get_running_loop().time() + timeout
        while self._running and asyncio.get_running_loop().time() < last:
            await asyncio.sleep(0.02)


def as_answer(error: Exception) -> HTTPException:
    """How an error is told: what the sender can mend, as it stands; ours, without what it holds."""
    match error:
        case HTTPException():
            return error
        case BadRequest():
            return HTTPException(422, str(error))
        case SpanaxError():
            return HTTPException(422, error.problem)
    log.error("an action failed", exc_info=error)
    return HTTPException(500, "the computation failed: the server's log says why")
