"""What a black box has done so far."""

import dataclasses
import threading


@dataclasses.dataclass
class Stats:
    """Counts of one black box, in this process, since it was made.

    - `calls`: calls of the host by the program (one for a batch, one for a value with its gradient);
    - `evaluations`: of the function, or of the user's derivative, that ended well;
    - `hits`: points that the store, or another point of the same batch, had already;
    - `failures`: points that were given up, after all attempts; `retries`: attempts after the first;
    - `seconds`: spent in these calls.
    """

    calls: int = 0
    evaluations: int = 0
    hits: int = 0
    failures: int = 0
    retries: int = 0
    seconds: float = 0.0


class Counter:
    """Adds up `Stats`, from any thread."""

    def __init__(self):
        self._lock, self._total = threading.Lock(), Stats()

    def __reduce__(self):
        return Counter, ()  # another process counts for itself

    def add(self, **counts: float) -> None:
        with self._lock:
            for name, count in counts.items():
                setattr(self._total, name, getattr(self._total, name) + count)

    def total(self) -> Stats:
        with self._lock:
            return dataclasses.replace(self._total)
