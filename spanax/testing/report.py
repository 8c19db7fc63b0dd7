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
    """The result of one check.

    - `name`: of the check;
    - `problem`: what is wrong; None where it passed or did not apply;
    - `skipped`: why it did not apply; None where it did.

    >>> import spanax as sx
    >>> report = sx.testing.check_bridge(sx.StraightThrough(), draws=2_000)
    >>> report.outcomes[0]
    Outcome(name='kind', problem=None, skipped=None)
    """

    name: str
    problem: str | None = None
    skipped: str | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """All outcomes of `check_bridge`, in the order of the checks.

    - `bridge`: its repr;
    - `outcomes`: one for each check; `failed` and `passed` are parts of them.

    As text: what failed, or else what passed and what did not apply.

    >>> from spanax.testing import Outcome, Report
    >>> report = Report("MyBridge()", (Outcome("repr"), Outcome("source", problem="facts.source is empty")))
    >>> report.passed, [outcome.name for outcome in report.failed]
    (('repr',), ['source'])
    """

    bridge: str
    outcomes: tuple[Outcome, ...]

    @property
    def failed(self) -> tuple[Outcome, ...]:
        """Those with a problem."""
        return tuple(o for o in self.outcomes if o.problem is not None)

    @property
    def passed(self) -> tuple[str, ...]:
        """The names of the checks that applied and found nothing wrong."""
        return tuple(o.name for o in self.outcomes if o.problem is None and o.skipped is None)

    def __str__(self) -> str:
        skipped = [o for o in self.outcomes if o.skipped is not None]
        # Counts first: a reader of a log sees them without scrolling.
        counts = f"{len(self.passed)} checks passed, {len(self.failed)} failed, {len(skipped)} did not apply"
        lines = _wrap(f"{self.bridge}: {counts}", "")
        problems: dict[str, list[str]] = {}
        # Several checks often fail for one reason, which is then said once.
        for o in self.failed:
            problems.setdefault(o.problem or "", []).append(o.name)
        for problem, names in problems.items():
            lines += _wrap(f"FAILED {'; '.join(names)}", "  ") + _wrap(problem, "    ")
        if not problems:
            for o in skipped:
                lines += _wrap(f"skipped {o.name}: {o.skipped}", "  ")
            lines += _wrap(f"passed: {'; '.join(self.passed)}", "  ")
        return "\n".join(lines)

    __repr__ = __str__


class ContractError(SpanaxError, AssertionError):
    """A bridge breaks its contract. Its message has each check that failed, its `report` all of them.

    It is an `AssertionError`, too, so that a test that calls `check_bridge` fails rather than errs.

    >>> import spanax as sx
    >>> from spanax.testing import ContractError, check_bridge
    >>> class Nameless(sx.StraightThrough):
    ...     pass
    >>> try:
    ...     check_bridge(Nameless(), draws=1_000)
    ... except ContractError as error:
    ...     print("docstring" in [outcome.name for outcome in error.report.failed])
    True
    """

    def __init__(self, report: Report):
        super().__init__(
            str(report),
            "mend the bridge, what comes first first",
            "let facts claim less, where a check holds it to a claim that is not meant",
            "docs/own-bridge.md says what each check asks",
        )
        self.report = report


def _wrap(text: str, indent: str) -> list[str]:
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
    # A bridge is a user's code: whatever it raises is a finding, and the other checks still have to run.
    except Exception as error:
        # JAX's errors go on for pages; their first line says what was wrong.
        first = (str(error).splitlines() or [""])[0]
        return Outcome(name, problem=f"{type(error).__name__}: {first}")
    return Outcome(name)


def outcomes(checks: Mapping[str, Callable[[], None]]) -> tuple[Outcome, ...]:
    return tuple(outcome(name, check) for name, check in checks.items())
