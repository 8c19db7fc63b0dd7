"""What `check_bridge` found: one outcome a check."""

from __future__ import annotations

import dataclasses
import textwrap
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
    """All outcomes, in the order of the checks. As text: what failed, or else what passed and what did not apply."""

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
        lines = _wrapped(f"{self.bridge}: {counts}", "")
        problems: dict[str, list[str]] = {}
        for o in self.failed:
            problems.setdefault(o.problem or "", []).append(o.name)
        for problem, names in problems.items():
            lines += _wrapped(f"FAILED {'; '.join(names)}", "  ") + _wrapped(problem, "    ")
        if not problems:
            for o in skipped:
                lines += _wrapped(f"skipped {o.name}: {o.skipped}", "  ")
            lines += _wrapped(f"passed: {'; '.join(self.passed)}", "  ")
        return "\n".join(lines)

    __repr__ = __str__


class ContractError(SpanaxError, AssertionError):
    """A bridge breaks its contract; `report` has every check, the message each one that failed."""

    def __init__(self, report: Report):
        super().__init__(
            str(report),
            "mend the bridge, what comes first first",
            "let facts claim less, where a check holds it to a claim that is not meant",
            "docs/own-bridge.md says what each check asks",
        )
        self.report = report


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, 80, initial_indent=indent, subsequent_indent=indent + "  ", break_long_words=False, break_on_hyphens=False
    )


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
