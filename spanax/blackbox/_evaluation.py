"""A batch of points in, their values out, by way of the store and the workers.

Rows that the store has, or that appear twice, are not evaluated. The others go to the workers: one by one; or, where the function
is `batched`, together first, and one by one where that failed, so that one bad point does not cost the others their values.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._progress import progress
from ._host import Host
from ._memory import Memory, unpack
from ._points import Points, as_index
from ._reason import Reason
from ._request import COMPLEX, Misfit, Request, has_nan, nan_rows
from ._verdicts import check_balance, check_inside, check_kept, check_resolution
from .workers._supervisor import BadResult, Done, Failed, supervise
from .workers._worker import Call
from .workers.run import Run, workers

NAN = "returned NaN"
_NAN_INPUT = Reason("the input holds a NaN", "the input holds a NaN")


def evaluate(host: Host, request: Request, arrays: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
    """The results, a row for each row of the arrays, and which rows there are: all, unless some were dropped.

    The last of the arrays are the seeds, where the function is noisy.
    """
    started = time.perf_counter()
    points = Points(host, request, arrays)
    try:
        return _results(points)
    finally:
        host.counter.add(calls=1, evaluations=points.evaluations, seconds=time.perf_counter() - started)


def _results(points: Points) -> tuple[list[np.ndarray], np.ndarray]:
    request, host = points.request, points.host
    # Before anything runs: a simulator out of its bounds may hang, or break what it drives.
    if request.bounds:
        check_inside(points)
    if host.store is None:
        _Evaluation(points, None).run(range(points.rows))
    else:
        ledger = host.store.ledger(request.layout(host.identity, points.leaves))
        _evaluate_new(points, Memory(ledger, points.leaves, points.seeds))
    kept = np.ones(points.rows, bool)
    if points.failed:
        kept[list(points.failed)] = False
        points.blank(~kept)
        check_kept(points, kept)
        if request.random:
            check_balance(points, kept)
    if request.lever:
        check_resolution(points)
    return points.results, kept


def _evaluate_new(points: Points, memory: Memory) -> None:
    """Evaluates what the store does not have, each point once, and keeps it."""
    rows, outputs, missing = memory.look_up()
    if rows:
        points.fill(rows, unpack(outputs, points.request.outs))
    try:
        _Evaluation(points, memory).run(missing)
    finally:
        # Also after an error or Ctrl-C: what succeeded is not evaluated again.
        memory.flush()
    twins, first = memory.twins()
    for result in points.results:
        result[twins] = result[first]
    for i, j in zip(twins, first, strict=True):
        if j in points.failed:
            points.give_up(points.failed[j]._replace(index=i))
    points.host.counter.add(hits=points.rows - len(missing))


class _Evaluation:
    """Evaluates rows of one batch; results that fit go to `points`, and to `memory` where there is a store."""

    def __init__(self, points: Points, memory: Memory | None):
        self.points, self.memory = points, memory
        self.host, self.request = points.host, points.request
        self.advance: Callable[..., None] = _ignore

    def run(self, rows: Sequence[int]) -> None:
        rows = self._without_nan(rows)
        if not rows:
            return
        with progress(len(rows), self.host.name) as self.advance:
            if self.host.batched:
                self._run_together(rows)
            else:
                self._run_one_by_one(rows, self.host.run)

    def _without_nan(self, rows: Sequence[int]) -> Sequence[int]:
        """A point that is NaN is not worth an evaluation."""
        bad = nan_rows(self.points.leaves)
        if bad is None:
            return rows
        for i in rows:
            if bad[i]:
                self.points.give_up(Failed(i, _NAN_INPUT, 0))
        return [i for i in rows if not bad[i]]

    def _run_together(self, rows: Sequence[int]) -> None:
        """In one call of the function, or one for each worker; then what failed, one by one."""
        lost, nan, run = [], [], self.host.run
        for chunk, end in self._in_one_call(rows) if run.executor is None else self._in_chunks(rows):
            if isinstance(end, Done):
                nan += self._take_rows_without_nan(chunk, end)
                continue
            lost += chunk
            # What cannot succeed is not tried row by row, only to fail as often as there are rows.
            if end.why.lasting and not self.host.drops:
                self.points.give_up(end._replace(index=chunk[0]))
        # Which row a chunk failed for is not known: none has used up an attempt.
        if lost:
            self.host.counter.add(retries=len(lost))
            # Sorted, so that seeds, stores and messages do not depend on which worker was faster.
            self._run_one_by_one(sorted(lost), run)
        if nan:
            self._retry(nan, run)

    def _retry(self, nan: Sequence[int], run: Run) -> None:
        """Rows whose first attempt gave NaN."""
        if run.retries:
            self.host.counter.add(retries=len(nan))
            self._run_one_by_one(nan, dataclasses.replace(run, retries=run.retries - 1))
        else:
            for i in nan:
                self.points.give_up(Failed(i, Reason(NAN, NAN), 1))

    def _in_one_call(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Done | Failed]]:
        yield rows, next(self._supervise(self.host.once, [rows], several=True))

    def _in_chunks(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Done | Failed]]:
        run = self.host.run
        chunks = _chunks(rows, workers(run.executor))
        # A timeout is for one evaluation: a chunk has that of all its rows together.
        shared = dataclasses.replace(self.host.once, timeout=run.timeout and run.timeout * len(chunks[0]))
        for end in self._supervise(shared, chunks, several=True):
            yield chunks[end.index], end

    def _take_rows_without_nan(self, chunk: Sequence[int], end: Done) -> list[int]:
        """Takes over the rows of a chunk that hold no NaN, and returns the others."""
        arrays, bad, each = end.value, nan_rows(end.value), end.seconds / len(chunk)
        # The common case without a copy.
        good = chunk
        if bad is not None:
            good = [i for i, nan in zip(chunk, bad, strict=True) if not nan]
            arrays = [array[~bad] for array in arrays]
        self._take(good, arrays, each)
        self.advance(len(good))
        return [] if bad is None else [i for i, nan in zip(chunk, bad, strict=True) if nan]

    def _run_one_by_one(self, rows: Sequence[int], run: Run) -> None:
        tasks = [[i] for i in rows] if self.host.batched else rows
        for end in self._supervise(run, tasks, several=False):
            i = rows[end.index]
            if end.attempts > 1:
                self.host.counter.add(retries=end.attempts - 1)
            if isinstance(end, Failed):
                self.points.give_up(end._replace(index=i))
                self.advance(1, failed=1)
            else:
                arrays = end.value if self.host.batched else [array[None] for array in end.value]
                self._take(range(i, i + 1), arrays, end.seconds)
                self.advance()

    def _take(self, rows: Sequence[int], arrays: Sequence[np.ndarray], seconds: float) -> None:
        self.points.fill(as_index(rows), arrays)
        self.points.evaluations += len(rows)
        if self.memory is not None:
            self.memory.keep(rows, arrays, seconds)

    def _supervise(self, run: Run, tasks: Sequence[int | Sequence[int]], *, several: bool) -> Iterator[Done | Failed]:
        """Each task is one row, without its axis or with it, or `several` rows, of which some may be NaN."""

        def accept(k: int, raw: Any) -> list[np.ndarray]:
            task = tasks[k]
            arrays = self._as_declared(raw, None if isinstance(task, int) else len(task))
            if not several and any(map(has_nan, arrays)):
                raise BadResult(NAN)
            if self.request.kind == COMPLEX:
                self._check_real_value([task] if isinstance(task, int) else task, arrays)
            return arrays

        return supervise(run, self.request.fn, _Calls(self.points, tasks), accept, self.request.where)

    def _as_declared(self, raw: Any, rows: int | None) -> list[np.ndarray]:
        try:
            return self.request.accept(raw, rows)
        except Misfit as misfit:
            # A function none of whose results has fitted yet never will, and is not tried again; one that has fitted before has
            # had an accident.
            _, _, _, remedies = misfit.reason
            lasting = not self.points.has_evaluated
            raise BadResult(str(misfit), misfit.reason.kind, *remedies, lasting=lasting) from misfit

    def _check_real_value(self, rows: Sequence[int], arrays: Sequence[np.ndarray]) -> None:
        """A complex step holds where f is real on the real axis."""
        values = [k for k, i in enumerate(rows) if i % self.request.group == 0]
        for array in arrays:
            if array.dtype.kind == "c" and np.any(np.imag(array.reshape(len(rows), -1)[values])):
                raise BadResult("returned a complex value at a real point, where a complex step finds no derivative")


@dataclasses.dataclass
class _Calls(Sequence):
    """The tasks of a batch, made when they are sent: all of them at once would be a second copy of every input."""

    points: Points
    tasks: Sequence[int | Sequence[int]]

    def __len__(self):
        return len(self.tasks)

    def __getitem__(self, k) -> Call:
        return self.points.call(self.tasks[k])


def _ignore(done: int = 1, failed: int = 0) -> None:
    pass


def _chunks(rows: Sequence[int], count: int) -> list[Sequence[int]]:
    """About equal parts, the longest first."""
    size = -(-len(rows) // count)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
