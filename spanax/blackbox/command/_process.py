"""One run of an external program: its whole output, within its time, and nothing of it left behind.

One thread waits for three things at once by `poll`: output, room in the program's standard input, and its end (a pidfd).
Reading and feeding in turn would deadlock where a program fills one pipe before it empties the other; `communicate` returns
only when every process that inherited the output has closed it, which may be never.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import math
import os
import select
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

# Seconds for what the program started to close the output, once the program itself has ended.
GRACE = 1.0
_CHUNK = 1 << 16  # bytes
# Seconds of one pause: `poll` counts milliseconds in 32 bits, no more than 24 days.
_LONGEST = 3600.0
# Seconds between two looks at the program where the system cannot wake us at its end.
_NO_PIDFD = 0.02


class Ended(NamedTuple):
    """How a run ended. `complete`: all that could ever be printed was read; `read`: standard input was read, if only in part."""

    status: int  # the exit status; -n: ended by signal n
    stdout: str
    stderr: str
    in_time: bool
    complete: bool
    read: bool


def run(
    args: Sequence[str], data: bytes | None, cwd: str, env: Mapping[str, str] | None, timeout: float | None
) -> Ended:
    """Runs a program, `data` on its standard input (None: empty), to its end or for `timeout` seconds.

    It leads a session of its own. When it has ended, or its time is over, or this call is interrupted, every process that is
    still in its process group is killed; one that left the group (`setsid`) is not found. Where a process that it started
    keeps the output open after its end, GRACE seconds more are waited, and `complete` is False.

    Raises `OSError` where the program cannot be started.
    """
    with contextlib.ExitStack() as stack:
        source, feed = _pipe(stack) if data else (subprocess.DEVNULL, None)
        process = subprocess.Popen(
            args,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env=env,
            start_new_session=True,
        )
        # From here on every way out kills the group: an exception, Ctrl-C, or what the program left running.
        with _killed_at_the_end(process):
            watch = _Watch(process, feed, data or b"")
            in_time = watch.until(math.inf if timeout is None else time.monotonic() + timeout)
        # What is left in the pipe was not read: a program that ignores its input would have the derivative 0.
        read = not data or _unread_bytes(source) < watch.fed
    stdout, stderr = (b"".join(pieces).decode(errors="replace") for pieces in watch.output.values())
    return Ended(process.returncode, stdout, stderr, in_time, not watch.open, read)


class _Watch:
    """Feeds a program and collects what it prints, without a thread, until it has ended."""

    def __init__(self, process: subprocess.Popen, feed: io.FileIO | None, data: bytes):
        assert process.stdout and process.stderr
        self.process, self.feed, self.data, self.fed = process, feed, memoryview(data), 0
        self.output: dict[int, list[bytes]] = {process.stdout.fileno(): [], process.stderr.fileno(): []}
        # Descriptors whose end of file has not been met.
        self.open = set(self.output)
        self.ends: int | None = None  # readable once the program has ended
        self.poll = select.poll()
        for fd in self.output:
            self.poll.register(fd, select.POLLIN)
        # A blocking write would wait for a program that never reads.
        if feed:
            os.set_blocking(feed.fileno(), False)
            self.poll.register(feed, select.POLLOUT)

    def until(self, deadline: float) -> bool:
        """Until the program has ended and its output is closed, or GRACE is over; False where the deadline came first."""
        with _exit_signal(self.process) as self.ends:
            if self.ends is not None:
                self.poll.register(self.ends, select.POLLIN)
            running = True
            while running or self.open:
                left = deadline - time.monotonic()
                # Once it has ended it did so in time; only its output is still held open.
                if left <= 0:
                    return not running
                events = self.poll.poll(math.ceil(1000 * self._pause(left, running)))
                if running and self._has_ended(events):
                    running = False
                    deadline = min(time.monotonic() + GRACE, deadline)
                    if self.ends is not None:
                        self.poll.unregister(self.ends)
                for fd, _ in events:
                    self.serve(fd)
            return True

    def _pause(self, left: float, running: bool) -> float:
        return min(left, _NO_PIDFD if self.ends is None and running else _LONGEST)

    def _has_ended(self, events: list[tuple[int, int]]) -> bool:
        # `poll` of the process would reap it, and its number could then be another's group before that is killed; with a
        # pidfd it is reaped last.
        if self.ends is None:
            return self.process.poll() is not None
        return any(fd == self.ends for fd, _ in events)

    def serve(self, fd: int) -> None:
        if fd in self.open:
            # An empty read is the end of the file.
            if piece := os.read(fd, _CHUNK):
                self.output[fd].append(piece)
            else:
                self.open.discard(fd)
                self.poll.unregister(fd)
        elif self.feed and not self.feed.closed and fd == self.feed.fileno():
            self.fed += os.write(fd, self.data[self.fed : self.fed + _CHUNK])
            if self.fed == len(self.data):
                self.poll.unregister(fd)
                self.feed.close()


def _pipe(stack: contextlib.ExitStack) -> tuple[int, io.FileIO]:
    """A pipe whose read end stays open here as well, to see afterwards what was left in it."""
    # Not `stdin=PIPE`, which would close our read end: what is left in the pipe could not be counted.
    source, feed = os.pipe()
    stack.callback(os.close, source)
    return source, stack.enter_context(io.FileIO(feed, "w"))


def _unread_bytes(fd: int) -> int:
    """How many bytes a pipe holds."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


@contextlib.contextmanager
def _exit_signal(process: subprocess.Popen) -> Iterator[int | None]:
    """A file descriptor that is readable once the program has ended, and not yet reaped; None where there are none."""
    try:
        fd = os.pidfd_open(process.pid)
    except (AttributeError, OSError):
        fd = None
    try:
        yield fd
    finally:
        if fd is not None:
            os.close(fd)


@contextlib.contextmanager
def _killed_at_the_end(process: subprocess.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        _kill_group(process)
        # Closes the pipes, and reaps the program last.
        with process:
            pass


def _kill_group(process: subprocess.Popen) -> None:
    """Kills the program's process group; until the program is reaped, no other group can have its number."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
