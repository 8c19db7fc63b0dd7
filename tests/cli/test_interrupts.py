"""Ctrl-C in the command `spanax` on a terminal, at random moments of several commands.

SPANAX_INTERRUPTS=50 tries so many moments; the test run tries 9.
"""

import concurrent.futures
import fcntl
import os
import pathlib
import pty
import random
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import uuid
from typing import NamedTuple

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
ROOT = pathlib.Path(__file__).parent.parent.parent
MOMENTS = int(os.environ.get("SPANAX_INTERRUPTS", 9))
PART = 3  # moments of one test

MODULE = """
import subprocess
import time

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import spanax as sx


def loss(logits, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=logits).to_event(1), name="z")
    return jnp.sum(jnp.sin(z)) ** 2


def slow(x):
    time.sleep(1.0)
    return x**2


# Run as data of the command, so that worker processes are there while it works.
def evaluated():
    f = sx.blackbox(slow, out=jax.ShapeDtypeStruct((), "float32"), via=sx.FiniteDifference(), run=sx.Run(sx.processes(2)))
    return (jax.grad(f)(jnp.float32(1.0), key=jax.random.key(0)),)




def stubborn():
    subprocess.Popen(["sleep", "60"], start_new_session=True)
    print("here", flush=True)
    while True:
        try:
            time.sleep(60)
        except KeyboardInterrupt:
            pass


def waits():
    print("here", flush=True)
    time.sleep(60)


class Dropped:
    def __del__(self):
        print("here", flush=True)
        time.sleep(1.0)


def drops():
    Dropped()
    time.sleep(60)


def calls_back():
    return jax.jit(lambda x: jax.pure_callback(lambda x: waits(), jax.ShapeDtypeStruct((), "float32"), x))(1.0)


def rounds(x):
    return jnp.round(x) * x


point = (jnp.ones(3),)
number = (jnp.float32(1.0),)
"""

