"""How a command ends: its statuses, its errors as one message, and text that fits the terminal."""

from __future__ import annotations

import functools
import importlib
import os
import re
import shutil
import sys
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout

import typer

from .._errors import SpanaxError

UNUSABLE = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells report it


@contextmanager
def ending(show_traceback: bool) -> Iterator[None]:
    """Work whose errors and interruption end the command with a message and a status; what it prints goes to stderr."""
    try:
        with redirect_stdout(sys.stderr):
            yield
    except KeyboardInterrupt as error:
        typer.echo("\n".join(["spanax: interrupted", *getattr(error, "__notes__", ())]), err=True)
        raise typer.Exit(INTERRUPTED) from error
    except Exception as error:
        if show_traceback:
            traceback.print_exception(error)
        typer.echo(f"spanax: {error}", err=True)
        raise typer.Exit(UNUSABLE) from error


@contextmanager
def told(what: str) -> Iterator[None]:
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


def table_width(most: int = 100) -> int:
    """The columns of the terminal; `most` where stdout is none."""
    return min(shutil.get_terminal_size().columns, most) if sys.stdout.isatty() else most


def fitted(text: str) -> str:
    """The text as a terminal can show it; as it is where stdout is none."""
    return folded(text, shutil.get_terminal_size().columns) if sys.stdout.isatty() else text


def folded(text: str, width: int) -> str:
    """Lines longer than a narrow terminal go on further in, so that rows can still be told apart."""
    fold = functools.partial(textwrap.wrap, width=width, subsequent_indent=" " * 8, break_on_hyphens=False)
    return "\n".join(part for line in text.splitlines() for part in fold(line) or [""])
