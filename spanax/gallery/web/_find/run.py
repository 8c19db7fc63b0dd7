"""Starting the process that looks at a pasted program, and ending it, whatever it does."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

PACKAGE = Path(__file__).parents[3]  # spanax/
CONFINE = Path(__file__).with_name("confine.py")
MOST_REPLY, MOST_PRINTED = 200_000, 20_000  # bytes


@dataclass(frozen=True)
class Limits:
    """What a pasted program may take: seconds of computation and in all; bytes of memory, of a file and of all; threads."""

    cpu: int = 20
    seconds: int = 40
    memory: int = 2 * 2**30
    file: int = 1_000_000
    disk: int = 50_000_000
    threads: int = 64
    processors: int = 2


def run(
    source: str,
    arguments: str,
    function: str = "",
    *,
    limits: Limits | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """What `evaluate` found, `held` (what the process gave up), and `printed`; or `problem`, where it did not come to its end.

    The process and whatever it started are gone when this returns.
    """
    with contextlib.closing(Confined(limits or Limits())) as process:
        return process.look(source, arguments, function, cancelled)


class Confined:
    """A process that waits, confined, for one program to look at.

    It has a fresh empty folder, an environment of its own and no descriptor but those that it answers by. It ends with the thread
    that makes this (the system calls it the parent), or by `close`.
    """

    def __init__(self, limits: Limits):
        self.limits, self._folder = limits, tempfile.TemporaryDirectory(prefix="spanax-find-")
        reply, its_reply = os.pipe()
        try:
            self._process = _start(self._folder.name, its_reply)
        finally:
            os.close(its_reply)
        self._answers = open(reply, "rb", buffering=0)  # noqa: SIM115  # until close
        self._send({**asdict(limits), "parent": os.getpid(), "path": _path(), "reads": [*_path()[:-1], str(PACKAGE)]})

    def look(self, source: str, arguments: str, function: str, cancelled: Callable[[], bool]) -> dict[str, Any]:
        """Sends the program, and waits for what comes of it."""
        self._send({"source": source, "arguments": arguments, "function": function})
        received = {self._answers: bytearray(), self._process.stdout: bytearray()}
        stops = Stops(time.monotonic() + self.limits.seconds, self._folder.name, self.limits.disk, cancelled)
        problem = _listen(received, stops)
        printed = bytes(received[self._process.stdout][:MOST_PRINTED]).decode("utf-8", "replace")
        try:
            # Only a whole answer is one: the program may have been ended while it wrote.
            content = json.loads(bytes(received[self._answers])) if not problem else {}
        except ValueError:
            content = {}
        if not content:
            content = {"problem": problem or _ended(self._process, self.limits), "line": 0}
        return {**content, "printed": printed}

    def _send(self, content: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has ended: what it has printed says why
            self._process.stdin.write(json.dumps(content).encode() + b"\n")
            self._process.stdin.flush()

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._answers):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        _remove(self._folder)


def _start(folder: str, reply: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", str(CONFINE), folder, str(reply)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=folder,
        env=_environment(folder),
        pass_fds=(reply,),
        start_new_session=True,  # a group of its own, which is ended with all that is in it
    )


def _environment(folder: str) -> dict[str, str]:
    """Nothing of ours: no token, no path. Few threads, whose stacks count as memory."""
    return {
        "HOME": folder,
        "TMPDIR": folder,
        "LANG": "C.UTF-8",
        "JAX_PLATFORMS": "cpu",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _path() -> list[str]:
    """Where the libraries are: of this process's import path, Python's own places and that of Spanax.

    The folder that the server was started in is on it, too, as in `python -m spanax`, and is none of the program's business.
    """
    homes = (sys.prefix, sys.base_prefix, sys.exec_prefix)
    entries = [os.path.abspath(entry) for entry in sys.path if entry]
    places = [e for e in entries if e.startswith(homes) or os.path.basename(e) in ("site-packages", "dist-packages")]
    return [*dict.fromkeys((*places, str(PACKAGE.parent)))]


@dataclass(frozen=True)
class Stops:
    """What ends a program that does not end by itself: the clock, what it has written, and nobody who waits."""

    last: float
    folder: str
    disk: int
    cancelled: Callable[[], bool]

    def reason(self) -> str:
        if self.cancelled():
            return "nobody waits for it any longer"
        if time.monotonic() > self.last:
            return "it took too long"
        return "it wrote too many files" if _bytes_in(self.folder, self.disk) > self.disk else ""


def _bytes_in(folder: str, enough: int) -> int:
    """What the files in a folder take, each at least a block; counted until it is more than `enough`."""
    total, open_folders = 0, [folder]
    while open_folders and total <= enough:
        with contextlib.suppress(OSError), os.scandir(open_folders.pop()) as entries:  # gone since; too long a path
            for entry in entries:
                total += max(entry.stat(follow_symlinks=False).st_size, 4096)
                if entry.is_dir(follow_symlinks=False):
                    open_folders.append(entry.path)
    return total


def _remove(folder: tempfile.TemporaryDirectory[str]) -> None:
    try:
        folder.cleanup()
    except (OSError, RecursionError):
        # Folders in folders, thousands deep: Python removes them by recursion, `rm` does not.
        subprocess.run(["rm", "-rf", "--", folder.name], check=False, stderr=subprocess.DEVNULL)


def _listen(received: dict[Any, bytearray], stops: Stops) -> str:
    """Reads until all have closed. What was wrong, or ""."""
    with selectors.DefaultSelector() as selector:
        for stream in received:
            selector.register(stream, selectors.EVENT_READ)
        while selector.get_map():
            if reason := stops.reason():
                return reason
            for key, _ in selector.select(0.05):
                part = os.read(key.fd, 65536)
                received[key.fileobj] += part
                if not part:
                    selector.unregister(key.fileobj)
                elif len(received[key.fileobj]) > MOST_REPLY:
                    return "it wrote too much"
    return ""


def _ended(process: subprocess.Popen[bytes], limits: Limits) -> str:
    """Why there is no answer, as far as the system says it."""
    status = process.wait(5)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return f"it computed for longer than {limits.cpu} s"
    if status in (-signal.SIGSEGV, -signal.SIGABRT, -signal.SIGBUS):
        return "it ended for want of memory, or by a fault of its own"
    return f"it ended by itself, with status {status}"
