"""`POST /api/find/...`: is code allowed, and what cuts the gradient of the code that is sent."""

from __future__ import annotations

import threading
from dataclasses import asdict

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .._server.bodies import read_object
from .._server.hosts import is_loopback
from .._server.replies import reply
from .._server.streams import Gone, unless_gone
from .._server.work import as_answer
from ..requests import text
from .run import Limits, run

AT_ONCE = 2
LONGEST = 20_000  # characters of a program
OFF = "this server evaluates no code: start it with `spanax serve --allow-code`"


class Find:
    """The page `find`. Unless code is `allowed`, it only says so."""

    def __init__(self, allowed: bool, limits: Limits | None = None):
        self.allowed, self.limits = allowed, limits or Limits()
        self._limiter = anyio.CapacityLimiter(AT_ONCE)

    async def state(self, request: Request) -> Response:
        """Is code allowed, and within which limits?"""
        await read_object(request)
        return reply({"allowed": self.allowed, "off": "" if self.allowed else OFF, "limits": asdict(self.limits)})

    async def look(self, request: Request) -> Response:
        """The report on the program that is sent; see `evaluate`."""
        body = await read_object(request)
        # Whoever is not on this machine has come through a door that nobody meant to open.
        if not self.allowed or request.client is None or not is_loopback(request.client.host):
            raise HTTPException(403, OFF)
        try:
            source, arguments = text(body, "source", LONGEST), text(body, "arguments", LONGEST)
            function = text(body, "function", 200, "")
        except Exception as error:
            raise as_answer(error) from error
        try:
            return reply(await unless_gone(request.receive, self._run(source, arguments, function)))
        except Gone:
            return Response(status_code=499)  # nobody reads it

    async def _run(self, source: str, arguments: str, function: str) -> dict:
        gone = threading.Event()
        try:
            return await anyio.to_thread.run_sync(
                lambda: run(source, arguments, function, limits=self.limits, cancelled=gone.is_set),
                limiter=self._limiter,
                abandon_on_cancel=True,  # it ends by itself, as soon as it has ended the process
            )
        finally:
            gone.set()
