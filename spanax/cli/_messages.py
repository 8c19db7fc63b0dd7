"""How a command ends: its statuses, its errors as one message, and text that fits the terminal."""

from __future__ import annotations

import importlib
import os
import re
import shutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import NoReturn, TextIO

import typer

from .._errors import SpanaxError
from .._interrupts import Work, requested
from .._layout import WIDTH, filled

UNUSABLE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it
WIDEST, NARROWEST = 120, 20  # columns


@contextmanager
def report_errors(show_traceback: bool) -> Iterator[None]:
    """Work whose errors and interruption end the command with a message and a status; what it prints goes to stderr."""
    try:
        # stdout is for the result alone, which may be piped into a parser.
        with Work(), redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt as error:
        end_interrupted(*getattr(error, "__notes__", ()), cause=error)
    except Exception as error:
        # A library may turn the interrupt into an error of its own.
        if requested():  # it is how a library passed the interrupt on
            end_interrupted(cause=error)
        if show_traceback:
            traceback.print_exception(error)
        say(f"spanax: {error}")
        raise typer.Exit(UNUSABLE) from error


def end_interrupted(*notes: str, cause: BaseException | None = None) -> NoReturn:
    typer.echo("\n".join(["spanax: interrupted", *notes]), err=True)
    raise typer.Exit(INTERRUPTED) from cause


def show_help(context: typer.Context) -> None:
    """What a group of commands does without one of them."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), nl=False)  # with rich, it has printed itself


@contextmanager
def explain_failure(what: str) -> Iterator[None]:
    """Any error inside as one message: what failed, how, and at which line of the user's."""
    try:
        yield
    except SpanaxError as error:
        if error.where.startswith(
            os.path.dirname(typer.__file__)
        ):  # who called Spanax is not a place in the user's code
            raise SpanaxError(error.problem, *error.remedies, where="") from error
        raise
    except (Exception, SystemExit) as error:
        # JAX goes on with its own story, which is for `--traceback`.
        # Only the first paragraph: what follows is about JAX's internals.
        first = re.split(r"\n\s*\n|\n?The error occurred while tracing", str(error), maxsplit=1)[0]
        remedy = "--traceback shows the whole error"
        raise SpanaxError(f"{what}: {type(error).__name__}: {first}", remedy, where=_place(error)) from error


def _place(error: BaseException) -> str:
    """The last line that the error came through and that belongs to no machinery, and if possible to no installed package."""
    import jax

    import spanax as sx

    machinery = (*(os.path.dirname(str(package.__file__)) for package in (jax, sx)), importlib.__file__, "<")
    # The user's own line is what can be mended; the machinery below it is not.
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith(machinery)]
    own = [frame for frame in lines if "site-packages" not in frame.filename] or lines
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""


def columns(stream: TextIO | None = None, most: int = WIDEST) -> int:
    """Of the terminal, but at most `most`; where stdout (or `stream`) is none, 100 or less."""
    # A pipe or a file has no width: the same text everywhere, so that it can be compared.
    if not (stream or sys.stdout).isatty():
        return min(WIDTH, most)
    return max(min(shutil.get_terminal_size().columns, most), NARROWEST)


def say(text: str) -> None:
    """A message on stderr, laid out for a terminal; a path or a command is not divided, so that it can be copied."""
    # Into a log, lines stay whole, so that they can be searched.
    if sys.stderr.isatty():
        width = columns(sys.stderr)
        text = "\n".join(
            part for line in text.split("\n") for part in filled(line, width, _hanging_indent(line), cut=False)
        )
    typer.echo(text, err=True)


def _hanging_indent(line: str) -> str:
    """As far in as its text; behind the letter of a remedy."""
    start = re.match(r" *(\([a-z]\) )?", line)
    return " " * max(len(start[0]) if start else 0, 2)
