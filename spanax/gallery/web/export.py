"""A static copy of the page, which opens from a file: results with their pictures, and toys that play recordings."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from itertools import accumulate
from pathlib import Path

from ..._errors import SpanaxError, warn
from ..results import collect
from ._server.gallery import render

ASSETS = Path(__file__).parent / "assets"
MOST_BYTES = 15_000_000
PLACE = "<!--recorded-->"
# The page of each recorded action; the other pages say themselves that they need a server.
PAGES = {
    "trebuchet/shoot": "trebuchet",
    "cartpole/balance": "cartpole",
    "pendulum/swing": "pendulum",
    "bench/measure": "estimators",
}


def export(
    gallery_folder: str | Path,
    out: str | Path,
    *,
    grids: Mapping[str, Mapping[str, list]] | None = None,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> tuple[Path, ...]:
    """Writes a copy of the page that needs no server: open its index.html.

    The toys of the copy play recorded answers, the nearest to what is asked, and say so. Where all together would have more than
    15 MB, the largest pictures are left out, with a warning.

    **Arguments:**

    - `gallery_folder`: the gallery's folder; it need not exist.
    - `out`: the copy's folder: a new one, an empty one, or an earlier copy, which is replaced file by file.
    - `grids`: what is recorded: of each action, the values of each thing that it asks. None: some 4,000 answers.
    - `on_stage`: called with "recording: ..." and "copying" before each.

    **Returns:** the files that were written, index.html first.

    **Raises:** `SpanaxError` where `out` holds something else, or cannot be written.
    """
    out = Path(out)
    _check(out, Path(gallery_folder))
    try:
        return _write(Path(gallery_folder), out, grids, on_stage)
    except OSError as error:
        problem = f"the copy cannot be written to {str(out)!r}: {error.strerror or error}"
        raise SpanaxError(problem, "--export with a folder that is writable, and has room", where="") from error


def _check(out: Path, gallery_folder: Path) -> None:
    here, there = out.resolve(), gallery_folder.resolve()
    if here == there or there in here.parents or here in there.parents:
        problem = f"the copy would be written into the gallery's own folder, {str(gallery_folder)!r}"
        raise SpanaxError(problem, "--export with a folder beside it", where="")
    if out.exists() and not out.is_dir():
        raise SpanaxError(f"{str(out)!r} is a file", "--export with another folder", where="")
    # An index.html alone could be anybody's: a copy of ours has its own script, too.
    if out.is_dir() and any(out.iterdir()) and not (out / "toys" / "base.js").is_file():
        problem = f"{str(out)!r} holds something that is not a copy of the page, and is kept"
        raise SpanaxError(problem, "--export with a new or an empty folder", where="")


def _write(gallery_folder: Path, out: Path, grids: Mapping | None, on_stage: Callable[[str], None]) -> tuple[Path, ...]:
    # Only now: recording compiles, which a wrong folder is not to wait for.
    from ._toys.recordings import GRIDS, record

    toys = out / "toys"
    toys.mkdir(parents=True, exist_ok=True)
    written = [_copy(path, toys / path.name) for path in sorted(ASSETS.iterdir()) if path.name != "index.html"]
    for name, axes in (GRIDS if grids is None else grids).items():
        on_stage(f"recording: {PAGES[name]}")
        script, page = toys / f"recorded-{PAGES[name]}.js", toys / f"{PAGES[name]}.html"
        script.write_text(record(name, axes), encoding="utf-8")
        tag = f'<script src="{script.name}"></script>'
        page.write_text(page.read_text(encoding="utf-8").replace(PLACE, tag), encoding="utf-8")
        written.append(script)
    on_stage("copying")
    results = _copy_results(gallery_folder, out / "results", MOST_BYTES - sum(map(_size, written)))
    index = out / "index.html"
    # Of the copied results: what was left out has no link.
    index.write_text(render((ASSETS / "index.html").read_text(encoding="utf-8"), out / "results"), encoding="utf-8")
    return (index, *written, *results)


def _copy(path: Path, to: Path) -> Path:
    # The content alone: the package may be installed read-only, and a copy is to be replaced.
    shutil.copyfile(path, to)
    return to


def _copy_results(folder: Path, to: Path, room: int) -> list[Path]:
    """Pictures and reports of all runs, except the largest pictures, where they have no room."""
    # An earlier copy may hold runs that are no longer there.
    shutil.rmtree(to, ignore_errors=True)
    records = collect(folder)
    reports = [path for record in records if (path := folder / record.name / "result.json").is_file()]
    pictures = [folder / picture for record in records for picture in record.pictures]
    found = reports + _fitting(pictures, folder, room - sum(map(_size, reports)))
    for path in found:
        (to / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
    return [_copy(path, to / path.relative_to(folder)) for path in found]


def _fitting(pictures: list[Path], folder: Path, room: int) -> list[Path]:
    # Small ones first: of a result something is seen, if not its film.
    ordered = sorted(pictures, key=_size)
    fitting = [path for path, total in zip(ordered, accumulate(map(_size, ordered)), strict=True) if total <= room]
    if left_out := ordered[len(fitting) :]:
        shown = ", ".join(str(path.relative_to(folder)) for path in left_out[:5])
        warn(f"{len(left_out)} pictures are not in the copy, which would be over {MOST_BYTES // 10**6} MB: {shown}")
    return fitting


def _size(path: Path) -> int:
    return path.stat().st_size
