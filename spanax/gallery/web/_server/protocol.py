"""How long a client may take: uvicorn waits for a request, and for who does not read its answer, without end."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

PATIENCE = 10.0  # seconds
CONNECTIONS = 500  # at once; a process may have some 1,000 files open

_COMING = (h11.IDLE, h11.SEND_BODY)


class PatientProtocol(H11Protocol):
    """HTTP/1.1 of uvicorn and h11, where a request has to be there, whole, within `PATIENCE`, and an answer is read within it.

    The clock runs from the connection, or from the first byte of a later request, so that a byte now and then buys no time.
    """

    patience = PATIENCE
    connections_at_once = CONNECTIONS

    def connection_made(self, transport: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        super().connection_made(transport)
        self._arrival: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None
        if len(self.connections) > self.connections_at_once:
            transport.abort()
        else:
            self._arrival = self._later()

    def data_received(self, data: bytes) -> None:
        if self._arrival is None:
            self._arrival = self._later()
        super().data_received(data)
        if self.conn.their_state not in _COMING:
            self._arrival = _stop(self._arrival)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Half a request may have come together with the one that was answered: no byte of it will start the clock.
        if self._arrival is None and self.conn.their_state is h11.SEND_BODY and not self.transport.is_closing():
            self._arrival = self._later()

    def send_400_response(self, msg: str) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            # Nonsense behind a request that is being answered: uvicorn would answer twice on one connection, and fail.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
            self.transport.abort()
        else:
            super().send_400_response(msg)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._reading = self._reading or self._later()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._reading = _stop(self._reading)

    def connection_lost(self, exc: Exception | None) -> None:
        self._arrival, self._reading = _stop(self._arrival), _stop(self._reading)
        super().connection_lost(exc)

    def _later(self) -> asyncio.TimerHandle:
        # abort, not close: that would wait until what is written is read.
        return self.loop.call_later(self.patience, self.transport.abort)


def _stop(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
