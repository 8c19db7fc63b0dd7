"""What a run of an external program that failed says."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
from collections.abc import Sequence

from ..._errors import SpanaxError

SHOWN = 1000  # characters of a program's output in a message
_LINE = 300  # characters of its command line


class CommandError(SpanaxError):
    """One run of a program failed; the message has its command line, its exit status and the end of what it printed."""

    def of_kind(self, kind: str, *, lasting: bool = False) -> CommandError:
        self.kind, self.lasting = kind, lasting
        return self


class MisuseError(SpanaxError):
    """What x and the arguments of a program do not allow: another attempt changes nothing."""

    lasting = True


def line(args: Sequence[str]) -> str:
    """The command line as a shell would take it, its beginning where it is long."""
    joined = shlex.join(args)
    return joined if len(joined) <= _LINE else joined[:_LINE] + " ..."


def status(code: int) -> str:
    """How a program ended that returned `code`, where -n means signal n."""
    if code > 0:
        return f"exited with status {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def printed(stdout: str, stderr: str) -> str:
    """The end of what a failed run printed."""
    if stderr.strip():
        return f"; standard error ended with\n{_indented(stderr.rstrip()[-SHOWN:])}"
    if stdout.strip():
        return f"; it printed no error, standard output ended with\n{_indented(stdout.rstrip()[-SHOWN:])}"
    return "; it printed nothing"


def began(stdout: str) -> str:
    """The beginning of what a run printed."""
    text = stdout.lstrip()[:SHOWN].rstrip()
    return f"; standard output began with\n{_indented(text)}" if text else "; standard output is empty"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EINTR, errno.EIO}


def not_started(error: OSError | ValueError, args: Sequence[str], cwd: str, where: str) -> CommandError:
    """Which of the reasons there are for a program that does not start; but for a shortage of the moment, it never will."""
    lasting = not isinstance(error, OSError) or error.errno not in _PASSING
    return _not_started(error, args, cwd, where).of_kind("could not be started", lasting=lasting)


def _not_started(error: OSError | ValueError, args: Sequence[str], cwd: str, where: str) -> CommandError:
    program = args[0]
    if isinstance(error, ValueError):  # a NUL
        return CommandError(f"{line(args)} could not be started: {error}", where=where)
    if error.errno == errno.ENAMETOOLONG:
        longest = max(args[0], cwd, key=len)
        return CommandError(
            f"a path of {len(longest)} characters is too long: {longest[:80]} ...", "a shorter path", where=where
        )
    if not os.path.isdir(cwd):
        return CommandError(f"{line(args)}: the directory {cwd} is not there", "cwd=: where to run it", where=where)
    if isinstance(error, FileNotFoundError):
        if os.path.exists(program):
            return CommandError(
                f"{program} is there, but the interpreter of its first line is not", "install it", where=where
            )
        remedies = ("install it", "its full path") if os.sep not in program else ("another path",)
        if program.startswith(cwd + os.sep):
            remedies += ("cwd=: where a relative path starts",)
        return CommandError(f"there is no program {program}", *remedies, where=where)
    if isinstance(error, PermissionError):
        return CommandError(
            f"{program} may not be run: {error.strerror}", f"chmod +x {shlex.quote(program)}", where=where
        )
    if error.errno == errno.ENOEXEC:
        remedy = "a first line #!, such as #!/bin/sh"
        return CommandError(f"{program} is no program, and names no interpreter", remedy, where=where)
    if error.errno == errno.E2BIG:
        remedies = ('inputs="files"', 'inputs="json"')
        return CommandError(f"the arguments of {program} are longer than the system permits", *remedies, where=where)
    return CommandError(f"{line(args)} could not be started: {error}", where=where)
