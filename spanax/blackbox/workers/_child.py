"""The program of a worker process: it loads functions, calls them, and sends back what they return.

It is run by its path and imports the standard library only, so that a worker is up in some 50 ms; anything else is imported by
the functions. It ends when its parent does, however that ended. Messages are pickled tuples:

    from the parent                          to the parent
    (PREPARE, process)                       (READY,)
    (LOAD, name, pickled function)           (LOADED,) or (UNLOADABLE, text)
    (FORGET, name)                           nothing
    (CALL, name, pickled arguments)          (VALUE, seconds, pickled value) or (RAISED, seconds, reason, pickled exception)
    (LEAVE,)                                 nothing
"""

import contextlib
import errno
import os
import pickle
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing import spawn
from multiprocessing.connection import Connection

PREPARE, LOAD, FORGET, CALL, LEAVE = "prepare", "load", "forget", "call", "leave"
READY, LOADED, UNLOADABLE, VALUE, RAISED = "ready", "loaded", "unloadable", "value", "raised"

# Frames of this package are not the user's: this file is in workers, in blackbox, in it.
_SPANAX = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
# Exit code of a worker whose function closed the pipe to the parent: the message can then say so.
CUT_OFF = 97
GRACE = 1.0  # seconds between the signal to end and the one that ends
_LONGEST = 2_000  # characters of an exception's message that are passed on
_UNSENT = "returned what cannot be pickled"
# Errors that the text of the program has, at every input: they are not tried again.
_OF_THE_TEXT = (NameError, SyntaxError, ModuleNotFoundError, NotImplementedError)


class _Loop:
    """Answers the messages of the parent, one after the other, in the main thread."""

    def __init__(self, connection: Connection):
        self.connection = connection
        self.pipe = _identity(connection.fileno())
        self.functions: dict[str, Callable] = {}
        # Where the parent's main module is, until it is needed.
        self.main: dict[str, str] = {}
        self.leaving = False

    def run(self) -> None:
        while not self.leaving:
            self.check_pipe()
            kind, *rest = pickle.loads(self.connection.recv_bytes())
            if kind == CALL:
                self.reply(*self.call(*rest))
                _flush()
            elif kind == LOAD:
                self.reply(*self.load(*rest))
            elif kind == FORGET:
                del self.functions[rest[0]]
            elif kind == PREPARE:
                self.prepare(*rest)
                self.reply(READY)
            else:
                return

    def check_pipe(self) -> None:
        """A function may have closed it, and opened something else under its number."""
        if _identity(self.connection.fileno()) != self.pipe:
            raise OSError(errno.EBADF, "the pipe was closed")

    def reply(self, *message) -> None:
        self.check_pipe()
        self.connection.send_bytes(pickle.dumps(message, pickle.HIGHEST_PROTOCOL))

    def leave(self, *signal_and_frame) -> None:
        """Interrupts what runs, by `SystemExit`, so that its `finally` clauses and context managers run."""
        # Once: a second signal would interrupt the clean-up.
        if not self.leaving:
            self.leaving = True
            raise SystemExit

    def resend_signal(self, failed) -> None:
        """Where the signal to end came while Python drops exceptions, as in a `__del__`, it is sent again."""
        # Exceptions other than our own are reported as Python does.
        if not self.leaving or failed.exc_type is not SystemExit:
            sys.__unraisablehook__(failed)
            return
        self.leaving = False
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()

    def prepare(self, process: dict) -> None:
        self.main = {name: process.pop(name) for name in list(process) if name.startswith("init_main")}
        spawn.prepare(process)

    def unpickle(self, data: bytes):
        """Imports the parent's main module first, under another name, where the pickle may name it."""
        # Only then: a script may take seconds to import, and most functions come from modules.
        if self.main and b"__main__" in data:
            main, self.main = self.main, {}
            spawn.prepare(main)
        return pickle.loads(data)

    def load(self, name: str, data: bytes) -> tuple:
        try:
            self.functions[name] = self.unpickle(data)
        except BaseException as error:
            return UNLOADABLE, describe(error)
        return (LOADED,)

    def call(self, name: str, data: bytes) -> tuple:
        started = time.perf_counter()
        try:
            args, keywords = self.unpickle(data)
            value = self.functions[name](*args, **keywords)
        except BaseException as error:
            return RAISED, time.perf_counter() - started, explain(error), _sendable(error)
        seconds = time.perf_counter() - started
        try:
            return VALUE, seconds, pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
        except Exception as error:
            return RAISED, seconds, (_UNSENT, f"{_UNSENT}: {describe(error)}", False, ()), None


