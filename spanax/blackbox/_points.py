"""The points of one call of the host: their inputs, their results, and those that failed for good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._errors import SpanaxError
from ._host import Host
from ._request import Request, is_inexact
from .workers._supervisor import Failed
from .workers._worker import Call

_KEEP = "sx.Store(path, version) keeps what was evaluated, so that another run continues from there"


class Points:
    """One row for each point, in every array; see `Request` for which rows belong together.

    `arrays`: the leaves of the arguments, then the seeds where the function is noisy, then the references.
    """

    def __init__(self, host: Host, request: Request, arrays: Sequence[np.ndarray]):
        leaves = list(arrays)
        # Popped from the end, so in reverse.
        self.references = [leaves.pop() for _ in range(request.references)][::-1]
        self.seeds = as_integers(leaves.pop()) if host.noisy else None
        self.host, self.request, self.leaves = host, request, leaves
        self.rows = len(arrays[0])
        # Not zeros: a row that is never filled would look like a value. `blank` overwrites those that failed.
        self.results = [np.empty((self.rows, *out.shape), out.dtype) for out in request.outs]
        self.failed: dict[int, Failed] = {}
        self.evaluations = 0

    def call(self, rows: int | Sequence[int]) -> Call:
        """The function's arguments for one row, or for several together: copies, which it may keep and change."""
        single = isinstance(rows, int)
        at = (rows, ...) if single else as_index(rows)
        args = self.request.arguments([np.array(leaf[at]) for leaf in self.leaves])
        if not self.request.seeded or self.seeds is None:
            return Call(args, {})
        return Call(args, {"seed": self.seeds[rows] if single else [self.seeds[i] for i in rows]})

    def fill(self, rows: Any, arrays: Sequence[Any]) -> None:
        """Takes results for some rows."""
        for result, array in zip(self.results, arrays, strict=True):
            result[rows] = array

    def blank(self, dropped: np.ndarray) -> None:
        """Overwrites rows without a result, whose memory is whatever was there before."""
        for result in self.results:
            result[dropped] = np.nan if is_inexact(result.dtype) else 0

    def give_up(self, failed: Failed) -> None:
        """Counts a point that failed for good, or raises where the call cannot do without it."""
        self.failed[failed.index] = failed
        self.host.counter.count_failure(failed.why)
        run, may_fail = self.host.run, self.request.may_fail
        # The first row of a group is x: without its value there is no result, whatever `on_failure` says.
        if self.request.with_value and failed.index % self.request.group == 0:
            own = ("it is the value itself, which nothing can stand for: another x", "bounds on x, before the call")
            self.raise_failure(failed, *(() if failed.why.lasting else own))
        if may_fail:
            return
        if not self.host.drops:
            drop = 'sx.Run(on_failure="drop") drops such points of a derivative, and counts them'
            self.raise_failure(failed, *([] if failed.why.lasting else [drop]))
        if len(self.failed) > run.max_failed * self.rows:
            limit = f"{len(self.failed)} of {self.rows} points have failed: sx.Run(max_failed={run.max_failed}) is the limit"
            self.raise_failure(failed, limit)

    def raise_failure(self, failed: Failed, *remedies: str) -> None:
        """Raises `SpanaxError` with the point's reason and its input."""
        attempts = f" after {failed.attempts} attempts" if failed.attempts > 1 else ""
        raise SpanaxError(
            f"black box {self.host.name!r}: point {failed.index + 1} of {self.rows} failed{attempts}: {failed.reason}\n"
            f"  its input: {self.describe_input(failed.index)}",
            *failed.why.remedies,
            *remedies,
            *([] if self.host.store or not self.has_evaluated else [_KEEP]),
            where=self.request.where,
        )

    @property
    def has_evaluated(self) -> bool:
        """Has the function ever returned what fits?"""
        return self.evaluations > 0 or self.host.counter.total().evaluations > 0

    def describe_input(self, i: int) -> str:
        """The arguments of a row, in full precision, long arrays abridged."""
        pairs = zip(self.request.names, self.request.arguments([leaf[i, ...] for leaf in self.leaves]), strict=True)
        with np.printoptions(threshold=24, edgeitems=6, floatmode="unique", precision=17):
            return ", ".join(f"{name}={value!r}" for name, value in pairs)


def as_index(rows: Sequence[int]) -> slice | np.ndarray:
    """An index of the rows, without a copy where they follow each other."""
    return slice(rows.start, rows.stop) if isinstance(rows, range) else np.asarray(rows, np.intp)


def as_integers(seeds: np.ndarray) -> list[int]:
    """One integer below 2^63 for each row of two 32-bit words."""
    # 63 bits: the store keeps them in SQLite's signed integers.
    return ((seeds[:, 0].astype(np.int64) << 31) | (seeds[:, 1] >> 1).astype(np.int64)).tolist()
