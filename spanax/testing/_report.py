"""What `check_bridge` found: one outcome a check."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from .._errors import SpanaxError


class NotApplicable(Exception):  # noqa: N818
    """A check says that it does not apply, and why."""


class Broken(Exception):  # noqa: N818
    """A check says what is wrong."""


def require(holds: object, problem: str) -> None:
    if not holds:
        raise Broken(problem)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Of one check: `problem` is None where it passed, `skipped` says why it did not apply."""

    name: str
    problem: str | None = None
    skipped: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All outcomes, in the order of the checks."""

    bridge: str
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        return tuple(o for o in self.outcomes if o.problem is not None)

    @property
    def passed(self) -> tuple[str, ...]:
        return tuple(o.name for o in self.outcomes if o.problem is None and o.skipped is None)

    def __str__(self) -> str:
        skipped = [o for o in self.outcomes if o.skipped is not None]
        counts = f"{len(self.passed)} checks passed, {len(self.failed)} failed, {len(skipped)} did not apply"
        lines = [f"{self.bridge}: {counts}"]
        lines += [f"  FAILED {o.name}: {o.problem}" for o in self.failed]
        lines += [f"  skipped {o.name}: {o.skipped}" for o in skipped]
        return "\n".join(lines)

    __repr__ = __str__


class ContractError(SpanaxError, AssertionError):
    """A bridge breaks its contract; `report` has every check, the message each one that failed."""

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


def outcome(name: str, check: Callable[[], None]) -> Outcome:
    """Runs one check; whatever it raises is its failure."""
    try:
        check()
    except NotApplicable as reason:
        return Outcome(name, skipped=str(reason))
    except Broken as broken:
        return Outcome(name, problem=str(broken))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        return Outcome(name, problem=f"{type(error).__name__}: {first}")
    return Outcome(name)


def outcomes(checks: Mapping[str, Callable[[], None]]) -> tuple[Outcome, ...]:
    return tuple(outcome(name, check) for name, check in checks.items())
