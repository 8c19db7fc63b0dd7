"""The errors of external programs: what failed, with the command line and the end of the output, and what helps."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
from collections.abc import Iterator, Sequence

from ..._errors import SpanaxError

# Characters of a program's output in a message: the end of what a failed run printed, where the cause stands.
SHOWN = 1000
_LINE = 300  # characters of its command line


class CommandError(SpanaxError):
    """One run of a program failed; the message has its command line, its exit status and the end of what it printed."""

    # An error of NumPy's or the user's is counted by its class; one of a program, by what happened to it.
    def of_kind(self, kind: str, *, lasting: bool = False) -> CommandError:
        self.kind, self.lasting = kind, lasting
        return self


class MisuseError(SpanaxError):
    """What x and the arguments of a program do not allow: another attempt changes nothing."""

    lasting = True


# Quoted, so that it can be pasted into a shell and tried there.
def line(args: Sequence[str]) -> str:
    """The command line as a shell would take it, its beginning where it is long."""
    joined = shlex.join(args)
    return joined if len(joined) <= _LINE else joined[:_LINE] + " ..."


def status(code: int) -> str:
    """How a program ended whose exit code is `code`; -n means signal n."""
    if code > 0:
        return f"exited with status {code}"
    # Real-time signals have no name.
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def output_tail(stdout: str, stderr: str) -> str:
    """The end of what a failed run printed."""
    # Most programs say on standard error why they failed; the others on standard output, last.
    if stderr.strip():
        return f"; standard error ended with\n{_indent(stderr.rstrip()[-SHOWN:])}"
    if stdout.strip():
        return f"; it printed no error, standard output ended with\n{_indent(stdout.rstrip()[-SHOWN:])}"
    return "; it printed nothing"


def output_head(stdout: str) -> str:
    """The beginning of what a run printed."""
    text = stdout.lstrip()[:SHOWN].rstrip()
    return f"; standard output began with\n{_indent(text)}" if text else "; standard output is empty"


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())


# Shortages of the moment: another attempt may start. ETXTBSY: the file is just being written.
_PASSING = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EINTR, errno.EIO}


def not_started(error: OSError | ValueError, args: Sequence[str], cwd: str, where: str) -> CommandError:
    """Why a program did not start, and what helps; unless the system is short of something, it never will."""
    lasting = not isinstance(error, OSError) or error.errno not in _PASSING
    problem, *remedies = _diagnose(error, args, cwd)
    return CommandError(problem, *remedies, where=where).of_kind("could not be started", lasting=lasting)


def _diagnose(error: OSError | ValueError, args: Sequence[str], cwd: str) -> Iterator[str]:
    """The problem, then the remedies."""
    unknown = f"{line(args)} could not be started: {error}"
    # A ValueError is a NUL in an argument.
    if isinstance(error, ValueError):
        yield unknown
    elif error.errno == errno.ENAMETOOLONG:
        longest = max(args[0], cwd, key=len)
        yield from (f"a path of {len(longest)} characters is too long: {longest[:80]} ...", "a shorter path")
    # The system reports a missing directory as a missing program.
    elif not os.path.isdir(cwd):
        yield from (f"{line(args)}: the directory {cwd} is not there", "cwd=: where to run it")
    elif error.errno in _REASONS:
        yield from _REASONS[error.errno](args[0], cwd, error)
    else:
        yield unknown


def _not_there(program: str, cwd: str, error: OSError) -> Iterator[str]:
    if os.path.exists(program):
        yield from (f"{program} is there, but the interpreter of its first line is not", "install it")
        return
    yield f"there is no program {program}"
    yield from ("install it", "its full path") if os.sep not in program else ("another path",)
    if program.startswith(cwd + os.sep):
        yield "cwd=: where a relative path starts"


def _not_permitted(program: str, cwd: str, error: OSError) -> Iterator[str]:
    yield from (f"{program} may not be run: {error.strerror}", f"chmod +x {shlex.quote(program)}")


def _not_executable(program: str, cwd: str, error: OSError) -> Iterator[str]:
    yield from (f"{program} is not a program, and names no interpreter", "a first line #!, such as #!/bin/sh")


def _too_long(program: str, cwd: str, error: OSError) -> Iterator[str]:
    problem = f"the arguments of {program} are longer than the system permits"
    yield from (problem, 'inputs="files"', 'inputs="json"')


_REASONS = {
    errno.ENOENT: _not_there,
    errno.EACCES: _not_permitted,
    errno.EPERM: _not_permitted,
    errno.ENOEXEC: _not_executable,
    errno.E2BIG: _too_long,
}
