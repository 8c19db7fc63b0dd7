"""The parent's side of one worker process: it is started, given functions and arguments, listened to, and ended.

Not `multiprocessing.Process`: that forks, or talks to a server that all workers share, and installs its own exit handlers.
This is a plain program in a session of its own, so that one signal to its process group reaches all that it started.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import signal
import subprocess
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from multiprocessing import Pipe, process, spawn
from typing import Any, NamedTuple

from ..._errors import SpanaxError
from .._reason import DIED, TOO_LONG, Reason
from . import _child

# Functions that a worker keeps loaded: a function with a large model in it is memory.
_KEPT = 16
NAME = "spanax-worker"


class LostError(SpanaxError):
    """A task whose worker process died, or was killed because it took too long. `reason` says which."""

    @property
    def reason(self) -> Reason:
        return Reason(TOO_LONG if self.problem.startswith(TOO_LONG) else DIED, self.problem)


class Program(NamedTuple):
    """A pickled function; `name` is a digest of the pickle, so that a worker loads equal ones once."""

    name: str
    data: bytes
    function: str


class Outcome(NamedTuple):
    """The result of one evaluation: its value, or in `reason` why there is none."""

    value: Any
    seconds: float
    reason: Reason | None


def program(fn: Callable, where: str, dumps: Callable[[Any], bytes] = pickle.dumps) -> Program:
    """Raises `SpanaxError` where the function cannot be pickled."""
    function = str(getattr(fn, "__qualname__", None) or repr(fn))
    try:
        data = dumps(fn)
    except Exception as error:
        raise SpanaxError(
            f"the function {function} cannot be sent to a worker process: {type(error).__name__}: {error}",
            "define it at the top level of a module, with what it needs as arguments of functools.partial",
            "sx.Run(executor=None) runs it in this process",
            "an executor that pickles by value, such as loky's or dask's",
            where=where,
        ) from error
    # Equal pickles are one function: a lambda in a loop, or the same black box twice, is loaded once.
    return Program(hashlib.blake2b(data, digest_size=16).hexdigest(), data, function)


class Call(NamedTuple):
    """An input that is all arguments of a call."""

    args: tuple
    keywords: dict[str, Any]


def as_call(x: Any) -> Call:
    return x if type(x) is Call else Call((x,), {})


def arguments(args: tuple, keywords: dict[str, Any], where: str) -> bytes:
    """Raises `SpanaxError` where the arguments cannot be pickled."""
    try:
        return pickle.dumps((args, keywords), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise SpanaxError(
            f"the arguments cannot be sent to a worker process: {type(error).__name__}: {error}",
            "arguments of NumPy arrays, numbers, strings, and containers of these",
            "sx.Run(executor=None) runs the function in this process",
            where=where,
        ) from error


def is_worker() -> bool:
    """Is this process a worker itself?"""
    return process.current_process().name.startswith(NAME)


class Worker:
    """A process of its own session, with a pipe that nobody else holds. Needs POSIX.

    Ending it ends what it started as well, unless that is in another session; with the parent it ends by itself.
    """

    def __init__(self, number: int):
        ours, theirs = Pipe()
        command = [os.fsdecode(spawn.get_executable()), "-P", _child.__file__, str(theirs.fileno())]
        # Our copy of the child's end is closed at once: the pipe then closes when the child ends.
        with theirs:
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True
            )
        self.connection = ours
        # When it is killed for good.
        self.ends_at = float("inf")
        self._programs: OrderedDict[str, None] = OrderedDict()
        self.send(_child.PREPARE, _this_process(f"{NAME}-{number}"))

    def send(self, *message: Any) -> None:
        """Sends a message; that the worker has ended is noticed when it is listened to."""
        # A pipe that is closed at the other end: the worker has died.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def receive(self) -> tuple | None:
        """The next message; None where the worker has ended."""
        try:
            return pickle.loads(self.connection.recv_bytes())
        except (EOFError, OSError):
            return None

    def load(self, program: Program) -> bool:
        """False where the worker has the function; else it is sent, and an answer will come."""
        if program.name in self._programs:
            self._programs.move_to_end(program.name)
            return False
        if len(self._programs) == _KEPT:
            self.send(_child.FORGET, self._programs.popitem(last=False)[0])
        self.send(_child.LOAD, program.name, program.data)
        return True

    def has_loaded(self, program: Program) -> None:
        self._programs[program.name] = None

    def call(self, program: Program, arguments: bytes) -> None:
        self.send(_child.CALL, program.name, arguments)

    def is_alive(self) -> bool:
        return self.process.poll() is None

    def end(self) -> str:
        """Waits for one that is dying, or kills it. Returns how it ended, for a message."""
        self.kill()
        code = self.process.returncode
        if code == _child.CUT_OFF:
            return f"{DIED}: the function closed the pipe to the process that waits for it"
        return f"{DIED} ({f'signal {-code}' if code < 0 else f'exit code {code}'})"

    def ask_to_leave(self) -> None:
        """Without a task it ends at once."""
        self.send(_child.LEAVE)
        self.ends_at = time.monotonic() + _child.GRACE

    def terminate(self) -> None:
        """Interrupts what it runs, so that it may clean up; `kill` is to follow after a second."""
        self._signal(signal.SIGTERM)
        self.ends_at = time.monotonic() + _child.GRACE

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.connection.close()

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # The worker leads a group, which may outlive it.
            os.killpg(self.process.pid, number)


def _this_process(name: str) -> dict[str, Any]:
    """What a worker needs to know to import what this process can import; see `multiprocessing.spawn.prepare`."""
    process: dict[str, Any] = {
        "name": name,
        "sys_path": [entry or os.getcwd() for entry in sys.path],
        "sys_argv": sys.argv,
    }
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    if spec is not None:
        process["init_main_from_name"] = spec.name
    elif file is not None and os.path.exists(file):
        process["init_main_from_path"] = os.path.abspath(file)
    return process
