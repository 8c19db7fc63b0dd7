"""What a black box has done so far."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Mapping
from typing import NamedTuple

from ._reason import Reason


class Failures(NamedTuple):
    """Of one kind: how many points, and the message of the first of them."""

    count: int
    example: str


@dataclasses.dataclass
class Stats:
    """Counts of one black box, in this process, since it was made. `BlackBox.stats()` returns them.

    - `calls`: calls of the host by the program (one for a batch, one for a value with its gradient);
    - `evaluations`: of the function, or of the user's derivative, that succeeded;
    - `hits`: points that the store, or another point of the same batch, had already;
    - `failures`: points that were given up, after all attempts; `retries`: attempts after the first;
    - `seconds`: spent in these calls;
    - `reasons`: why points were given up: for each kind of failure how many there were, and the message of the first.

    >>> import jax, numpy as np, spanax as sx
    >>> f = sx.blackbox(np.sum, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.5))
    >>> _ = jax.grad(f)(jax.numpy.ones(2))
    >>> f.stats().calls, f.stats().evaluations, f.stats().failures
    (1, 5, 0)
    """

    calls: int = 0
    evaluations: int = 0
    hits: int = 0
    failures: int = 0
    retries: int = 0
    seconds: float = 0.0
    reasons: Mapping[str, Failures] = dataclasses.field(default_factory=dict)

    def __str__(self):
        counts = [
            f"{f.name}={getattr(self, f.name):.6g}" for f in dataclasses.fields(self) if f.type in ("int", "float")
        ]
        lines = [
            f"  {found.count} x {found.example if found.example.startswith(kind) else f'{kind}: {found.example}'}"
            for kind, found in self.reasons.items()
        ]
        return "\n".join([", ".join(counts), *lines])


class Counter:
    """Adds up `Stats`, from any thread."""

    def __init__(self):
        self._lock, self._total = threading.Lock(), Stats()

    def __reduce__(self):
        # Another process counts for itself.
        return Counter, ()

    def add(self, **counts: float) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self._total, name, getattr(self._total, name) + count)

    def count_failure(self, why: Reason) -> None:
        """A point was given up."""
        with self._lock:
            # Counted by kind and shown by the first example: a thousand messages with a number each would be a
            # thousand kinds.
            known = self._total.reasons.get(why.kind, Failures(0, why.text))
            # A new dict each time: `total` hands out shallow copies, which must not change afterwards.
            self._total.reasons = {**self._total.reasons, why.kind: known._replace(count=known.count + 1)}
            self._total.failures += 1

    def total(self) -> Stats:
        with self._lock:
            return dataclasses.replace(self._total)