# Takes the terminal of its standard input for its own, so that Ctrl-C is a signal, and becomes the command. A shell's
# background jobs ignore the signal, and so would the children of these tests.
LAUNCHER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execv(sys.argv[1], sys.argv[1:])
"""

# (command, CPU seconds within which it is interrupted: about what it takes; those of wall time depend on the machine's load)
COMMANDS = {
    "find": (["find", "told:rounds", "--args", "told:number", "--jumps"], 3.0),
    "workers": (["find", "told:rounds", "--args", "told:evaluated"], 5.0),
    "compare": (["compare", "told:loss", "--args", "told:point", "--via", "z=DisARM(),Enumerate()"], 6.0),
    "bridges": (["bridges"], 2.0),
    "vae": (["gallery", "vae", "--via", "disarm", "--steps", "100"], 12.0),
    "pendulum": (["gallery", "pendulum", "--updates", "5"], 10.0),
    "aim": (["gallery", "aim"], 8.0),
}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "told.py").write_text(MODULE)
    return tmp_path


class Ended(NamedTuple):
    status: int
    heard: float  # seconds from the first key to the next output that is not the terminal's own
    took: float  # seconds from the first key to the end
    screen: str
    pressed: bool
    left: list[int]  # processes that are still there


class Terminal:
    """`spanax` on a terminal of its own, from the moment on that it watches for signals."""

    def __init__(self, folder, *arguments, columns=80):
        self.mark, self.screen = uuid.uuid4().hex, b""
        unset = ("XLA_FLAGS", "COLUMNS", "LINES")  # it compiles as for a user
        env = {name: value for name, value in os.environ.items() if name not in unset}
        env |= {"PYTHONPATH": str(ROOT), "SPANAX_MARK": self.mark, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-X", "faulthandler", "-m", "spanax", *arguments]
        self.fd, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
        launched = [sys.executable, "-c", LAUNCHER, *command]
        self.process = subprocess.Popen(
            launched, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=env, start_new_session=True
        )
        os.close(theirs)
        self.open = True
        while self.open and not self._watches():
            self.read(0.002)

    def _watches(self):
        caught = int(pathlib.Path(f"/proc/{self.process.pid}/status").read_text().split("SigCgt:")[1].split()[0], 16)
        return caught >> (signal.SIGTERM - 1) & 1

    def read(self, seconds):
        """What is on the screen now that was not before."""
        if select.select([self.fd], [], [], max(seconds, 0))[0]:
            try:
                new = os.read(self.fd, 1 << 16)
            except OSError:
                new = b""
            self.open = bool(new)
            self.screen += new
            return new
        return b""

    def until(self, deadline, words=None):
        while self.open and time.monotonic() < deadline and not (words and words in self.screen):
            self.read(min(deadline - time.monotonic(), 0.1))

    def after(self, seconds):
        """Until it has used so many CPU seconds; one that only waits for others is not waited for much longer."""
        end = time.monotonic() + 5 + 5 * seconds
        while self.open and self._used() < seconds and time.monotonic() < end:
            self.read(0.01)

    def _used(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def press(self):
        if self.open:
            os.write(self.fd, b"\x03")

    def end(self, number=None):
        """Presses Ctrl-C, or sends a signal, and waits for the end."""
        pressed, start, heard = self.open, time.monotonic(), None
        before = self.screen
        self.process.send_signal(number) if number else self.press()
        while self.open and time.monotonic() < start + 120:
            self.read(0.1)
            if heard is None and b"spanax: " in self.screen[len(before) :]:
                heard = time.monotonic() - start
        took = time.monotonic() - start
        return Ended(self.close(), heard or 0.0, took, self.screen.decode(errors="replace"), pressed, self._left())

    def close(self):
        if self.open:
            self.process.kill()
        os.close(self.fd)
        return self.process.wait(10)

    def _left(self):
        end = time.monotonic() + 5
        while (found := list(marked(self.mark))) and time.monotonic() < end:
            time.sleep(0.05)
        return found


def marked(mark):
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes():
                yield int(path.parent.name)
        except OSError:  # it has just ended
            continue


def interrupted(folder, name, seconds):
    terminal = Terminal(folder, *COMMANDS[name][0])
    terminal.after(seconds)
    return name, seconds, terminal.end()


def moments():
    random_moments = random.Random(17)
    names = [list(COMMANDS)[k % len(COMMANDS)] for k in range(MOMENTS)]
    return [(name, random_moments.uniform(0, COMMANDS[name][1])) for name in names]


@pytest.mark.parametrize("first", range(0, MOMENTS, PART))
@pytest.mark.few(1)
def test_at_random_moments_no_command_crashes(folder, first):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for name, seconds, ended in pool.map(lambda one: interrupted(folder, *one), moments()[first : first + PART]):
            about = f"{name} at {seconds:.3f} s: {ended}"
            if "SPANAX_INTERRUPTS" in os.environ:
                print(f"{name} at {seconds:.3f} s: {ended.status}, heard {ended.heard:.3f} s, took {ended.took:.3f} s")
            assert ended.status == 130 or (not ended.heard and ended.status in (0, 1)), about
            assert "Traceback" not in ended.screen and "Fatal" not in ended.screen, about
            writes = 100 if "so far" in ended.screen else 20  # seconds: what was learnt is judged and drawn
            assert ended.heard < 2 and ended.took < writes and not ended.left, about
            assert ("so far" in ended.screen) == (ended.status == 130 and "ELBO:" in ended.screen), about


def test_a_main_thread_that_cannot_be_reached_is_left_and_a_second_ctrl_c_leaves_at_once(folder):
    command = "find", "told:rounds", "--args", "told:stubborn"
    alone, pressed = Terminal(folder, *command), Terminal(folder, *command)
    for terminal in (alone, pressed):
        terminal.until(time.monotonic() + 30, b"here")
    pressed.press()
    pressed.until(time.monotonic() + 10, b"stopping")
    time.sleep(0.3)
    twice, once = pressed.end(), alone.end()
    assert (twice.status, twice.left) == (130, []) and twice.took < 2.5, twice
    assert (once.status, once.left) == (130, []) and 2.5 < once.took < 15, once
    assert "stopping" in once.screen and "interrupted" in once.screen and "Traceback" not in once.screen


@pytest.mark.few(1)
@pytest.mark.parametrize("program", ["drops", "calls_back"])
def test_an_interrupt_that_python_drops_or_jax_passes_on_is_shown_as_any_other(folder, program):
    terminal = Terminal(folder, "find", "told:rounds", "--args", f"told:{program}")
    terminal.until(time.monotonic() + 30, b"here")
    ended = terminal.end()
    assert ended.status == 130 and ended.took < 2.5, ended
    assert "Traceback" not in ended.screen and "ignored" not in ended.screen, ended


def test_sigterm_is_alike(folder):
    terminal = Terminal(folder, "find", "told:rounds", "--args", "told:waits")
    terminal.until(time.monotonic() + 30, b"here")
    ended = terminal.end(signal.SIGTERM)
    assert ended.status == 143 and "stopping" in ended.screen and "Traceback" not in ended.screen, ended


def test_reports_are_laid_out_for_the_terminal(folder):
    terminal = Terminal(folder, "find", "told:rounds", "--args", "told:number", columns=40)
    terminal.until(time.monotonic() + 60)
    lines = terminal.screen.decode().splitlines()
    assert terminal.close() == 1 and "  operation: round" in lines and max(map(len, lines)) <= 40
