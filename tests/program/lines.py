"""Where the lines of a program are that errors and reports are to name."""

import inspect
import pathlib


def place(function, text):
    """`file:line` of the line of the function that has this text."""
    lines, first = inspect.getsourcelines(function)
    (line,) = [first + i for i, source in enumerate(lines) if text in source]
    return f"{pathlib.Path(function.__code__.co_filename).name}:{line}"
