"""index.html: every result of a gallery folder on one page, which opens from the disk and needs no script."""

from __future__ import annotations

import os
from pathlib import Path

from ._index.page import GENERATOR, page
from .problems import PROBLEMS
from .results import collect

NAME = "index.html"


def write_index(folder: str | Path) -> Path:
    """Writes `folder`/index.html anew from what lies in the folder, and returns its path.

    Pictures are linked, not copied: the page belongs to its folder.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    # Replaced as a whole: a browser that reads it meanwhile, or a second Ctrl-C, finds no half of a page.
    unfinished = path.with_name(f".{NAME}.{os.getpid()}.tmp")
    unfinished.write_text(page(collect(folder), PROBLEMS), encoding="utf-8")
    unfinished.replace(path)
    return path


def update_index(folder: str | Path) -> Path | None:
    """The same where there is such a page already; another index.html is left alone."""
    path = Path(folder) / NAME
    # A user may keep a page of their own there: ours is known by its first lines.
    try:
        with path.open(encoding="utf-8") as file:
            ours = GENERATOR in file.read(400)
    except (OSError, ValueError):
        return None
    return write_index(folder) if ours else None
