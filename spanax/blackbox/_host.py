"""The host's side of a black box: a batch of points in, their values out, by way of the store and the workers."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._errors import SpanaxError, diagnosis
from .._math.resolution import UNLUCKY, Glance, Resolution, problem, remedies
from .._progress import progress
from ._balance import CURES, FALSE_ALARMS, SEVERE, Balance
from ._inside import check_inside
from ._memory import Memory, unpacked
from ._reason import Reason
from ._request import COMPLEX, Misfit, Request, has_nan, is_inexact, is_real, nan_rows
from ._warning import warn
from .stats import Counter
from .store.store import Store
from .workers._supervisor import BadResult, Done, Failed, supervise
from .workers._worker import Call
from .workers.run import Run, workers


@dataclasses.dataclass(eq=False)
class Host:
    """Evaluates rows of points. There is one for each black box.

    `out`: as the user gave it. `batched`: the function takes all rows at once. `noisy`: rows come with seeds; `seeded`: the
    function takes them. `constant`: its values may be the same at all points. `bounds`: of x, as the user gave them.
    """

    fn: Callable[..., Any]
    out: Any
    name: str
    identity: str  # by which the store knows the function
    run: Run
    store: Store | None
    batched: bool
    noisy: bool
    seeded: bool
    constant: bool = False
    bounds: Any = None
    counter: Counter = dataclasses.field(default_factory=Counter)
    balance: Balance = dataclasses.field(default_factory=Balance)
    glance: Glance = dataclasses.field(default_factory=Glance)
    unseen: float = 1.0  # the chance that all points since f was last seen to change have missed it

    def __post_init__(self):
        self.once = dataclasses.replace(self.run, retries=0)

    @property
    def drops(self) -> bool:
        """May it leave out points that fail?"""
        return self.run.on_failure == "drop"

    def __call__(self, *arrays: np.ndarray, request: Request) -> tuple[list[np.ndarray], np.ndarray]:
        """The results, a row for each row of the arrays, and which rows there are: all, unless some were dropped.

        The last of the arrays are the seeds, where the function is noisy.
        """
        started = time.perf_counter()
        batch = _Batch(self, request, arrays)
        try:
            return batch.evaluated()
        finally:
            self.counter.add(calls=1, evaluations=batch.evaluations, seconds=time.perf_counter() - started)


class _Batch:
    """The rows of one call of the host."""

    def __init__(self, host: Host, request: Request, arrays: Sequence[np.ndarray]):
        leaves = list(arrays)
        self.references = [leaves.pop() for _ in range(request.references)][::-1]
        self.seeds = _numbers(leaves.pop()) if host.noisy else None
        self.host, self.request, self.leaves = host, request, leaves
        self.rows = len(arrays[0])
        self.results = [np.empty((self.rows, *out.shape), out.dtype) for out in request.outs]
        self.failed: dict[int, Failed] = {}
        self.evaluations = 0

    def evaluated(self) -> tuple[list[np.ndarray], np.ndarray]:
        if self.request.bounds:
            check_inside(self.host.name, self.request, self.leaves)
        if self.host.store is None:
            self._evaluate(range(self.rows), None)
        else:
            self._evaluate_new(
                Memory(
                    self.host.store.ledger(self.request.layout(self.host.identity, self.leaves)),
                    self.leaves,
                    self.seeds,
                )
            )
        kept = np.ones(self.rows, bool)
        if self.failed:
            kept[list(self.failed)] = False
            self._blank(~kept)
            self._check_left(kept)
            if self.request.random:
                self._check_balance(kept)
        if self.request.lever:
            self._check_resolution()
        return self.results, kept

    def _evaluate_new(self, memory: Memory) -> None:
        """Evaluates what the store does not have, each point once, and keeps it."""
        rows, outputs, missing = memory.known()
        if rows:
            self._put(rows, unpacked(outputs, self.request.outs))
        try:
            self._evaluate(missing, memory)
        finally:
            memory.flush()
        twins, first = memory.twins()
        for result in self.results:
            result[twins] = result[first]
        for i, j in zip(twins, first, strict=True):
            if j in self.failed:
                self._give_up(self.failed[j]._replace(index=i))
        self.host.counter.add(hits=self.rows - len(missing))

    def _put(self, rows: Any, arrays: Sequence[Any]) -> None:
        for result, array in zip(self.results, arrays, strict=True):
            result[rows] = array

    def _blank(self, dropped: np.ndarray) -> None:
        """Nobody is to take a row that is not there for a result."""
        for result in self.results:
            result[dropped] = np.nan if is_inexact(result.dtype) else 0

    # -- evaluating

    def _evaluate(self, rows: Sequence[int], memory: Memory | None) -> None:
        rows = self._without_nan(rows)
        if not rows:
            return
        with progress(len(rows), self.host.name) as advance:
            if self.host.batched:
                self._together(rows, memory, advance)
            else:
                self._one_by_one(rows, self.host.run, memory, advance)

    def _without_nan(self, rows: Sequence[int]) -> Sequence[int]:
        """A point that is NaN is not worth an evaluation."""
        bad = nan_rows(self.leaves)
        if bad is None:
            return rows
        for i in rows:
            if bad[i]:
                self._give_up(Failed(i, _NAN_INPUT, 0))
        return [i for i in rows if not bad[i]]

    def _together(self, rows: Sequence[int], memory: Memory | None, advance: Callable) -> None:
        """In one call of the function, or one for each worker; then what failed, one by one."""
        lost, nan, run = [], [], self.host.run
        for chunk, end in self._at_once(rows) if run.executor is None else self._by_workers(rows):
            if isinstance(end, Done):
                nan += self._take_good(chunk, end, memory, advance)
                continue
            lost += chunk
            if end.why.lasting and not self.host.drops:
                self._give_up(end._replace(index=chunk[0]))
        if lost:  # which row a chunk failed for is not known: none has used up an attempt
            self.host.counter.add(retries=len(lost))
            self._one_by_one(sorted(lost), run, memory, advance)
        if nan:
            self._again(nan, run, memory, advance)

    def _again(self, nan: Sequence[int], run: Run, memory: Memory | None, advance: Callable) -> None:
        """Rows whose first attempt gave NaN."""
        if run.retries:
            self.host.counter.add(retries=len(nan))
            self._one_by_one(nan, dataclasses.replace(run, retries=run.retries - 1), memory, advance)
        else:
            for i in nan:
                self._give_up(Failed(i, Reason(NAN, NAN), 1))

    def _at_once(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Done | Failed]]:
        yield rows, next(self._supervised(self.host.once, [rows], several=True))

    def _by_workers(self, rows: Sequence[int]) -> Iterator[tuple[Sequence[int], Done | Failed]]:
        run = self.host.run
        chunks = _chunks(rows, workers(run.executor))
        shared = dataclasses.replace(self.host.once, timeout=run.timeout and run.timeout * len(chunks[0]))
        for end in self._supervised(shared, chunks, several=True):
            yield chunks[end.index], end

    def _take_good(self, chunk: Sequence[int], end: Done, memory: Memory | None, advance: Callable) -> list[int]:
        """Takes over the rows of a chunk that hold no NaN, and returns the others."""
        arrays, bad, each = end.value, nan_rows(end.value), end.seconds / len(chunk)
        good = chunk
        if bad is not None:
            good = [i for i, nan in zip(chunk, bad, strict=True) if not nan]
            arrays = [array[~bad] for array in arrays]
        self._take(good, arrays, each, memory)
        advance(len(good))
        return [] if bad is None else [i for i, nan in zip(chunk, bad, strict=True) if nan]

    def _one_by_one(self, rows: Sequence[int], run: Run, memory: Memory | None, advance: Callable) -> None:
        tasks = [[i] for i in rows] if self.host.batched else rows
        for end in self._supervised(run, tasks, several=False):
            i = rows[end.index]
            if end.attempts > 1:
                self.host.counter.add(retries=end.attempts - 1)
            if isinstance(end, Failed):
                self._give_up(end._replace(index=i))
                advance(1, failed=1)
            else:
                arrays = end.value if self.host.batched else [array[None] for array in end.value]
                self._take(range(i, i + 1), arrays, end.seconds, memory)
                advance()

    def _supervised(self, run: Run, tasks: Sequence[int | Sequence[int]], *, several: bool) -> Iterator[Done | Failed]:
        """Each task is one row, without its axis or with it, or `several` rows, of which some may be NaN."""

        def checked(k: int, raw: Any) -> list[np.ndarray]:
            task = tasks[k]
            try:
                arrays = self.request.accepted(raw, None if isinstance(task, int) else len(task))
            except Misfit as misfit:  # a function that has not fitted once never will
                _, _, _, remedies = misfit.reason
                raise BadResult(str(misfit), misfit.reason.kind, *remedies, lasting=not self._has_evaluated) from misfit
            if not several and any(map(has_nan, arrays)):
                raise BadResult(NAN)
            if self.request.kind == COMPLEX:
                self._check_real_value([task] if isinstance(task, int) else task, arrays)
            return arrays

        return supervise(run, self.request.fn, _Calls(self, tasks), checked, self.request.where)

    def _check_real_value(self, rows: Sequence[int], arrays: Sequence[np.ndarray]) -> None:
        """A complex step holds where f is real on the real axis."""
        values = [k for k, i in enumerate(rows) if i % self.request.lane == 0]
        for array in arrays:
            if array.dtype.kind == "c" and np.any(np.imag(array.reshape(len(rows), -1)[values])):
                raise BadResult("returned a complex value at a real point, where a complex step finds no derivative")

    def call(self, rows: int | Sequence[int]) -> Call:
        """The function's arguments for one row, or for several together: copies, which it may keep and change."""
        single = isinstance(rows, int)
        at = (rows, ...) if single else _slice(rows)
        args = self.request.arguments([np.array(leaf[at]) for leaf in self.leaves])
        if not self.request.seeded or self.seeds is None:
            return Call(args, {})
        return Call(args, {"seed": self.seeds[rows] if single else [self.seeds[i] for i in rows]})

    def _take(self, rows: Sequence[int], arrays: Sequence[np.ndarray], seconds: float, memory: Memory | None) -> None:
        self._put(_slice(rows), arrays)
        self.evaluations += len(rows)
        if memory is not None:
            memory.keep(rows, arrays, seconds)

    # -- failures

    def _give_up(self, failed: Failed) -> None:
        """Counts a point that failed for good, or raises."""
        self.failed[failed.index] = failed
        self.host.counter.failed(failed.why)
        run, lane, may_fail = self.host.run, self.request.lane, self.request.may_fail
        is_value = self.request.with_value and failed.index % lane == 0
        if is_value:
            own = ("it is the value itself, which nothing can stand for: another x", "bounds on x, before the call")
            self._raise(failed, *(() if failed.why.lasting else own))
        if not self.host.drops and not may_fail:
            drop = 'sx.Run(on_failure="drop") drops such points of a derivative, and counts them'
            self._raise(failed, *([] if failed.why.lasting else [drop]))
        if len(self.failed) > run.max_failed * self.rows and not may_fail:
            limit = f"{len(self.failed)} of {self.rows} points have failed: sx.Run(max_failed={run.max_failed}) is the limit"
            self._raise(failed, limit)

    def _check_left(self, kept: np.ndarray) -> None:
        """Raises where a lane lost points that its derivative cannot do without."""
        lane = self.request.lane
        for first in sorted({i - i % lane for i in self.failed}):
            if not self.request.may_fail and not self.request.usable(
                kept[first : first + lane][int(self.request.with_value) :]
            ):
                lost = min(i for i in self.failed if i >= first)
                remedy = "what is left gives no derivative: sx.Smoothing, with more pairs, can do without some"
                self._raise(self.failed[lost], remedy)

    # -- what is left

    def _check_balance(self, kept: np.ndarray) -> None:
        """Raises, or warns, where the points that failed are not like the others."""
        lane, chance = self.request.lane, 1 / FALSE_ALARMS
        floats = [leaf.reshape(-1, lane, math.prod(leaf.shape[1:])) for leaf in self.leaves if is_real(leaf.dtype)]
        at = np.concatenate([leaf.astype(np.float64) for leaf in floats], axis=2)
        lean = self.host.balance.lean(at[:, 1:] - at[:, :1], kept.reshape(-1, lane)[:, 1:])
        if lean is None:
            return
        off_centre = f", and is not centred on x but {lean.mean:.2f} `sigma` from it" if lean.mean > SEVERE else ""
        message = (
            f"black box {self.host.name!r}: the points that fail are not like the others, they lie {lean.how} "
            f"({lean.failed} of {lean.points} points; by chance in less than 1 of {chance:,.0f} calls). What is left is an "
            f"estimate of something else: of a linear function it gives {lean.share:.0%} of the derivative there"
            f"{off_centre}\n  near {self._shown(lean.lane * lane)}"
        )
        if lean.is_severe:
            raise SpanaxError(message, *CURES, where=self.request.where)
        if not self.host.balance.told:
            self.host.balance.told = True
            warn(diagnosis(message, *CURES, where=self.request.where), self.request.where)

    def _check_resolution(self) -> None:
        """Raises where the values differ too little for a derivative, or makes them equal where that is what they are."""
        request, host = self.request, self.host
        glances = request.is_one_number and self.rows == request.lane
        if glances and host.glance.sees(
            self.results[0], float(self.references[0][0] if self.references else self.results[0][0])
        ):
            host.unseen = 1.0
            return
        results = [array for array in self.results if is_inexact(array.dtype)]
        resolution = Resolution(results, self.references, request.lane)
        if host.constant:
            resolution.flatten()
            return
        found = resolution.flat()
        if found is None:
            host.unseen, found = 1.0, resolution.rounded()
            if glances and found is None and resolution.has_all_digits:
                host.glance.has_all_digits()
        elif request.misses:
            host.unseen *= request.misses
            if request.misses > UNLUCKY and host.unseen > FALSE_ALARMS:
                return
        if found is not None:
            points = request.lane - int(request.with_value)
            raise SpanaxError(
                f"the derivative of the black box {host.name!r}: {problem(found, points)}\n"
                f"  near {self._shown(found.lane * request.lane)}",
                *remedies(found, request.lever),
                "sx.blackbox(..., constant=True), where it is meant not to change: its derivative is then 0",
                where=request.where,
            )

    def _raise(self, failed: Failed, *remedies: str) -> None:
        attempts = f" after {failed.attempts} attempts" if failed.attempts > 1 else ""
        raise SpanaxError(
            f"black box {self.host.name!r}: point {failed.index + 1} of {self.rows} failed{attempts}: {failed.reason}\n"
            f"  its input: {self._shown(failed.index)}",
            *failed.why.remedies,
            *remedies,
            *([] if self.host.store or not self._has_evaluated else [_KEEP]),
            where=self.request.where,
        )

    @property
    def _has_evaluated(self) -> bool:
        return self.evaluations > 0 or self.host.counter.total().evaluations > 0

    def _shown(self, i: int) -> str:
        """The arguments of a row, in full precision, long arrays abridged."""
        pairs = zip(self.request.names, self.request.arguments([leaf[i, ...] for leaf in self.leaves]), strict=True)
        with np.printoptions(threshold=24, edgeitems=6, floatmode="unique", precision=17):
            return ", ".join(f"{name}={value!r}" for name, value in pairs)


NAN = "returned NaN"
_NAN_INPUT = Reason("the input holds a NaN", "the input holds a NaN")
_KEEP = "sx.Store(path, version) keeps what was evaluated, so that another run goes on from there"


@dataclasses.dataclass
class _Calls(Sequence):
    """The tasks of a batch, made when they are sent."""

    batch: _Batch
    tasks: Sequence[int | Sequence[int]]

    def __len__(self):
        return len(self.tasks)

    def __getitem__(self, k):
        return self.batch.call(self.tasks[k])


def _slice(rows: Sequence[int]) -> slice | np.ndarray:
    """An index of the rows, without a copy where they follow each other."""
    return slice(rows.start, rows.stop) if isinstance(rows, range) else np.asarray(rows, np.intp)


def _chunks(rows: Sequence[int], count: int) -> list[Sequence[int]]:
    """About equal parts, the longest first."""
    size = -(-len(rows) // count)
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def _numbers(seeds: np.ndarray) -> list[int]:
    """One integer below 2^63 for each row of two 32-bit words."""
    return ((seeds[:, 0].astype(np.int64) << 31) | (seeds[:, 1] >> 1).astype(np.int64)).tolist()
