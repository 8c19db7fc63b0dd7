"""The thread of a pool that owns its workers: it starts them, hands them tasks, and ends those that take too long.

Standard pools share queues among their workers. A worker that dies while it holds a queue's lock blocks all others, so they
declare the whole pool broken when any worker dies, and they cannot kill one that hangs. Here each worker has a pipe of its
own, which one thread of the parent listens to, and whatever happens to a worker concerns one task.

**The states of a seat.** A seat is a place for a worker, made when there is a task and no idle worker, up to the pool's size:

    starting   the process was spawned and sent what it needs for its imports; its READY is awaited
    loading    it was sent the task's function; LOADED or UNLOADABLE is awaited. A worker keeps the last 16 functions
    running    it was sent the arguments; `running` is set, and the deadline, if the task has a timeout, starts here
    idle       `task` is None; it keeps its process and its functions for the next task

Importing and loading are not the task's: no deadline runs, and a worker that dies then has done nothing with it. From every
state a seat is left in one of two ways:

    dismissed  we end the worker. Idle ones are asked to LEAVE; one whose task is late, unwanted or abandoned gets SIGTERM, so
               that it may clean up. It is listened to no longer, waits in `dying`, and is killed with its process group a
               second later
    buried     the worker ended by itself: its pipe closed, or, where a child of its own holds the pipe open, a look at the
               process shows it. It is reaped at once

**Who is to blame.** A death while running fails that task (`LostError`), which `sx.Run` may repeat. A death before that
puts the task back at the head of the queue, for another worker; a second one in a row means that no worker can load this
function, or start at all, and ends all tasks of that function with an error.

**Who owns what.** The thread alone touches seats, `dying`, `deaths`, the selector and the workers: none of these needs a
lock. Other threads reach it through what `lock` guards: the queue, the set of unwanted futures, and the flags `leaving`,
`abandoned` and `sleeping`. They hold it for a few statements, then write a byte to `bell`, which wakes the thread; `submit`
spares itself that while the thread is awake (`sleeping` is False), since it looks at the queue before it sleeps. The lock
is reentrant, for two reasons: a pool may be collected, and so stopped, inside any statement; and a future that is cancelled
or failed calls back into user code, which may submit. A future has a lock of its own, and only its result is set from here.
The child has no lock at all: one thread answers messages, and another one waits for the parent's end of the pipe to close,
then ends the process group.

The lock of `_executors.Maker` is another one, of a `Run` whose executor is made anew when it breaks: it counts the tasks in
flight, and lets one task in alone.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

from ..._errors import SpanaxError
from . import _child
from ._worker import LostError, Program, Worker

# Seconds between two looks at whether a worker lives: only for those whose pipe somebody else holds open.
_TICK = 0.5
_SHORT_TICK = 0.02  # the same while workers are ending
# In a row, of workers that had not even loaded a function. One may be an accident, such as a full memory.
_DEATHS = 2


class Task(NamedTuple):
    """One call. `finish(future, answer)` turns the worker's answer into the future's result; `owner` is kept alive by it."""

    program: Program
    arguments: bytes
    timeout: float | None
    future: Future
    finish: Callable[[Future, tuple], None]
    where: str
    owner: Any


class _Seat:
    """A worker and what it does; see above. `deadline` is inf except while a task with a timeout runs."""

    def __init__(self, worker: Worker, task: Task):
        self.worker = worker
        self.task: Task | None = task
        self.running = False
        self.deadline = float("inf")


class Dispatcher:
    """Everything except `submit`, `kill` and `stop` belongs to its thread."""

    def __init__(self, size: int):
        self.size = size
        self.lock = threading.RLock()
        self.queue: deque[Task] = deque()
        self.unwanted: set[Future] = set()
        self.thread: threading.Thread | None = None
        self.leaving = self.abandoned = False
        # The thread waits with nothing to do for a worker, so that a new task must wake it.
        self.sleeping = False
        self.seats: list[_Seat] = []
        self.dying: list[Worker] = []
        self.deaths = 0
        self.started = 0
        self.next_look = 0.0
        self.selector = selectors.DefaultSelector()
        self.alarm, self.bell = os.pipe()
        os.set_blocking(self.bell, False)
        self.selector.register(self.alarm, selectors.EVENT_READ)

    # -- from any thread

    def submit(self, task: Task) -> bool:
        """False where the pool has been shut down."""
        with self.lock:
            if self.leaving:
                return False
            self.queue.append(task)
            if self.thread is None:
                self.thread = threading.Thread(target=self._run, name="spanax-processes", daemon=True)
                self.thread.start()
            wake, self.sleeping = self.sleeping, False
        if wake:
            self._wake()
        return True

    def kill(self, future: Future) -> None:
        """Ends the worker that runs it; a task that waits is cancelled."""
        if not future.cancel():
            with self.lock:
                self.unwanted.add(future)
            self._wake()

    def stop(self, *, wait: bool, cancel: bool = False, abandon: bool = False) -> None:
        """Accepts no further tasks. `cancel`: those that wait are cancelled; `abandon`: those that run are killed as well."""
        with self.lock:
            self.leaving = True
            self.abandoned |= abandon
            waiting = list(self.queue) if cancel or abandon else []
            thread = self.thread
        for task in waiting:
            task.future.cancel()
        if thread is None:
            self._close()
            return
        self._wake()
        # A callback of a future may shut the pool down, in this very thread.
        if wait and thread is not threading.current_thread():
            thread.join()

    def _wake(self) -> None:
        # Full, so that it rings anyhow; or closed, and the thread has ended.
        with contextlib.suppress(OSError):
            os.write(self.bell, b"x")

    # -- the thread

    def _run(self) -> None:
        try:
            while not self._is_over():
                for key, _ in self.selector.select(self._patience()):
                    if key.data is None:
                        os.read(self.alarm, 4096)
                    else:
                        self._receive(key.data)
                self._kill_unwanted()
                self._look_after()
                self._assign()
        finally:
            # Whatever ended the loop, no process is left behind.
            for worker in [seat.worker for seat in self.seats] + self.dying:
                worker.kill()
            self._close()

    def _close(self) -> None:
        with self.lock:
            if self.bell >= 0:
                self.selector.close()
                os.close(self.alarm)
                os.close(self.bell)
                self.bell = -1

    def _is_over(self) -> bool:
        """Ends workers when the pool is to end: idle ones when nothing is left in the queue, all where it was abandoned."""
        with self.lock:
            abandoned = self.abandoned
            if abandoned:
                self._drop_queue()
            over = self.leaving and not self.queue
        if over or abandoned:
            self._send_home(abandoned)
        return over and not self.seats and not self.dying

    def _drop_queue(self) -> None:
        while self.queue:
            task = self.queue.popleft()
            # A task that comes back from a dead worker has been running and cannot be cancelled.
            if not task.future.cancel():
                task.future.set_exception(_shut_down(task))

    def _send_home(self, abandoned: bool) -> None:
        for seat in list(self.seats):
            if seat.task is None:
                seat.worker.ask_to_leave()
                self._dismiss(seat)
            elif abandoned:
                self._give_up(seat, _shut_down(seat.task))

    def _patience(self) -> float | None:
        """Seconds to listen: until the next deadline, or indefinitely where no worker has anything to do."""
        if not self.dying and all(seat.task is None for seat in self.seats):
            with self.lock:
                return 0 if self.queue else None
        soonest = min([seat.deadline for seat in self.seats] + [worker.ends_at for worker in self.dying])
        return min(max(soonest - time.monotonic(), 0), _SHORT_TICK if self.dying else _TICK)

    def _receive(self, seat: _Seat) -> None:
        # It was dismissed while this event waited to be served.
        if seat not in self.seats:
            return
        answer = seat.worker.receive()
        if answer is None:
            self._bury(seat)
        elif answer[0] in (_child.VALUE, _child.RAISED):
            task, seat.task, seat.running, seat.deadline = seat.task, None, False, float("inf")
            # The worker gets its next task before the callbacks of this future take their time.
            self._assign()
            if task is not None:
                task.finish(task.future, answer)
        elif answer[0] == _child.UNLOADABLE:
            self._cannot_start(seat, answer[1])
        else:
            if answer[0] == _child.LOADED and seat.task is not None:
                seat.worker.has_loaded(seat.task.program)
                self.deaths = 0
            self._go_on(seat)

    def _go_on(self, seat: _Seat) -> None:
        """The next step of a task on its worker: the function, if it must be loaded, and then the call."""
        task = seat.task
        if task is not None and not seat.worker.load(task.program):
            seat.running = True
            seat.deadline = float("inf") if task.timeout is None else time.monotonic() + task.timeout
            seat.worker.call(task.program, task.arguments)

    def _assign(self) -> None:
        """Tasks to idle workers, and to new ones."""
        while True:
            # An idle worker first: a new one takes 50 ms, and its imports.
            seat = next((seat for seat in self.seats if seat.task is None), None)
            if seat is None and len(self.seats) >= self.size:
                return
            task = self._next_task()
            if task is None:
                return
            if seat is None:
                self._start(task)
            else:
                seat.task = task
                self._go_on(seat)

    def _next_task(self) -> Task | None:
        with self.lock:
            while self.queue:
                task = self.queue.popleft()
                # It is running already where it comes back from a dead worker.
                if task.future.running() or task.future.set_running_or_notify_cancel():
                    return task
            self.sleeping = True
        return None

    def _start(self, task: Task) -> None:
        self.started += 1
        try:
            worker = Worker(self.started)
        except OSError as error:
            task.future.set_exception(
                SpanaxError(f"a worker process cannot be started: {error}", "fewer processes", where=task.where)
            )
            return
        seat = _Seat(worker, task)
        self.seats.append(seat)
        self.selector.register(worker.connection, selectors.EVENT_READ, seat)

    # -- ends of workers

    def _dismiss(self, seat: _Seat) -> None:
        """Listens to it no longer; it will be killed in a second if it has not ended by then."""
        self.selector.unregister(seat.worker.connection)
        self.seats.remove(seat)
        self.dying.append(seat.worker)

    def _give_up(self, seat: _Seat, error: Exception) -> None:
        task = seat.task
        seat.worker.terminate()
        self._dismiss(seat)
        if task is not None:
            task.future.set_exception(error)

    def _bury(self, seat: _Seat) -> None:
        """A worker has died. A task that it had begun has failed; otherwise another worker takes it."""
        self.selector.unregister(seat.worker.connection)
        self.seats.remove(seat)
        ended, task = seat.worker.end(), seat.task
        if task is not None and seat.running:
            task.future.set_exception(LostError(ended, where=task.where))
        elif task is not None:
            self.deaths += 1
            with self.lock:
                self.queue.appendleft(task)
            if self.deaths >= _DEATHS:
                self._fail_all(task.program, f"{ended} {self.deaths} times in a row before it had loaded the function")

    def _cannot_start(self, seat: _Seat, text: str) -> None:
        task = seat.task
        self._dismiss(seat)
        seat.worker.terminate()
        if task is not None:
            with self.lock:
                self.queue.appendleft(task)
            self._fail_all(task.program, text)

    def _fail_all(self, program: Program, reason: str) -> None:
        """Ends all tasks of a function that no worker can load."""
        self.deaths = 0
        with self.lock:
            # Only the tasks of that function: others may be fine.
            hopeless = [task for task in self.queue if task.program.name == program.name]
            self.queue = deque(task for task in self.queue if task.program.name != program.name)
        for task in hopeless:
            if task.future.running() or task.future.set_running_or_notify_cancel():
                task.future.set_exception(_no_start(program, reason, task.where))

    def _kill_unwanted(self) -> None:
        with self.lock:
            unwanted, self.unwanted = self.unwanted, set()
        for seat in list(self.seats) if unwanted else ():
            if seat.task is not None and seat.task.future in unwanted:
                self._give_up(
                    seat, LostError("its process was killed: its result is no longer wanted", where=seat.task.where)
                )

    def _look_after(self) -> None:
        """Enforces deadlines; detects workers that died without closing their pipe."""
        now = time.monotonic()
        # A look at a process is a system call for each worker: twice a second, not after every message.
        looks = self.next_look <= now
        for seat in list(self.seats):
            if seat.deadline <= now and seat.task is not None:
                late = f"took longer than {seat.task.timeout:g} s and was killed"
                self._give_up(seat, LostError(late, where=seat.task.where))
            # A result that lies in the pipe is still received.
            elif looks and not seat.worker.is_alive() and not seat.worker.connection.poll():
                self._bury(seat)
        if looks:
            self.next_look = now + _TICK
        self._kill_overdue(now)

    def _kill_overdue(self, now: float) -> None:
        for worker in self.dying[:]:
            if worker.ends_at <= now or not worker.is_alive():
                # Also where it has ended by itself: its group may have members left.
                worker.kill()
                self.dying.remove(worker)


def _shut_down(task: Task) -> LostError:
    return LostError("its process was killed: the pool was shut down", where=task.where)


def _no_start(program: Program, reason: str, where: str) -> SpanaxError:
    return SpanaxError(
        f"no worker process can load {program.function}: {reason}",
        'a script that starts workers keeps what it runs under `if __name__ == "__main__":`, for a worker imports the script',
        "the function at the top level of a module that a worker can import (what a notebook defines, it cannot)",
        "sx.Run(executor=None) runs the function in this process",
        where=where,
    )
