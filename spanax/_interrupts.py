"""Ctrl-C and SIGTERM in the command `spanax`, from its first import to its last line. Not for users of the library.

JAX's compiler runs in threads of its own. An interrupt ends the wait for the compiler but not the compiler, which then finds its
client gone when the interpreter is torn down, and crashes. So an interrupted command never gets there: it writes what it has and
leaves by `os._exit`.

The system reports a signal to a thread of its own, whatever the main thread does, and that thread acknowledges it at once. Inside
`Work`, the main thread then gets one `KeyboardInterrupt`; anywhere else the command ends immediately. A second signal always ends
it, and so does a main thread that cannot be reached while there are no results to wait for.
"""

from __future__ import annotations

import _signal as signal  # pyright: ignore[reportMissingImports]  # without the enumerations, whose import would take long here
import os
import sys

STATUSES: dict[int, int] = {signal.SIGINT: 130, signal.SIGTERM: 143}  # 128 + the signal, as shells report it
PATIENCE = 3.0  # seconds for the main thread to end, where there are no results
GRACE = 1.0  # seconds for other processes between the signal to end and the one that ends
_ONE_PRESS = 0.2  # seconds: what comes sooner is the same signal, passed on by a program around this one


class _State:
    """What the main thread and the watching thread share."""

    # Only assignments and `pop`, which the interpreter makes atomic: a lock that the interrupted code holds would never open
    # for its handler.

    number = 0  # the first signal; 0: none yet
    installed = raises = raised = keeps = over = False
    resent = 0  # signals of our own

    def __init__(self):
        # Only one thread acts: the one that takes the item.
        self.to_say, self.to_leave = [True], [True]


_state = _State()


def requested() -> bool:
    """Has the command been told to end?"""
    return bool(_state.number)


def keep() -> None:
    """From now on there are results, and the command may take its time to write them."""
    _state.keeps = True


class Work:
    """A block in which the first signal is a `KeyboardInterrupt`, where the signals are watched."""

    def __enter__(self) -> None:
        _state.raises = True

    def __exit__(self, *error: object) -> None:
        _state.raises = False


def install() -> None:
    """Watches the signals, unless they are watched already or the process was started with them ignored."""
    if _state.installed or os.name != "posix" or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return
    _state.installed = True
    for number in STATUSES:
        signal.signal(number, _handle)
    # These imports take time, so they come after the handlers: from here on no signal is lost.
    import atexit
    import threading

    source, sink = os.pipe()
    os.set_blocking(sink, False)
    signal.set_wakeup_fd(sink, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(source,), name="spanax-signals", daemon=True).start()
    sys.unraisablehook = _unraisable
    # atexit runs in reverse order: registered first, this runs last.
    atexit.register(_ignore)
    os.register_at_fork(after_in_child=_forget)


def finish(status: int) -> None:
    """Ends the command; after a signal by `os._exit`, with the status of that signal."""
    _state.over = True
    if requested():
        import contextlib

        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, OSError, ValueError):  # nobody reads it
                stream.flush()
        _end(GRACE)
    sys.exit(status)


# -- the main thread


def _handle(number: int, frame: object) -> None:
    if _state.over or _state.raised:
        return
    _state.number = _state.number or number
    if not _state.raises:
        _leave()
    _state.raised = True
    _acknowledge()
    # JAX logs the traceback of an interrupted callback: the user asked for the end and needs no traceback.
    if "logging" in sys.modules:
        sys.modules["logging"].disable(sys.modules["logging"].CRITICAL)
    raise KeyboardInterrupt


def _unraisable(failed: sys.UnraisableHookArgs) -> None:
    """Sends an interrupt again that came where Python drops exceptions, such as in a `__del__`."""
    if requested() and failed.exc_type is KeyboardInterrupt:
        import threading

        # A little later, because the frame that dropped the first one may still be running.
        def again() -> None:
            _state.raised = False
            _state.resent += 1
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

        threading.Timer(0.02, again).start()
    else:
        sys.__unraisablehook__(failed)


def _ignore() -> None:
    for number in STATUSES:
        signal.signal(number, signal.SIG_IGN)


