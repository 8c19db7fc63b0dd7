"""What Spanax raises and warns: a diagnosis, the place, and the remedies."""


class SpanaxError(Exception):
    """A step that would have given a wrong gradient, or a call that cannot be answered.

    The message names what happened, where (`file:line` of the user's program, where it is known), and the
    remedies as (a), (b), (c).
    """

    def __init__(self, problem: str, where: str = "", *remedies: str):
        super().__init__(diagnosis(problem, where, *remedies))
        self.problem, self.where, self.remedies = problem, where, remedies


class SpanaxWarning(UserWarning):
    """The gradient is right but costs more variance or time than it needs to, or is off by as much as the message says."""


def diagnosis(problem: str, where: str = "", *remedies: str) -> str:
    """The message of an error or a warning: the problem, its place, and one lettered line for each remedy."""
    lines = [problem]
    if where:
        lines.append(f"  at {where}")
    lines.extend(f"  ({letter}) {remedy}" for letter, remedy in zip("abcdefgh", remedies, strict=False))
    return "\n".join(lines)
