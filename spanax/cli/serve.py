"""`spanax serve`: the gallery's results, and toys to play with, as a page in the browser."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from .._errors import SpanaxError, installing
from ._messages import report_errors
from ._options import Traceback, readable_folder, writable_folder


def serve(
    out: Annotated[Path, typer.Option(callback=readable_folder, help="The gallery's folder.")] = Path("gallery-out"),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 is a free one.")] = 8000,
    host: Annotated[str, typer.Option(help="Listen for other machines, too: an address of this one.")] = "127.0.0.1",
    allow_code: Annotated[
        bool, typer.Option("--allow-code", help="Let the page `find` run code, with limits. On loopback only.")
    ] = False,
    export: Annotated[
        Path | None,
        typer.Option(
            callback=lambda path: path and writable_folder(path),
            help="Write a copy into this folder that opens from a file, and serve nothing.",
        ),
    ] = None,
    show_traceback: Traceback = False,
) -> None:
    """Show the gallery's results in the browser, and toys to play with. Ctrl-C ends it."""
    with report_errors(show_traceback):
        copied, ended_by = ("", _serve(out, port, host, allow_code)) if export is None else (_export(out, export), None)
    if ended_by:
        raise typer.Exit(128 + ended_by)  # as shells report a signal
    typer.echo(copied)


def _serve(out: Path, port: int, host: str, allow_code: bool) -> int | None:
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise SpanaxError(f"the page needs {' and '.join(missing)}", *installing("web"), where="")
    from ..gallery.web.serve import serve as serve_page

    return serve_page(out, host=host, port=port, allow_code=allow_code, on_start=_show)


def _export(out: Path, folder: Path) -> str:
    # Files need no server, and no extra for one.
    from ..gallery.web.export import export

    def show(stage: str) -> None:
        typer.echo(f"spanax: {stage}", err=True)

    files = export(out, folder, on_stage=show)
    size = sum(path.stat().st_size for path in files) / 1e6
    return f"{len(files)} files, {size:.1f} MB: open {files[0]}"


def _show(url: str) -> None:
    typer.echo(f"spanax: the page is at {url} (Ctrl-C ends it)", err=True)
