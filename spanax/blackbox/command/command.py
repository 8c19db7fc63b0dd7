"""`command`: an external program as the function of a black box.

A number of x that does not reach the program would have the derivative 0 without anybody noticing. So every part of x has
to appear in the arguments, in a file, or on a standard input that the program did read; else the call raises before or
after the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from ..._checks import is_number
from ..._errors import SpanaxError
from ..._jaxprs import here
from ..._pytree import PyTree
from .._reason import TOO_LONG
from ._arguments import Fields, arrays_by_name, as_json, file_name, write_files
from ._failure import SHOWN, CommandError, MisuseError, line, not_started, output_head, output_tail, status

if TYPE_CHECKING:
    from ._process import Ended

_INPUTS = ("args", "json", "files")
_FRESH = "{dir}"
_ZERO = ", so that the derivative would be 0"
# The exponent of a double, as Fortran prints it: 1.5D+02.
_FORTRAN = re.compile(r"(?<=[\d.])[dD](?=[+-]?\d)")


class Output(NamedTuple):
    """What `parse` gets: what the program printed, and the directory of this run's files.

    `directory` is None unless inputs="files"; it is removed when `parse` returns.

    >>> import numpy as np, spanax as sx
    >>> last = sx.command(["echo", "cost:", "{x}"], parse=lambda output: float(output.stdout.split()[-1]))
    >>> last(np.array(2.5))
    2.5
    """

    stdout: str
    stderr: str
    directory: Path | None


@dataclasses.dataclass(frozen=True)
class Command:
    """An external program as a function of arrays; made by `command`. It can be pickled if `parse` can.

    >>> import numpy as np, spanax as sx
    >>> print(sx.command(["echo", "{x}"]).within(10.0)(np.array([1.0, 2.0])))
    [1. 2.]
    """

    args: tuple[str, ...]
    parse: Callable[[Output], Any] | None
    inputs: str
    cwd: str
    env: tuple[tuple[str, str], ...]
    where: str = dataclasses.field(repr=False, compare=False)
    timeout: float | None = None

    def within(self, timeout: float) -> Command:
        """The same program with `timeout` seconds for one run; then it is killed, with all processes of its process group."""
        if not (is_number(timeout) and timeout > 0):
            raise SpanaxError(f"a time limit of {timeout!r}", "a positive number of seconds")
        return dataclasses.replace(self, timeout=float(timeout))

    def __call__(self, x: PyTree[np.ndarray]) -> Any:
        """Runs the program once, on x; the result is that of `parse`.

        Raises `SpanaxError` where a part of x would not reach the program or the arguments name what x does not have, and
        `CommandError` where the run fails.
        """
        arrays = {name: np.asarray(leaf) for name, leaf in arrays_by_name(x, self.where).items()}
        with contextlib.ExitStack() as stack:
            directory, paths, data = None, {}, None
            if self.inputs == "files":
                fresh = tempfile.TemporaryDirectory(prefix="spanax-", ignore_cleanup_errors=True)
                directory = Path(stack.enter_context(fresh))
                paths = write_files(arrays, directory, self.where)
            elif self.inputs == "json":
                data = as_json(x, self.where)
            # Only afterwards is it known whether the program read the JSON that holds what the arguments lack.
            args, missing = self._fill(Fields(arrays, paths, directory, self.where))
            cwd = str(directory) if self.cwd == _FRESH else self.cwd
            ended = self._run(args, data, cwd)
            if missing and not ended.read:
                remedies = (f"let it read, or give it {{{missing[0]}}} as an argument", 'inputs="args" or "files"')
                raise MisuseError(f"{line(args)} did not read its standard input{_ZERO}", *remedies, where=self.where)
            return self._parse_output(Output(ended.stdout, ended.stderr, directory), args)

    def check(self, x: PyTree[jax.ShapeDtypeStruct]) -> None:
        """Raises what a call would raise for the parts of x, of which names, shapes and dtypes are enough."""
        # Zeros without memory, and a writer that does not look at them: only names and shapes matter here.
        arrays = {n: np.broadcast_to(np.zeros((), s.dtype), s.shape) for n, s in arrays_by_name(x, self.where).items()}
        paths, directory = {}, None
        if self.inputs == "files":
            paths, directory = {name: file_name(name, self.where) for name in arrays}, Path()
        self._fill(Fields(arrays, paths, directory, self.where, write=lambda array: ["0"]))

    def _fill(self, fields: Fields) -> tuple[list[str], list[str]]:
        """The arguments, and the parts of x that are not among them; raises where these reach the program in no other way."""
        args = [fields.fill(arg) for arg in self.args]
        # A program that runs in the directory finds all files there, whether or not an argument names them.
        missing = [] if self.cwd == _FRESH else fields.missing()
        if missing and self.inputs != "json":
            other = 'inputs="json" or "files"' if self.inputs == "args" else 'inputs="json"'
            remedies = (f"an argument with {{{missing[0]}}}", other, "leave it out of x")
            raise MisuseError(f"{missing[0]} does not reach the program{_ZERO}", *remedies, where=self.where)
        return args, missing

    def _run(self, args: list[str], data: bytes | None, cwd: str) -> Ended:
        # Imported late: it needs modules that only POSIX has, and `command` says so itself elsewhere.
        from ._process import GRACE, run

        try:
            ended = run(args, data, cwd, {**os.environ, **dict(self.env)} if self.env else None, self.timeout)
        except (OSError, ValueError) as error:
            raise not_started(error, args, cwd, self.where) from error
        if not ended.in_time:
            self._fail(f"{TOO_LONG} {self.timeout:g} s and was killed", args, ended, TOO_LONG)
        if ended.status:
            self._fail(status(ended.status), args, ended, status(ended.status))
        if not ended.complete:
            self._fail(
                f"ended, but a process that it started kept its output open for {GRACE:g} s more: it may be incomplete",
                args,
                ended,
                "kept its output open",
                "let the program wait for the processes that it starts",
                "point their output elsewhere: > log 2>&1",
            )
        return ended

    def _parse_output(self, output: Output, args: list[str]) -> Any:
        try:
            result = numbers(output) if self.parse is None else self.parse(output)
        except Exception as error:
            what = "printed something other than numbers" if self.parse is None else "printed what `parse` cannot read"
            problem = f"{line(args)} {what}: {type(error).__name__}: {error}{output_head(output.stdout)}"
            remedy = "parse=: a function of a record with stdout, stderr and directory, that returns the numbers"
            unread = CommandError(problem, *([remedy] if self.parse is None else []), where=self.where)
            raise unread.of_kind("printed what cannot be read") from error
        # A string or None would fail later, in the middle of the gradient, with a message about dtypes.
        leaves = jax.tree.leaves(result)
        if not leaves or not all(_is_number(leaf) for leaf in leaves):
            raise self._not_numbers(result, output, args)
        return result

    def _not_numbers(self, result: Any, output: Output, args: list[str]) -> CommandError:
        what = repr(result)
        what = what if len(what) < SHOWN else what[:SHOWN] + "..."
        problem = (
            f"parse returned {what} for {line(args)}: not a number, nor an array of numbers{output_head(output.stdout)}"
        )
        remedy = "parse: float(...) of the text, or np.array(text.split(), float)"
        return CommandError(problem, remedy, where=self.where).of_kind("parse returned no number")

    def _fail(self, what: str, args: list[str], ended: Ended, kind: str, *remedies: str) -> NoReturn:
        problem = f"{line(args)} {what}{output_tail(ended.stdout, ended.stderr)}"
        raise CommandError(problem, *remedies, where=self.where).of_kind(kind)


def command(
    args: Sequence[str | os.PathLike[str]],
    *,
    parse: Callable[[Output], Any] | None = None,
    inputs: str = "args",
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
) -> Command:
    """An external program as `fn` of `blackbox(fn, out, ...)`: run once for each evaluation, and never by a shell.

    The parts of x have names: a key of a dict or a field is its own name, one inside another is `wing.span`, an element of a
    list or a tuple `legs.0`; an x that is one array is `x`, the elements of a list `x.0`, `x.1`. Every number of x must reach the
    program: what does not would have the derivative 0, and raises.

    **Arguments:**

    - `args`: the program and its arguments. `{name}` in an argument is replaced by that part of x. Other braces are
      literal, as in programs for awk and sh and in JSON: `{print ({x} - 3)^2}`. A word alone in braces that is not a part
      of x, `{anlge}`, is taken for a misspelt name and raises before anything runs; but `${HOME}` is the shell's, and
      `{print}`, `{next}` and `{exit}` are awk's. To write it literally, double the braces, `{{word}}`, or put a space
      inside. Where all braces of an argument are doubled or around a name, doubled ones are one literal brace each, as in
      `str.format`.
    - `parse`: `parse(output)` makes the result from `output.stdout`, `output.stderr` (text) and `output.directory`. None:
      standard output holds nothing but numbers, separated by white space, commas or semicolons (Fortran's 1D+2 too): one
      float64 array of them, of shape () where there is one.
    - `inputs`: how x reaches the program.
      - `"args"`: `{angle}` is the number, `{x[0]}` or `{x[0,1]}` one number of an array, `{x}` all its numbers joined by commas.
        Where a negative number looks like an option, write `--angle={angle}`;
      - `"json"`: x is JSON on standard input: arrays are lists, dicts and dataclasses objects. `{name}` may be used as well.
        JSON has no infinity and no NaN. It is checked that the program read some of its input;
      - `"files"`: a directory is made for each run, with `name.txt` for each part of x: one row of the last axis a line, an array
        of one axis one number a line. `{name}` is that file's path, `{dir}` the directory's. Afterwards it is removed.
    - `cwd`: where the program runs, and where a relative path to it starts; None: the directory in which `command` was called;
      `"{dir}"`: the fresh directory of `inputs="files"`.
    - `env`: added to the environment.

    Numbers are written so that they read back exactly, float32 as the same float64; bools are 1 and 0 (in JSON true, false).

    **Returns:**

    A `Command`, which takes x and runs the program. When the program ends, or the call is interrupted, the processes of its
    process group are killed; where this Python itself is killed (`kill -9`), they are not.

    **Raises:**

    - `SpanaxError` for a command line in one string, an empty one, unknown `inputs`, `cwd="{dir}"` without `inputs="files"`, and
      on a system without POSIX processes.
    - `CommandError`, when it is run: the program cannot be started, exits with a status other than 0, is ended by a signal,
      prints what cannot be read, or takes longer than `within(timeout)` allows.

    >>> import numpy as np, spanax as sx
    >>> hypotenuse = sx.command(["awk", "BEGIN { print sqrt({a}^2 + {b}^2) }"])
    >>> hypotenuse({"a": np.array(3.0), "b": np.array(4.0)})
    array(5.)
    """
    if os.name != "posix":
        raise SpanaxError("command needs POSIX processes", "a Python function that calls subprocess.run")
    _check_arguments(args, parse, inputs, cwd)
    program, *rest = [os.fspath(arg) for arg in args]
    # Now, not at the run: a worker, or this process later, may be somewhere else.
    base = os.getcwd() if cwd is None or cwd == _FRESH else os.path.abspath(cwd)
    # A name without a slash is looked up in PATH; a place in it is filled at the run.
    if os.sep in program and "{" not in program:
        program = os.path.join(base, program.removeprefix("./"))
    directory = _FRESH if cwd == _FRESH else base
    return Command((program, *rest), parse, inputs, directory, tuple(sorted((env or {}).items())), here())


def numbers(output: Output) -> np.ndarray:
    """All numbers of standard output, which holds nothing else: one float64 array, of shape () where there is one.

    Raises `ValueError` for anything else than a number, and for no number at all.
    """
    # All of it has to be numbers: one taken out of a sentence may be the wrong one.
    values = np.array([_number(text) for text in re.split(r"[\s,;]+", output.stdout) if text])
    if not values.size:
        raise ValueError("no number")
    return values.reshape(()) if values.size == 1 else values


def _number(text: str) -> float:
    # A digit separator in Python only.
    if "_" in text:
        raise ValueError(f"could not convert string to float: {text!r}")
    return float(_FORTRAN.sub("e", text))


def _is_number(leaf: Any) -> bool:
    dtype = np.asarray(leaf).dtype
    return bool(jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_))


def _check_arguments(args: Any, parse: Any, inputs: Any, cwd: Any) -> None:
    if isinstance(args, str | os.PathLike):
        raise SpanaxError(f"command({os.fspath(args)!r}): no shell splits it", "shlex.split(...) of it, a list")
    if not args or not all(isinstance(arg, str | os.PathLike) for arg in args):
        raise SpanaxError(f"command({args!r})", 'a list of strings: ["./simulate", "--angle={angle}"]')
    if inputs not in _INPUTS:
        raise SpanaxError(f"command(inputs={inputs!r})", f"one of {', '.join(map(repr, _INPUTS))}")
    if cwd == _FRESH and inputs != "files":
        raise SpanaxError(f'cwd="{_FRESH}" is the directory of the inputs\' files', 'inputs="files"')
    if parse is not None and not callable(parse):
        raise SpanaxError(f"command(parse={parse!r})", "a function of a record with stdout, stderr and directory")
