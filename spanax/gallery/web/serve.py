"""Serving the page, until Ctrl-C or SIGTERM."""

from __future__ import annotations

import contextlib
import errno
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn
from starlette.applications import Starlette

from ..._errors import SpanaxError
from ._server.hosts import Hosts, is_loopback
from ._server.protocol import PatientProtocol
from ._server.toys import toys
from .app import make_app

HOST, PORT = "127.0.0.1", 8000


def serve(
    folder: str | Path = "gallery-out",
    *,
    host: str = HOST,
    port: int = PORT,
    allow_code: bool = False,
    on_start: Callable[[str], None] = lambda url: None,
) -> int | None:
    """Serves the page until the process gets SIGINT or SIGTERM. Of the main thread; a signal that is ignored stays so.

    **Arguments:**

    - `folder`: the gallery's folder.
    - `host`, `port`: where to listen. Port 0 is a free one.
    - `allow_code`: does the page `find` evaluate code? Only on loopback.
    - `on_start`: called with the address to open, as soon as it answers.

    **Returns:** the signal's number.

    **Raises:**

    - `SpanaxError`: the port is taken or not allowed, the host is not this machine's, or code is allowed to others.
    """
    if allow_code and not is_loopback(host):
        problem = f"--allow-code runs the code that the page is sent, and --host {host} lets other machines send it"
        raise SpanaxError(problem, "leave out --host", "leave out --allow-code", where="")
    listener = listen(host, port)
    app = make_app(folder, allow_code=allow_code, hosts=Hosts.of(host))
    with contextlib.closing(listener):
        url = _url(host, listener.getsockname()[1])

        def started() -> None:
            on_start(url)
            # Not before: the first page is not to wait for what it does not need.
            _compile_toys(server)

        server = make_server(app, started)
        server.run(sockets=[listener])
        return server.ended_by


def _compile_toys(server: uvicorn.Server) -> None:
    """In the background, what visitors will ask."""

    def compile_them() -> None:
        toys().warm_up(lambda: server.should_exit, trainings=True)

    # No daemon: a process that ends while JAX compiles may crash.
    threading.Thread(target=compile_them, name="spanax-compile").start()


def make_server(app: Starlette, on_start: Callable[[], None] = lambda: None) -> _Server:
    """uvicorn as the page needs it: with limits of time, and quiet. Run it by `run(sockets=[listen(host, port)])`."""
    config = uvicorn.Config(
        app,
        http=PatientProtocol,
        ws="none",
        loop="asyncio",
        log_level="error",  # who sends nonsense fills no log
        proxy_headers=False,  # who asks is not a matter of what the asker writes
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, app.state.work.stop, on_start)


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it answers, and whose trainings end with it."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None], on_start: Callable[[], None]):
        super().__init__(config)
        self.ended_by: int | None = None
        self._on_stop, self._on_start = on_stop, on_start

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # uvicorn's own raises the signal again at the end, which a command that watches its signals takes for a second one.
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # A shell's background jobs ignore Ctrl-C, which is meant for the one in front.
        heard = [n for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is not signal.SIG_IGN]
        before = {number: signal.signal(number, self._stop) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.force_exit, self.should_exit = self.should_exit, True
        self.ended_by = self.ended_by or number
        self._on_stop()


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there already, so that a port that is taken is known before anything else."""
    try:
        # To the system, no name at all means all of the machine's addresses.
        family, kind, protocol, _, address = socket.getaddrinfo(host or " ", port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(512)
        except OSError:
            listener.close()
            raise
        return listener
    except (OSError, ValueError) as error:  # a name with a zero byte, or with a part that is too long
        raise SpanaxError(*_why(host, port, error), where="") from error


def _why(host: str, port: int, error: OSError | ValueError) -> tuple[str, ...]:
    match getattr(error, "errno", None):
        case errno.EADDRINUSE:
            remedies = (
                f"--port {port + 1 if port < 65535 else port - 1}",
                "--port 0, for a free one",
                "end what runs there",
            )
            return f"port {port} is taken: another program listens there", *remedies
        case errno.EACCES:
            return f"port {port} is not allowed to this user", "--port 8000, or any other from 1024 on", "--port 0"
        case errno.EADDRNOTAVAIL:
            return f"{host} is not an address of this machine", "leave out --host: only this machine then sees the page"
    problem = f"cannot listen on {host!r}, port {port}: {getattr(error, 'strerror', None) or error}"
    return problem, "leave out --host", "--port 0, for a free one"


def _url(host: str, port: int) -> str:
    # Under a wildcard, loopback's name is the one that certainly leads here.
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}/"
