"""`supervise`: many evaluations on an executor, each tried until it succeeds or its attempts are used up.

It is a generator in the caller's thread. Futures that are done come by a queue, each with the index of its input; an attempt that
failed puts its index back. Nothing is kept for inputs that have not been sent.
"""

from __future__ import annotations

import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

from ..._errors import SpanaxError
from ..._jaxprs import here
from .._reason import DIED, Reason
from ._child import describe
from ._executors import BrokenError, Maker, submit, workers, works
from ._foreign import evaluate
from ._worker import LostError, Outcome, program
from .processes import Processes
from .run import Run

# Tasks for each worker that are with the executor at a time: enough that none waits for us, few enough that inputs
# stay small and an early end cancels little.
_AHEAD = 4


class BadResult(Exception):  # noqa: N818 (it says what the result is)
    """Raised by `accept` for a result that is NaN or does not fit: the attempt has failed; `kind` is for counting.

    `lasting`: another attempt would give the same.
    """

    def __init__(self, text: str, kind: str | None = None, *remedies: str, lasting: bool = False):
        super().__init__(text)
        self.reason = Reason(kind or text, text, lasting, remedies)


class Done(NamedTuple):
    """An evaluation that succeeded: what `accept` made of its result; `seconds` of the last attempt."""

    index: int
    value: Any
    seconds: float
    attempts: int


class Failed(NamedTuple):
    """An evaluation whose attempts are used up, or whose next attempt would fail as well; `why`: the last one's reason."""

    index: int
    why: Reason
    attempts: int

    @property
    def reason(self) -> str:
        return self.why.text


def supervise(
    run: Run, fn: Callable[..., Any], inputs: Sequence[Any], accept: Callable[[int, Any], Any], where: str | None = None
) -> Iterator[Done | Failed]:
    """fn of every input, in order of completion; each has up to 1 + `run.retries` attempts.

    A failure that is `lasting` (see `Reason`) has no other attempt.

    An input is fn's one argument, or a `Call` with several. `accept(index, result)` checks a result in this process, and
    raises `BadResult` where it is not one. `where`: the user's line, for messages (None: the current one). Inputs are taken
    when they are sent, four for each worker at a time. When the iterator is closed early, what waits is cancelled, and what
    runs is killed where the executor can do that. Several threads may share one executor.

    Raises `SpanaxError` where a timeout cannot be kept, the function cannot be sent to the workers or be loaded there, or the
    executor is broken and cannot be made anew; what had finished has been yielded before.
    """
    where, timeout = here() if where is None else where, run.timeout
    # A function that keeps its own time, such as an external program's, is killed better by itself, and works in any executor.
    if timeout is not None and hasattr(fn, "within"):
        fn, timeout = fn.within(timeout), None  # pyright: ignore[reportFunctionMemberAccess]
    if run.executor is None:
        _check_timeout(timeout, where)
        return _in_this_process(fn, inputs, accept, 1 + run.retries)
    return _Batch(run, fn, timeout, inputs, accept, where).results()


def _check_timeout(timeout: float | None, where: str, executor: str = "sx.Run(executor=None)") -> None:
    if timeout is not None:
        raise SpanaxError(
            f"{executor} cannot keep timeout={timeout:g}: nothing that runs in this process can be killed",
            "sx.Run(executor=sx.processes()), whose workers are killed",
            "sx.command for an external program: it is killed wherever it runs",
            "sx.Run(timeout=None)",
            where=where,
        )


def _in_this_process(fn: Callable, inputs: Sequence, accept: Callable, allowed: int) -> Iterator[Done | Failed]:
    for index in range(len(inputs)):
        # Each attempt has an input of its own, since fn may have changed the last one.
        for attempt in range(1, allowed + 1):
            end = _judge(index, attempt, evaluate(fn, inputs[index], (Exception, SystemExit)), accept)
            if isinstance(end, Done) or end.why.lasting:
                break
        yield end


def _judge(index: int, attempt: int, outcome: Outcome, accept: Callable) -> Done | Failed:
    if outcome.reason is not None:
        return Failed(index, outcome.reason, attempt)
    try:
        return Done(index, accept(index, outcome.value), outcome.seconds, attempt)
    except BadResult as error:
        return Failed(index, error.reason, attempt)


