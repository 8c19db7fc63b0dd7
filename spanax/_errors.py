"""What Spanax raises and warns: a diagnosis, the place, and the remedies."""

import re
import warnings

from ._jaxprs import here

# The registry that `warnings` keeps: it shows the same message once for each place.
_warned: dict = {}


class SpanaxError(Exception):
    """A step that would have given a wrong gradient, or a call that cannot be answered.

    The message says what happened and where, and lists the remedies as (a), (b), (c).

    **Arguments:**

    - `problem`: what happened.
    - `remedies`: what helps, one string each.
    - `where`: `file:line (function)` of the user's program. By default the line that is traced or run when the error is made;
      "" for none. `is_placed` says whether it was given.

    An error in the evaluation of a black box has two more attributes: `kind` names what failed if the class does not, and
    an evaluation whose error is `lasting` is not tried again.

    >>> import spanax as sx
    >>> print(sx.SpanaxError("sigma=-1.0", "sigma=0.1", where="fit.py:12 (main)"))
    sigma=-1.0
      at fit.py:12 (main)
      (a) sigma=0.1
    """

    kind, lasting = "", False

    def __init__(self, problem: str, *remedies: str, where: str | None = None):
        self.problem, self.remedies = problem, remedies
        self.where, self.is_placed = here() if where is None else where, where is not None
        super().__init__(diagnosis(problem, *remedies, where=self.where))

    def __reduce__(self):
        # A worker process pickles it: made anew by `__init__`, it would name the place where it is unpickled.
        return _unpickle, (type(self), self.args, self.__dict__)


def _unpickle(kind: type[SpanaxError], args: tuple, state: dict) -> SpanaxError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class SpanaxWarning(UserWarning):
    """A gradient costs more than it needs to, is off by what the message says, or is right only if what it names holds.

    Each message appears once for each line of the user's program, and names remedies as an error does.

    >>> import warnings, spanax as sx
    >>> warnings.simplefilter("error", sx.SpanaxWarning)  # in tests: a warning is then an exception
    """


def diagnosis(problem: str, *remedies: str, where: str = "") -> str:
    """The message of an error or a warning: the problem, its place, and one lettered line for each remedy."""
    lines = [problem]
    if where:
        lines.append(f"  at {where}")
    lines.extend(f"  ({letter}) {remedy}" for letter, remedy in zip("abcdefgh", remedies, strict=False))
    return "\n".join(lines)


def installing(extra: str) -> tuple[str, str]:
    """The remedies if the packages of an extra are missing: for a published Spanax, and in a checkout."""
    return f"pip install 'spanax[{extra}]'", f"pip install -e '.[{extra}]', in a checkout"


def warn(problem: str, *remedies: str, where: str | None = None) -> None:
    """Warns with `SpanaxWarning` at the user's line, `where`, once; by default the line that is traced or run now."""
    where = here() if where is None else where
    # The shortest match up to digits and a parenthesis: a path may hold colons of its own.
    place = re.match(r"(.*?):(\d+)(:\d+)? \(", where)
    file, line = (place[1], int(place[2])) if place else ("<unknown>", 0)
    message = diagnosis(problem, *remedies, where=where)
    warnings.warn_explicit(message, SpanaxWarning, file, line, registry=_warned)
