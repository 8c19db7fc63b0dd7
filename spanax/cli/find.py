"""`spanax find`: which lines of a function cut its gradient."""

from __future__ import annotations

import functools
import importlib
import inspect
import json
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from .._errors import SpanaxError

if TYPE_CHECKING:
    from ..gaps import GapReport, JumpReport

CUT = 1
UNUSABLE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
FORMS = "a tuple of arguments, a dict of keyword arguments, or a function without arguments that returns either"


def _positions(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"\d+(,\d+)*", text):
        raise typer.BadParameter(f"{text!r} is no list of positions, such as 0 or 0,2")
    return tuple(map(int, text.split(",")))


def find(
    function: Annotated[str, typer.Argument(metavar="MODULE:FUNCTION", help="Such as package.module:Class.method.")],
    args: Annotated[str, typer.Option(metavar="MODULE:NAME", help=f"What to call it with: {FORMS}.")],
    argnums: Annotated[
        tuple, typer.Option(parser=_positions, metavar="N,N", help="The arguments to differentiate in, from 0.")
    ] = "0",  # pyright: ignore[reportArgumentType]
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    jumps: Annotated[bool, typer.Option("--jumps", help="Look for jumps of the values as well.")] = False,
    radius: Annotated[float, typer.Option(help="How far from the arguments to look for jumps.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="Fixes where to look for jumps.")] = 0,
    show_traceback: Annotated[bool, typer.Option("--traceback", help="Show an error's whole traceback.")] = False,
) -> None:
    """Say which lines of a function cut its gradient.

    The status is 1 where the gradient is dead or partly cut, and 2 where the function cannot be looked at.
    What the function's module prints goes to stderr.
    """
    try:
        with redirect_stdout(sys.stderr):
            call = _call(function, args, argnums)
            gaps = _gaps(call)
            found = _jumps(call, radius, seed) if jumps else None
    except KeyboardInterrupt as error:
        typer.echo("spanax: interrupted", err=True)
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        if show_traceback:
            traceback.print_exception(error)
        typer.echo(f"spanax: {error}", err=True)
        raise typer.Exit(UNUSABLE) from error
    typer.echo(_object(gaps, found) if as_json else _text(gaps, found))
    if gaps.verdict in ("dead", "partial"):
        raise typer.Exit(CUT)


# -- what to look at


class _Call(NamedTuple):
    name: str
    function: Callable[..., Any]
    args: tuple
    kwargs: dict[str, Any]
    argnums: tuple[int, ...]


def _call(name: str, args_name: str, argnums: tuple[int, ...]) -> _Call:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    function, example = _load(name), _load(args_name)
    if not callable(function):
        raise SpanaxError(f"{name} is no function: it is {_a(function)}")
    if callable(example):
        with _told(f"calling {args_name}() failed"):
            example = example()
    args, kwargs = _fitting(name, function, args_name, example)
    for number in argnums:
        if number >= len(args):
            raise SpanaxError(f"--argnums has {number}, and {args_name} gives {len(args)} positional arguments, from 0")
    return _Call(name, function, args, kwargs, argnums)


def _load(name: str) -> Any:
    """The object that `package.module:dotted.name` names."""
    module, colon, path = name.partition(":")
    if not (module and colon and path):
        raise SpanaxError(
            f"{name!r} has no module and name", "", "write package.module:name, with a colon between them"
        )
    with _told(f"importing {module} failed"):
        found = importlib.import_module(module)
    walked = module
    for piece in path.split("."):
        if not hasattr(found, piece):
            near = [f"{walked}{colon}{match}" for match in get_close_matches(piece, dir(found), 3)]
            raise SpanaxError(f"{walked} has no {piece!r}", "", *near)
        found, walked, colon = getattr(found, piece), f"{walked}{colon}{piece}", "."
    return found


def _fitting(name: str, function: Callable, args_name: str, example: Any) -> tuple[tuple, dict[str, Any]]:
    """Positional and keyword arguments; what can be given by position is, so that `argnums` can name it."""
    if not isinstance(example, (tuple, dict)):
        raise SpanaxError(f"{args_name} gives {_a(example)}", "", f"make it {FORMS}")
    args, kwargs = ((), example) if isinstance(example, dict) else (example, {})
    signature = _signature(function)
    if signature is None:
        return args, kwargs
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError as error:
        raise SpanaxError(f"{args_name} does not fit {name}{signature}: {error}") from error
    return bound.args, bound.kwargs


def _signature(function: Callable) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions written in C do not tell
        return None


def _a(value: Any) -> str:
    return f"a value of type {type(value).__name__}"


# -- looking


def _gaps(call: _Call) -> GapReport:
    import spanax as sx

    with _told(f"{call.name} cannot be traced"):
        return sx.find_gaps(call.function, *call.args, argnums=call.argnums, **call.kwargs)


def _jumps(call: _Call, radius: float, seed: int) -> JumpReport:
    import jax

    import spanax as sx

    with _told(f"looking for jumps of {call.name} failed"):
        chosen = [call.args[number] for number in call.argnums]
        return sx.find_jumps(_of_chosen(call), *chosen, key=jax.random.key(seed), radius=radius)


def _of_chosen(call: _Call) -> Callable[..., Any]:
    """The function of the arguments `argnums` alone: a `key` that is among the others stays the one it is."""

    def of_chosen(*chosen):
        args = list(call.args)
        for number, value in zip(call.argnums, chosen, strict=True):
            args[number] = value
        return call.function(*args, **call.kwargs)

    of_chosen.__name__ = getattr(call.function, "__name__", call.name)
    if signature := _signature(call.function):
        parameters = list(signature.parameters.values())
        named = [parameters[number] for number in call.argnums if number < len(parameters)]
        of_chosen.__signature__ = inspect.Signature([p.replace(kind=p.POSITIONAL_ONLY, default=p.empty) for p in named])
    return of_chosen


# -- what is said


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Any error inside as one message: what failed, how, and at which line of the user's."""
    try:
        yield
    except SpanaxError as error:
        if error.where.startswith(os.path.dirname(typer.__file__)):  # who called Spanax is no place of the user's
            raise SpanaxError(error.problem, "", *error.remedies) from error
        raise
    except (Exception, SystemExit) as error:
        # JAX goes on with its own story, which is for `--traceback`.
        first = re.split(r"\n\s*\n|\n?The error occurred while tracing", str(error), maxsplit=1)[0]
        remedy = "--traceback shows the whole error"
        raise SpanaxError(f"{what}: {type(error).__name__}: {first}", _place(error), remedy) from error


def _place(error: BaseException) -> str:
    """The last line that the error came through and that belongs to no machinery."""
    import jax

    import spanax as sx

    machinery = (*(os.path.dirname(str(package.__file__)) for package in (jax, sx)), importlib.__file__, "<")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith(machinery):
            return f"{frame.filename}:{frame.lineno}"
    return ""


def _object(gaps: GapReport, jumps: JumpReport | None) -> str:
    if jumps is None:
        return gaps.to_json()
    return json.dumps({**json.loads(gaps.to_json()), "jumps": json.loads(jumps.to_json())}, indent=2)


def _text(gaps: GapReport, jumps: JumpReport | None) -> str:
    text = str(gaps) if jumps is None else f"{gaps}\n\n{jumps}"
    return _folded(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text


def _folded(text: str, width: int) -> str:
    """Lines longer than a narrow terminal go on further in, so that rows can still be told apart."""
    fold = functools.partial(textwrap.wrap, width=width, subsequent_indent=" " * 8, break_on_hyphens=False)
    return "\n".join(part for line in text.splitlines() for part in fold(line) or [""])
