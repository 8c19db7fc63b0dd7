"""What one way of calibrating found, and what it took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable

import numpy as np

from .curve import Logs, rates
from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Found:
    """Logarithms of the parameters, and of the ends of their 95% intervals; `errors`: where the intervals come from."""

    x: Logs
    lower: Logs
    upper: Logs
    errors: str
    interrupted: bool = False


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of calibrating.

    - `estimate`, `lower`, `upper`: the parameters, and the ends of their 95% intervals, which come from `errors`;
    - `epidemics`: that it asked for; `run`: those of them that the store did not have;
    - `seconds`: compilation included.
    """

    name: str
    estimate: dict[str, float]
    lower: dict[str, float]
    upper: dict[str, float]
    errors: str
    epidemics: int
    run: int
    seconds: float

    def covered(self, truth: dict[str, float]) -> dict[str, bool]:
        """Which of the true parameters the intervals hold."""
        return {name: self.lower[name] <= value <= self.upper[name] for name, value in truth.items()}


def timed(name: str, lab: Lab, method: Callable[[], Found]) -> Method:
    before, start = np.array(lab.runs()), time.perf_counter()
    found = method()
    asked, run = (int(count) for count in np.array(lab.runs()) - before)
    ends = rates(found.x), rates(found.lower), rates(found.upper)
    return Method(name, *ends, found.errors, asked, run, time.perf_counter() - start)
