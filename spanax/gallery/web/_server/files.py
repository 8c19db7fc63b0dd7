"""Files of one folder, and nothing else: by kind, without links out of it, and without what a browser would run."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.staticfiles import NotModifiedResponse

PICTURES = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg", ".svg": "image/svg+xml"}
RESULTS = {**PICTURES, ".json": "application/json"}
ASSETS = {
    **PICTURES,
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
}
# An SVG that is opened as a page of its own could run scripts.
INERT = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; sandbox"}


class Folder:
    """Answers with the files under `root` whose suffix is in `kinds`, which gives their media types."""

    def __init__(self, root: str | Path, kinds: Mapping[str, str], headers: Mapping[str, str] | None = None):
        self.root, self.kinds, self.headers = Path(root), kinds, dict(headers or {})

    def respond(self, request: Request, path: str) -> Response:
        """The file `path`, decoded, relative to the folder. Raises 404 where there is none that may be read."""
        file, found = self.find(path)
        response = FileResponse(
            file, headers=self.headers, stat_result=found, media_type=self.kinds[file.suffix.lower()]
        )
        if request.headers.get("if-none-match") == response.headers["etag"]:
            return NotModifiedResponse(response.headers)
        return response

    def find(self, path: str) -> tuple[Path, os.stat_result]:
        pieces = path.split("/")
        if not all(map(_is_plain, pieces)):
            raise HTTPException(404)
        try:
            root, file = self.root.resolve(), self.root.joinpath(*pieces).resolve(strict=True)
            found = file.stat()
        except (OSError, RuntimeError, ValueError):  # not there, not readable, too long, a circle of links
            raise HTTPException(404) from None
        # What a link leads to counts, not the link: its place, and its kind.
        inside = file.is_relative_to(root) and file.suffix.lower() in self.kinds
        if not inside or not stat.S_ISREG(found.st_mode) or not os.access(file, os.R_OK):
            raise HTTPException(404)
        return file, found


def _is_plain(piece: str) -> bool:
    """Refused by their form, before the file system is asked: "", hidden files, "..", Windows' separators, a zero byte."""
    return bool(piece) and not piece.startswith(".") and "\\" not in piece and "\0" not in piece
