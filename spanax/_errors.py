"""What Spanax raises and warns: a diagnosis, the place, and the remedies."""

import re
import warnings

_warned: dict = {}  # the registry of `warnings`: the same message once for each place


class SpanaxError(Exception):
    """A step that would have given a wrong gradient, or a call that cannot be answered.

    The message names what happened, where (`file:line` of the user's program, where it is known), and the
    remedies as (a), (b), (c). Of the evaluation of a black box: `kind` names what failed, where the class does not, and what is
    `lasting` is not tried again.
    """

    kind, lasting = "", False

    def __init__(self, problem: str, where: str = "", *remedies: str):
        super().__init__(diagnosis(problem, where, *remedies))
        self.problem, self.where, self.remedies = problem, where, remedies


class SpanaxWarning(UserWarning):
    """The gradient costs more than it needs to, is off by as much as the message says, or is right if what it names holds."""


def diagnosis(problem: str, where: str = "", *remedies: str) -> str:
    """The message of an error or a warning: the problem, its place, and one lettered line for each remedy."""
    lines = [problem]
    if where:
        lines.append(f"  at {where}")
    lines.extend(f"  ({letter}) {remedy}" for letter, remedy in zip("abcdefgh", remedies, strict=False))
    return "\n".join(lines)


def installing(extra: str) -> tuple[str, str]:
    """The remedies where the packages of an extra are missing: of a published Spanax, and of a checkout."""
    return f"pip install 'spanax[{extra}]'", f"pip install -e '.[{extra}]', in a checkout"


def warn(problem: str, where: str, *remedies: str) -> None:
    """Warns with `SpanaxWarning` at the user's line, `where`: once."""
    place = re.match(r"(.*?):(\d+)(:\d+)? \(", where)  # a path may hold colons of its own
    file, line = (place[1], int(place[2])) if place else ("<unknown>", 0)
    warnings.warn_explicit(diagnosis(problem, where, *remedies), SpanaxWarning, file, line, registry=_warned)
