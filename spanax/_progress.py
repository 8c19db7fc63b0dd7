"""One line on the terminal for a long batch: how much is done, how much failed, how long it will take."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, TextIO

_FIRST, _BETWEEN = 1.0, 0.2  # seconds before the line is shown, and between two redraws
# Held by the batch whose line is shown: a terminal has room for one.
_TERMINAL = threading.Lock()


@contextlib.contextmanager
def progress(
    total: int, label: str, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[..., None]]:
    """Yields `advance(done=1, failed=0)`, to be called when that many more evaluations are done, `failed` of them in vain.

    The line appears on `stream` (None: standard error) if that is a terminal and no other batch uses it: from the first call of
    `advance` after 1 s, at most 5 times a second. It is cleared at the end. Elsewhere nothing is written. Never raises.
    """
    stream = sys.stderr if stream is None else stream
    if not (_is_terminal(stream) and _TERMINAL.acquire(blocking=False)):
        yield _silent
        return
    line = _Line(total, label, stream, clock)
    try:
        yield line.advance
    finally:
        line.clear()
        _TERMINAL.release()


def _silent(done: int = 1, failed: int = 0) -> None:
    pass


def _is_terminal(stream: Any) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, OSError, ValueError):
        # There is no stream, or it is closed.
        return False


class _Line:
    def __init__(self, total: int, label: str, stream: Any, clock: Callable[[], float]):
        self.total, self.stream, self.clock = total, stream, clock
        self.label = "".join(c if c.isprintable() else " " for c in label)
        self.done = self.failed = self.drawn = 0  # drawn: the length of what is on the terminal
        self.start = clock()
        self.next = self.start + _FIRST
        self.lock = threading.Lock()

    def advance(self, done: int = 1, failed: int = 0) -> None:
        with self.lock:
            self.done += done
            self.failed += failed
            now = self.clock()
            if now >= self.next:
                self.next = now + _BETWEEN
                self.write(self.text(now - self.start, self.columns() - 1))

    def clear(self) -> None:
        with self.lock:
            # A thread that calls `advance` late must not draw over what comes next.
            self.next = float("inf")
            if self.drawn:
                self.write("")
                self.write("")

    def write(self, text: str) -> None:
        try:
            self.stream.write("\r" + text.ljust(self.drawn))
            self.stream.flush()
            self.drawn = len(text)
        except (OSError, ValueError):
            # The stream is closed, or has no letters for the label: a progress line is not worth an error.
            self.next, self.drawn = float("inf"), 0

    def columns(self) -> int:
        try:
            return os.get_terminal_size(self.stream.fileno()).columns or 80
        except (AttributeError, OSError, ValueError):
            return 80

    def text(self, elapsed: float, width: int) -> str:
        """The longest form of the line that fits; a long label is cut before the time left is dropped."""
        # Without a finished evaluation there is no rate, and after more of them than were announced no time left.
        share, rate = min(self.done / max(self.total, 1), 1.0), self.done / max(elapsed, 1e-9)
        left = (
            timedelta(seconds=min(round((self.total - self.done) / rate), 10**9))
            if 0 < self.done <= self.total
            else "?"
        )
        count = f" {self.done}/{self.total}" + f", {self.failed} failed" * bool(self.failed)
        bar, end = f" |{'#' * int(20 * share):.<20}|", f", {str(left).removeprefix('0:')} left"
        speed = f", {rate:.3g}/s" if rate >= 1 or not rate else f", {1 / rate:.3g} s each"
        whole = len(self.label)
        for rest, least in ((bar + count + speed + end, whole), (count + speed + end, whole), (count + end, 6)):
            if min(whole, least) + len(rest) <= width:
                return self.label[: width - len(rest)] + rest
        return (self.label[: max(width - len(count), 0)] + count)[:width]
