"""`POST /api/find/...`: is code allowed, and what cuts the gradient of the code that is sent."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import asdict

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from .._server.bodies import read_object
from .._server.hosts import is_loopback
from .._server.replies import reply
from .._server.streams import Gone, unless_gone
from .._server.work import as_answer
from ..requests import text
from .run import Limits
from .spare import Spare

AT_ONCE = 2
LONGEST = 20_000  # characters of a program
OFF = "this server evaluates no code: start it with `spanax serve --allow-code`"


class Find:
    """The page `find`. Unless code is `allowed`, it only says so."""

    def __init__(self, allowed: bool, limits: Limits | None = None):
        self.allowed, self.limits = allowed, limits or Limits()
        self.spare = Spare(self.limits)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def state(self, request: Request) -> Response:
        """Is code allowed, and within which limits?"""
        await read_object(request)
        if self.allowed:
            self.spare.prepare()  # who reads the page will soon want one
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
        async with self._places:
            try:
                return await asyncio.wrap_future(self.spare.take().look((source, arguments, function), gone.is_set))
            finally:
                gone.set()
                self.spare.prepare()

    def stop(self) -> None:
        self.spare.enabled = False
        self.spare.end()
