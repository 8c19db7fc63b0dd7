"""What the workers of somebody else's executor run: one evaluation, directly or in a child process that can be killed.

Executors other than ours cannot kill one task. So with a timeout each thread of a worker has a child process of its own,
the same program as our workers run, and kills that.
"""

from __future__ import annotations

import copy
import pickle
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

from .._reason import DIED, TOO_LONG, Reason
from . import _child
from ._worker import Outcome, Program, Worker, arguments, as_call, program

_NOT_LOADED = "cannot be loaded in a child process"
# Children in a row that died before they had loaded the function: a child may have died idle since its last
# evaluation.
_NO_CHILD = 2

_of_thread = threading.local()


def evaluate(fn: Callable[..., Any], x: Any, caught: Any = Exception) -> Outcome:
    """fn(x), or why there is none."""
    args, keywords = as_call(x)
    started = time.perf_counter()
    try:
        value = fn(*args, **keywords)
    except caught as error:
        return Outcome(None, time.perf_counter() - started, Reason(*_child.explain(error)))
    return Outcome(value, time.perf_counter() - started, None)


def evaluate_apart(fn: Callable[..., Any], x: Any, ticket: str) -> Outcome:
    """The same in a worker. `ticket`: unlike any other, as dask takes equal calls for one and runs them once."""
    # SystemExit: a script that calls sys.exit would end the worker, and break the executor with it.
    outcome = evaluate(fn, x, (Exception, SystemExit))
    # In a pool of threads the next call may write into the same arrays.
    return outcome._replace(value=copy.deepcopy(outcome.value))


def evaluate_within(fn: Callable[..., Any], x: Any, ticket: str, timeout: float) -> Outcome:
    """The same in a child process of this one, which is killed after `timeout` seconds, and with it what it started.

    There is a child for each thread. It lives on for the next evaluation, and dies with this process.
    """
    function, args = program(fn, "", _pickle_function), arguments(*as_call(x), "")
    for _ in range(_NO_CHILD):
        child = _child_with(function)
        if isinstance(child, Worker):
            break
    else:
        return Outcome(None, 0.0, child)
    started = time.perf_counter()
    try:
        child.call(function, args)
        answer = child.receive() if child.connection.poll(timeout) else ()
    except BaseException:
        # An interrupt is meant for what runs.
        _put_away(child)
        raise
    # () where the time is over, None where the pipe closed.
    if answer:
        return _outcome(answer)
    seconds = time.perf_counter() - started
    if answer is None:
        _of_thread.child = None
        return Outcome(None, seconds, Reason(DIED, child.end()))
    _put_away(child)
    return Outcome(None, seconds, Reason(TOO_LONG, f"{TOO_LONG} {timeout:g} s and was killed"))


def _child_with(function: Program) -> Worker | Reason:
    """This thread's child, with the function loaded; or how it ended instead."""
    child = getattr(_of_thread, "child", None)
    if child is None:
        child = _of_thread.child = Worker(threading.get_ident())
        # A thread that ends takes its child with it.
        weakref.finalize(child, child.process.kill)
        child.receive()
    if not child.load(function):
        return child
    answer = child.receive()
    if answer is not None and answer[0] == _child.LOADED:
        child.has_loaded(function)
        return child
    _of_thread.child = None
    if answer is None:
        return Reason(DIED, child.end())
    return Reason(_NOT_LOADED, f"{_NOT_LOADED}: {answer[1]}", lasting=True)


def _put_away(child: Worker) -> None:
    _of_thread.child = None
    child.terminate()
    while child.is_alive() and time.monotonic() < child.ends_at:
        time.sleep(0.01)
    child.kill()


def _outcome(answer: tuple) -> Outcome:
    kind, seconds, payload = answer[:3]
    if kind == _child.RAISED:
        return Outcome(None, seconds, Reason(*payload))
    return Outcome(pickle.loads(payload), seconds, None)


def _pickle_function(fn: Callable) -> bytes:
    """By value, where the executor itself has sent the function by value."""
    try:
        return pickle.dumps(fn, pickle.HIGHEST_PROTOCOL)
    except Exception:
        try:
            import cloudpickle  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError:
            raise
        return cloudpickle.dumps(fn)
