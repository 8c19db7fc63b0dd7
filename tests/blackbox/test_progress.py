"""The progress line on a real pseudo-terminal, and on streams and clocks of the test."""

import fcntl
import io
import os
import pty
import struct
import sys
import termios
import threading

import pytest

from spanax._progress import progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def terminal():
    return Terminal()


@pytest.fixture
def clock():
    return Clock()


def frames(stream):
    """What the line has shown, one after the other."""
    return [frame.rstrip() for frame in stream.getvalue().split("\r")[1:]]


def screen(written):
    """What a terminal shows of one line that was written with carriage returns."""
    shown = ""
    for frame in written.split("\r"):
        shown = frame + shown[len(frame) :]
    return shown


def test_what_the_line_says(terminal, clock):
    with progress(100, "simulate", terminal, clock) as advance:
        clock.now += 10
        advance(done=20, failed=3)
        assert frames(terminal) == ["simulate |####................| 20/100, 3 failed, 2/s, 00:40 left"]
        clock.now += 4000
        advance()
        assert frames(terminal)[-1] == "simulate |####................| 21/100, 3 failed, 191 s each, 4:11:25 left"
    assert screen(terminal.getvalue()).strip() == ""
    assert terminal.getvalue().endswith("\r")


def test_a_batch_of_a_second_shows_nothing(terminal, clock):
    with progress(100, "simulate", terminal, clock) as advance:
        for _ in range(99):
            clock.now += 0.01
            advance()
    assert terminal.getvalue() == ""


def test_five_times_a_second_at_most(terminal, clock):
    with progress(1000, "simulate", terminal, clock) as advance:
        for _ in range(1000):
            clock.now += 0.01
            advance()
    assert 40 <= len(frames(terminal)) <= 9 / 0.2 + 3


@pytest.mark.parametrize("columns", [10, 20, 40, 60, 80, 200])
@pytest.mark.parametrize("label", ["f", "a label of a box that is a little long", "two\nlines\x1b[31m"])
def test_it_fits_a_real_terminal(columns, label, clock):
    main, side = pty.openpty()
    fcntl.ioctl(side, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(side, "w") as stream:
        with progress(12345, label, stream, clock) as advance:
            clock.now += 100
            advance(done=1000, failed=1)
            written = os.read(main, 1000).decode()
        cleared = os.read(main, 1000).decode()
    os.close(main)
    frame = written.removeprefix("\r")
    assert len(frame) < columns and frame.isprintable()
    assert "1000" in frame
    assert ("left" in frame) == (columns >= 40)
    assert ("|" in frame) == ((columns >= 80 and len(label) < 20) or columns == 200)
    assert screen(written + cleared).strip() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), None, "closed"], ids=["no terminal", "stderr of a test", "closed"])
def test_silent_elsewhere(stream, clock, capfd):
    if stream == "closed":
        stream = Terminal()
        stream.close()
    with progress(100, "simulate", stream, clock) as advance:
        clock.now += 10
        advance(done=50)
        advance()
    assert not stream or stream.closed or stream.getvalue() == ""
    assert capfd.readouterr() == ("", "")


def test_no_stderr_at_all(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", None)
    with progress(100, "simulate", None, clock) as advance:
        clock.now += 10
        advance()


def test_a_terminal_that_goes_away(terminal, clock):
    with progress(100, "simulate", terminal, clock) as advance:
        clock.now += 10
        advance()
        terminal.close()
        clock.now += 10
        advance()


def test_a_terminal_without_the_letters(clock):
    class Ascii(Terminal):
        def write(self, text):
            return super().write(text.encode("ascii").decode())

    with progress(100, "Überschall", Ascii(), clock) as advance:
        clock.now += 10
        advance()


def test_an_error_clears_the_line_and_passes(terminal, clock):
    with pytest.raises(KeyError), progress(100, "simulate", terminal, clock) as advance:
        clock.now += 10
        advance()
        raise KeyError
    assert screen(terminal.getvalue()).strip() == ""


def test_one_line_at_a_time(terminal, clock):
    with progress(100, "outer", terminal, clock) as outer, progress(7, "inner", terminal, clock) as inner:
        clock.now += 10
        inner()
        outer()
    with progress(7, "later", terminal, clock) as later:
        clock.now += 10
        later()
    shown = " ".join(frames(terminal))
    assert "outer" in shown and "later" in shown and "inner" not in shown


def test_odd_totals(terminal, clock):
    for total, done in ((0, 0), (0, 5), (3, 7), (10, 0)):
        with progress(total, "simulate", terminal, clock) as advance:
            clock.now += 10
            advance(done=done)
    assert [frame for frame in frames(terminal) if frame] == [
        "simulate |....................| 0/0, 0/s, ? left",
        "simulate |####################| 5/0, 2 s each, ? left",
        "simulate |####################| 7/3, 1.43 s each, ? left",
        "simulate |....................| 0/10, 0/s, ? left",
    ]


def test_threads_count_together(terminal, clock):
    with progress(4000, "simulate", terminal, clock) as advance:
        threads = [threading.Thread(target=lambda: [advance(failed=1) for _ in range(1000)]) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        clock.now += 10
        advance(done=0)
    assert "4000/4000, 4000 failed" in frames(terminal)[0]


def test_a_thread_that_is_late_draws_nothing(terminal, clock):
    with progress(100, "simulate", terminal, clock) as advance:
        pass
    clock.now += 10
    advance()
    assert terminal.getvalue() == ""
