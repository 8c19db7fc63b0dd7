"""What options of several commands have in common: their help, their limits, and what is refused before any work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

SEEDS = 2**32 - 1
BRIEFEST, LONGEST = 1e-3, 1e6  # seconds
NEAREST, FARTHEST = 1e-9, 1e9  # of a radius
MOST = 1_000_000  # of anything that is counted: more does not fit a machine, or would not end
FOLDER = "The folder for the pictures and result.json."


def writable_folder(path: Path) -> Path:
    """Raises a usage error where the folder is not there and cannot be made, or nothing can be written into it."""
    there = _nearest_folder(path)
    if not os.access(there, os.W_OK | os.X_OK):
        raise typer.BadParameter(f"{str(path)!r}: no permission to write into {there}")
    return path


def readable_folder(path: Path) -> Path:
    """The same of a folder that is read, and that may come to be later."""
    if not os.access(there := _nearest_folder(path), os.R_OK | os.X_OK):
        raise typer.BadParameter(f"{str(path)!r}: no permission to read {there}")
    return path


def _nearest_folder(path: Path) -> Path:
    """The nearest folder that exists, which decides whether the rest can be made."""
    try:
        there = next(folder for folder in (path, *path.absolute().parents) if _is_there(folder))
    except (OSError, ValueError) as error:  # too long a name; a zero byte
        raise typer.BadParameter(f"{str(path)!r}: {getattr(error, 'strerror', error)}") from error
    if not there.is_dir():
        raise typer.BadParameter(f"{str(path)!r}: {there} is not a folder")
    return there


def _is_there(path: Path) -> bool:
    try:
        # lstat: a link that leads nowhere is there, and in the way.
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return True


def writable_file(path: Path | None) -> Path | None:
    """The same of a file in a folder that is there."""
    if path is None:
        return None
    folder = writable_folder(path).parent
    if path.is_dir():
        raise typer.BadParameter(f"{str(path)!r} is a folder, not a file")
    if not folder.is_dir():
        raise typer.BadParameter(f"{path}: there is no folder {folder}")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise typer.BadParameter(f"{path}: no permission to write it")
    return path


def between(low: float, high: float, unit: str = "") -> Callable[[float], float]:
    """Refuses what is not between them; typer's own limits let NaN through."""

    def check(value: float) -> float:
        # Written so that NaN fails, which every comparison with it does.
        if not low <= value <= high:
            raise typer.BadParameter(f"{value:g} is not between {low:g} and {high:g} {unit}".rstrip())
        return value

    return check


def even(value: int) -> int:
    if value % 2:
        raise typer.BadParameter(f"{value} is odd, and must be even: some bridges draw pairs")
    return value


Traceback = Annotated[bool, typer.Option("--traceback", help="Show an error's whole traceback.")]