def explain(error) -> tuple[str, str, bool, tuple[str, ...]]:
    """The fields of a `Reason`. A `SpanaxError` has its own remedies, and says whether it will come again."""
    raised = f"raised {type(error).__name__}"
    if _is_spanax(error):
        text = f"{raised}: {_truncate(error.problem)}" + (f" (at {error.where})" if error.where else "")
        return error.kind or raised, text, error.lasting, tuple(error.remedies)
    return raised, f"raised {describe(error)}", _is_of_the_text(error), ()


def _is_spanax(error) -> bool:
    """Is it a `SpanaxError`? That is not imported here."""
    return any((base.__module__, base.__name__) == ("spanax._errors", "SpanaxError") for base in type(error).__mro__)


def _is_of_the_text(error: BaseException) -> bool:
    """Is it a fault of the program's text, or has the function been given arguments that it does not take?"""
    # A TypeError raised by the call itself, and not inside the function, has one frame: ours.
    if isinstance(error, TypeError):
        return error.__traceback__ is not None and error.__traceback__.tb_next is None
    return isinstance(error, _OF_THE_TEXT) and not isinstance(error, UnboundLocalError)


def describe(error: BaseException) -> str:
    """`ValueError: ... (at file:line)`: the innermost line of the user's own code, where there is one."""
    text = type(error).__name__
    # The class may fail to show itself.
    with contextlib.suppress(Exception):
        text += f": {error}" if str(error) else ""
    text, lines, step = _truncate(text), [], error.__traceback__
    while step is not None:
        lines.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    # The innermost line of the user's own code says more than one deep in NumPy.
    theirs = [line for line in lines[1:] if not _is_library(line[0])] or lines[1:]
    return "{} (at {}:{})".format(text, *theirs[-1]) if theirs else text


def _truncate(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]} ..."


def _is_library(file: str) -> bool:
    inside = (os.path.dirname(os.__file__), _SPANAX, "<frozen")
    return "site-packages" in file or file.startswith(inside)


def _sendable(error: BaseException) -> bytes | None:
    """An exception whose class does not pickle, or does not come back from a pickle, is sent as text only."""
    # An exception with a constructor of several arguments pickles, and fails only when it is unpickled.
    try:
        data = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
        pickle.loads(data)
    except Exception:
        return None
    return data


def _flush() -> None:
    """What was printed is not lost with a worker that is killed later."""
    for stream, fd in ((sys.stdout, 1), (sys.stderr, 2)):
        # The function may have closed or replaced the stream. Where it closed the descriptor, what is left in the buffer must go
        # somewhere, or Python would complain at the end of the process.
        with contextlib.suppress(AttributeError, OSError, ValueError):
            try:
                stream.flush()
            except OSError:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, fd)
                if nowhere != fd:
                    os.close(nowhere)
                stream.flush()


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _end_with_parent(fd: int) -> None:
    """Waits, in a thread of its own, for the parent's end of the connection to close; then ends this process and its children."""
    poll = select.poll()
    # No event but the hang-up: the messages are the main thread's.
    poll.register(fd, 0)
    poll.poll()
    # The whole group, this process among it: what the function started would otherwise outlive the parent.
    os.killpg(0, signal.SIGTERM)
    time.sleep(GRACE)
    os.killpg(0, signal.SIGKILL)


def main(fd: int) -> None:
    loop = _Loop(Connection(fd))
    # Ctrl-C is for the parent, which ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, loop.leave)
    sys.unraisablehook = loop.resend_signal
    threading.Thread(target=_end_with_parent, args=(fd,), daemon=True).start()
    try:
        loop.run()
    # The parent has ended, or the function has closed the pipe: its number may be another file's now, and must not be closed
    # again by an orderly exit.
    except EOFError:
        return
    except OSError:
        _flush()
        os._exit(CUT_OFF)


if __name__ == "__main__":
    main(int(sys.argv[1]))