def _forget() -> None:
    """A forked child is not the command: it gets Python's own handlers back."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    sys.unraisablehook = sys.__unraisablehook__


# -- the thread that watches


def _watch(source: int) -> None:
    import select
    import time

    first = 0.0
    while True:
        # After the first signal the main thread has PATIENCE to end, unless it is writing results.
        waits = None if not first or _state.keeps else max(first + PATIENCE - time.monotonic(), 0)
        if not select.select([source], [], [], waits)[0]:
            _leave()
        for number in os.read(source, 64):
            if number in STATUSES:
                first = _receive(number, first, time.monotonic())


def _receive(number: int, first: float, now: float) -> float:
    """Acts on a signal that arrives `now`. Returns the time of the first signal; `first` is 0 if there was none before."""
    if _state.resent:
        # The handler of the main thread sent this one again: the user pressed nothing.
        _state.resent -= 1
        return first
    if first:
        if now > first + _ONE_PRESS:
            _end(grace=0.0)
        return first
    _state.number = number
    if not (_state.raises or _state.raised):
        _leave()
    _acknowledge()
    return now


def _acknowledge() -> None:
    if _take(_state.to_say):
        _say(f"{_new_line()}spanax: stopping; Ctrl-C once more leaves at once\n")


def _leave() -> None:
    """Ends the command here and now."""
    if not _take(_state.to_leave):
        # The other thread is ending the process: this one must not run on meanwhile.
        signal.pause()
    _say(f"{_new_line()}spanax: interrupted\n")
    _end(GRACE)


def _take(items: list) -> bool:
    """Takes the item, if it is still there. `pop` is atomic: of two threads, one gets it."""
    try:
        return items.pop()
    except IndexError:
        return False


def _new_line() -> str:
    """A terminal has printed ^C at the cursor: start a new line there."""
    return "\r\n" if os.isatty(2) else ""


def _say(text: str) -> None:
    try:
        os.write(2, text.encode())
    except OSError:  # nobody reads it
        return


def _end(grace: float) -> None:
    """Ends the processes that this one started, and then this one, without Python's own shutdown."""
    _end_descendants(grace)
    if os.isatty(2):
        # A progress line hides the cursor: show it again.
        _say("\x1b[?25h")
    os._exit(STATUSES.get(_state.number, STATUSES[signal.SIGINT]))


# -- other processes


def _end_descendants(grace: float) -> None:
    import time

    last = time.monotonic() + grace
    number = signal.SIGTERM if grace else signal.SIGKILL
    while running := _descendants():
        if number:
            _signal(running, number)
            number = 0
        if time.monotonic() >= last:
            _signal(running, signal.SIGKILL)
            return
        time.sleep(0.02)


def _signal(pids: list[int], number: int) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except OSError:  # it has ended
            continue


def _descendants() -> list[int]:
    """The processes that this one started, and those that they started; none if there is no /proc.

    Python's resource trackers are left out: they clean up after the others, and end by themselves.
    """
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc") if os.path.isdir("/proc/self") else ():
        if entry.isdigit() and (parent := _parent(entry)):
            children.setdefault(parent, []).append(int(entry))
    descendants, new = [], [os.getpid()]
    while new:
        new = [child for pid in new for child in children.get(pid, ())]
        descendants += new
    return descendants


def _parent(pid: str) -> int:
    """The parent of a process; 0 for one that has ended, or that is to be left alone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program stands in parentheses and may hold spaces and parentheses of its own.
            state, parent = file.read().rpartition(b")")[2].split()[:2]
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return 0 if state in b"ZX" or b"resource_tracker" in file.read() else int(parent)
    except OSError:
        return 0


def _is_command() -> bool:
    """Was this process started as `spanax` or as `python -m spanax`? Its workers have other command lines."""
    if sys.argv[:1] == ["-m"]:
        return ("-m", "spanax") in zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return bool(sys.argv) and os.path.basename(sys.argv[0]) == "spanax" and sys.argv[0] in sys.orig_argv


if _is_command():
    install()