class _Batch:
    """The evaluations of one call, on an executor.

    When an executor breaks, it is not known which of its tasks did it. So none of them has lost an attempt: each runs once
    more, alone, and is the one to blame if the executor breaks again.
    """

    def __init__(self, run: Run, fn: Callable, timeout: float | None, inputs: Sequence, accept: Callable, where: str):
        self.run, self.fn, self.timeout, self.inputs, self.accept, self.where = run, fn, timeout, inputs, accept, where
        self.maker = run.executor if isinstance(run.executor, Maker) else None
        self.executor = self._make_executor()
        self.program = program(fn, where) if isinstance(self.executor, Processes) else None
        self.window = _AHEAD * workers(self.executor)
        self.fresh = iter(range(len(inputs)))
        self.again: deque[int] = deque()
        self.suspects: deque[int] = deque()
        self.failures: dict[int, int] = {}
        self.flying: dict[Future, int] = {}
        self.landed: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self.broken: BrokenError | None = None

    def _make_executor(self) -> Executor:
        executor = self.maker.executor(self.where) if self.maker else self.run.executor
        assert isinstance(executor, Executor)
        # Threads cannot be killed.
        if isinstance(executor, ThreadPoolExecutor):
            _check_timeout(self.timeout, self.where, "a pool of threads")
        return executor

    def results(self) -> Iterator[Done | Failed]:
        try:
            yield from self._together()
            while self.broken is not None:
                self._renew()
                while self.suspects:
                    end = self._alone(self.suspects.popleft())
                    if end is not None:
                        yield end
                yield from self._together()
        finally:
            self._drop()

    def _together(self) -> Iterator[Done | Failed]:
        """Until all is done, or the executor is broken and has given back what it had."""
        self._fill()
        while self.flying:
            end = self._settle(*self._first())
            if end is not None:
                yield end
            self._fill()

    def _next(self) -> int | None:
        return self.again.popleft() if self.again else next(self.fresh, None)

    def _fill(self) -> None:
        """Sends as much as the window holds."""
        while self.broken is None and len(self.flying) < self.window:
            index = self._next()
            if index is None:
                return
            self._launch(index)

    def _launch(self, index: int) -> None:
        try:
            future = self._send(index)
        except BrokenError as broken:
            self.again.appendleft(index)
            self.broken = broken
            return
        self.flying[future] = index
        future.add_done_callback(self.landed.put)

    def _send(self, index: int) -> Future:
        x = self.inputs[index]
        if self.program is not None:
            assert isinstance(self.executor, Processes)
            return self.executor.attempt(self.program, x, self.timeout, self.where)
        maker = self.maker
        if maker is None:
            return submit(self.executor, self.fn, x, self.timeout)
        maker.take_off()
        try:
            future = submit(self.executor, self.fn, x, self.timeout)
        except BaseException:
            maker.land()
            raise
        future.add_done_callback(lambda _: maker.land())
        return future

    def _settle(self, index: int, future: Future) -> Done | Failed | None:
        """The result of an attempt; None where the input is to be tried again."""
        try:
            outcome = future.result()
        # Somebody's worker died, and all tasks with it; or the executor was shut down from elsewhere.
        except (BrokenExecutor, CancelledError) as error:
            self.suspects.append(index)
            self.broken = BrokenError(f"{type(error).__name__}: {error}")
            return None
        except LostError as lost:
            outcome = Outcome(None, 0.0, lost.reason)
        except SpanaxError:
            raise
        except Exception as error:
            # The function's errors come as outcomes: this one is the executor's own.
            outcome = Outcome(None, 0.0, self._trouble(error))
        return self._count_attempt(index, outcome, self.again)

    def _count_attempt(self, index: int, outcome: Outcome, again: deque[int]) -> Done | Failed | None:
        attempt = self.failures.pop(index, 0) + 1
        end = _judge(index, attempt, outcome, self.accept)
        if isinstance(end, Failed) and attempt <= self.run.retries and not end.why.lasting:
            self.failures[index] = attempt
            again.append(index)
            return None
        return end

    def _alone(self, index: int) -> Done | Failed | None:
        """An attempt with nothing else on the executor: if that breaks, it is this input's doing."""
        assert self.maker is not None
        with self.maker.alone():
            self.executor = self._make_executor()
            self._launch(index)
            end = self._settle(*self._first()) if self.flying else None
        if self.broken is None:
            return end
        # It broke while nothing else ran: that counts as this input's failed attempt. Otherwise the executor was broken before.
        self._renew()
        if self.suspects and self.suspects[-1] == index:
            self.suspects.pop()
            died = Reason(DIED, f"{DIED}, and the executor with it")
            return self._count_attempt(index, Outcome(None, 0.0, died), self.suspects)
        return end

    def _first(self) -> tuple[int, Future]:
        """The next attempt in flight that is done."""
        future = self.landed.get()
        return self.flying.pop(future), future

    def _renew(self) -> None:
        """Another executor in the place of the broken one."""
        broken = self.broken
        if self.maker is None:
            raise SpanaxError(
                f"the executor is broken: {broken}",
                "sx.Run(executor=sx.processes()), which replaces a worker that dies",
                "a function that makes the executor, as it can be called again: executor=lambda: ProcessPoolExecutor(4)",
                "sx.Store(path, version) keeps what was evaluated, so that another call continues from there",
                where=self.where,
            )
        self.maker.discard(self.executor)
        self.executor, self.broken = self._make_executor(), None
        # A new executor that cannot run even `os.getpid` would keep breaking, and we would make another one each
        # time.
        if not works(self.executor):
            raise SpanaxError(
                f"the executor is broken, and so is a new one: {broken}",
                'a script that starts workers keeps what it runs under `if __name__ == "__main__":`, for a worker imports it',
                "sx.Run(executor=sx.processes())",
                "sx.Run(executor=None) runs the function in this process",
                where=self.where,
            )

    def _drop(self) -> None:
        """Cancels what waits, and kills what runs where the executor can do that."""
        end = getattr(self.executor, "kill", Future.cancel)
        for future in self.flying:
            end(future)

    def _trouble(self, error: Exception) -> Reason:
        # Versions of Python raise PicklingError, AttributeError or TypeError for it: only the words tell.
        text = f"{type(error).__name__}: {error}".lower()
        if "pickle" in text or "can't get local object" in text:
            raise SpanaxError(
                f"the executor cannot send the function, its input or its result: {type(error).__name__}: {error}",
                "the function at the top level of a module, and results of NumPy arrays",
                "sx.Run(executor=None) runs the function in this process",
                where=self.where,
            ) from error
        return Reason("was lost by the executor", f"was lost by the executor: {describe(error)}")
