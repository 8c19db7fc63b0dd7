"""What the runs of the gallery have left in a folder: their settings, figures and pictures. Reads only, and imports no jax.

Whatever lies there, the answer is a list: a report that is missing, cut off or not one of ours is a `problem` of its record.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .problems import BY_NAME, PROBLEMS

PICTURES = (".png", ".gif", ".svg")
MOST_BYTES = 8_000_000  # of a report: ours have a few thousand
MOST_ROWS = 200

# What a report holds besides its figures.
_CONTEXT = {"problem", "interrupted", "settings", "versions", "python", "device"}

Scalar = str | float | int | bool | None


@dataclass(frozen=True)
class Table:
    """A list of the report, its numbers and words: what is nested deeper, such as a curve, is left out."""

    name: str
    heads: tuple[str, ...]
    rows: tuple[tuple[Scalar, ...], ...]


@dataclass(frozen=True)
class Record:
    """One run.

    - `name`: of its folder; `title`: the problem's line in the registry, or the name of a problem that is not there;
    - `settings`, `figures`: names and numbers or words; those of a group are named `group.name`;
    - `pictures`: their paths inside the folder that was asked for, with `/` between;
    - `when`: of the report, in seconds since 1970; None without one;
    - `problem`: why there are no figures, "" where there are.
    """

    name: str
    title: str
    settings: dict[str, Scalar]
    figures: dict[str, Scalar]
    tables: tuple[Table, ...]
    pictures: tuple[str, ...]
    interrupted: bool = False
    when: float | None = None
    problem: str = ""


def collect(folder: str | Path) -> list[Record]:
    """A record for each folder in `folder` with a report or pictures of a run, in the order of the registry.

    **Arguments:**

    - `folder`: such as gallery-out. It need not be there.

    **Returns:** records. Links are followed nowhere: a picture is a regular file in its own folder.

    >>> from spanax.gallery.results import collect
    >>> collect("no-such-folder")
    []
    """
    order = {problem.name: number for number, problem in enumerate(PROBLEMS)}
    found = [record for path in _folders(Path(folder)) if (record := _record(path)) is not None]
    return sorted(found, key=lambda record: (order.get(record.name, len(order)), record.name))


def _folders(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if not path.name.startswith(".") and _is(path, stat.S_ISDIR))
    except OSError:  # not there, no folder, or not ours to read
        return


def _is(path: Path, kind: Any) -> bool:
    try:
        # lstat: a link could lead out of the folder, whose content a page may show.
        return kind(path.lstat().st_mode)
    except OSError:
        return False


def _record(folder: Path) -> Record | None:
    pictures = tuple(sorted(f"{folder.name}/{path.name}" for path in _files(folder) if path.suffix in PICTURES))
    path = folder / "result.json"
    if _is(path, stat.S_ISREG):
        return _reported(folder, pictures, *_read(path), _when(path))
    # A folder of ours without a report is a run that was killed; any other one is none of our business.
    known = pictures and folder.name in BY_NAME
    return _reported(folder, pictures, {}, "result.json is missing", None) if known else None


def _reported(folder: Path, pictures: tuple[str, ...], content: dict, problem: str, when: float | None) -> Record:
    name = str(content.get("problem", folder.name))
    figures = {name: value for name, value in content.items() if name not in _CONTEXT}
    return Record(
        name=folder.name,
        title=BY_NAME[name].title if name in BY_NAME else name,
        settings=_flat(content.get("settings")),
        figures=_flat(figures),
        tables=tuple(_tables(figures)),
        pictures=pictures,
        interrupted=content.get("interrupted") is True,
        when=when,
        problem=problem,
    )


def _files(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if _is(path, stat.S_ISREG))
    except OSError:
        return


def _when(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except OSError:
        return None


def _read(path: Path) -> tuple[dict[str, Any], str]:
    """The report, and what is wrong with it."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return {}, "result.json is too large for a report"
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        return {}, f"result.json cannot be read: {error.strerror}"
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested without end
        return {}, "result.json is damaged"
    return (content, "") if isinstance(content, dict) else ({}, "result.json holds no report")


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, str | bool | int) or (isinstance(value, float) and math.isfinite(value))


def _flat(values: Any) -> dict[str, Scalar]:
    """Numbers and words by name; those of a dictionary inside as `outer.inner`, and short lists of numbers as text."""
    flat: dict[str, Scalar] = {}
    for name, value in values.items() if isinstance(values, dict) else ():
        if _is_scalar(value):
            flat[name] = value
        elif isinstance(value, list) and value and len(value) <= 12 and all(map(_is_scalar, value)):
            flat[name] = ", ".join(shown(x) for x in value)
    return flat | _nested(values)


def _nested(values: Any) -> dict[str, Scalar]:
    """The numbers and words one level down, as `group.name`."""
    flat: dict[str, Scalar] = {}
    for name, group in values.items() if isinstance(values, dict) else ():
        if isinstance(group, dict):
            flat |= {f"{name}.{inner}": x for inner, x in group.items() if _is_scalar(x)}
    return flat


def _tables(values: dict[str, Any]) -> Iterator[Table]:
    for name, value in values.items():
        rows = [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []
        if rows:
            yield _table(name, [_row(row) for row in rows[:MOST_ROWS]])


def _row(row: dict[str, Any]) -> dict[str, Scalar]:
    return {head: x for head, x in row.items() if _is_scalar(x)} | _nested(row)


def _table(name: str, rows: list[dict[str, Scalar]]) -> Table:
    # Rows of one list need not have the same names: each name is a column.
    heads = tuple(dict.fromkeys(head for row in rows for head in row))
    return Table(name, heads, tuple(tuple(row.get(head) for head in heads) for row in rows))


def shown(value: Scalar) -> str:
    """A figure as a reader wants it: four significant digits, thousands with commas, `-` for one that is not there."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case float():
            return f"{value:,.0f}" if 1000 <= abs(value) < 1e9 else f"{value:.4g}"
    return value
