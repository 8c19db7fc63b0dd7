"""What one way of calibrating found, and what it took."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from typing import Any

from .curve import rates
from .lab import Lab


@dataclasses.dataclass(frozen=True)
class Found:
    """Logarithms of the parameters, and of the ends of their 95% intervals; `errors`: where the intervals come from."""

    x: Any  # `Logs`, which a type checker does not know of a pytree
    lower: Any
    upper: Any
    errors: str


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A parameter, its 95% interval, and whether that holds the true value."""

    value: float
    lower: float
    upper: float
    truth: float
    covered: bool


@dataclasses.dataclass(frozen=True)
class Method:
    """One way of calibrating.

    - `parameters`: by name; `errors`: where their intervals come from;
    - `epidemics`: that it asked for; `run`: those of them that the store did not have;
    - `seconds`: compilation included.
    """

    name: str
    parameters: dict[str, Estimate]
    errors: str
    epidemics: int
    run: int
    seconds: float


def timed(name: str, lab: Lab, truth: Mapping[str, float], method: Callable[[], Found]) -> Method:
    before, start = lab.runs(), time.perf_counter()
    found = method()
    asked, run = (now - then for now, then in zip(lab.runs(), before, strict=True))
    return Method(name, estimates(found, truth), found.errors, asked, run, time.perf_counter() - start)


def estimates(found: Found, truth: Mapping[str, float]) -> dict[str, Estimate]:
    values, lower, upper = rates(found.x), rates(found.lower), rates(found.upper)
    return {
        name: Estimate(values[name], lower[name], upper[name], true, lower[name] <= true <= upper[name])
        for name, true in truth.items()
    }
