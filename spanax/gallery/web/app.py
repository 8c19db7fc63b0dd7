"""The application of `spanax serve`: its routes."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ..._errors import SpanaxError
from ._find.handlers import Find
from ._server.files import ASSETS, INERT, RESULTS, Folder
from ._server.gallery import render
from ._server.guard import Guard
from ._server.hosts import Hosts
from ._server.replies import on_http_error, refusal
from ._server.toys import warm
from ._server.work import Work

ASSETS_FOLDER = Path(__file__).parent / "assets"


def make_app(folder: str | Path, *, allow_code: bool = False, hosts: Hosts | None = None) -> Starlette:
    """The page over the results in `folder`.

    Its paths are those of a static copy, with relative links: `/` (the gallery), `/toys/...` (pages, scripts and styles),
    `/results/<problem>/...` (pictures and result.json of the folder), and beside them `POST /api/<toy>/<action>`.

    **Arguments:**

    - `folder`: the gallery's folder; it need not exist yet.
    - `allow_code`: does the page `find` evaluate the code that it is sent? Only for a server that nobody else can reach.
    - `hosts`: the names that it answers to; by default those of loopback.

    **Raises:**

    - `SpanaxError`: code is allowed, and so are other hosts.

    **Returns:**

    An ASGI application. Its `state.work` has `stop()`, which ends the trainings.
    """
    results, assets = Folder(folder, RESULTS, INERT), Folder(ASSETS_FOLDER, ASSETS)
    hosts, work, find = hosts or Hosts(), Work(), Find(allow_code)
    if allow_code and hosts.any_address:
        raise SpanaxError("code is allowed only to this machine", "make_app(folder, allow_code=True)", where="")

    def result(request: Request) -> Response:
        return results.respond(request, request.path_params["path"])

    def asset(request: Request) -> Response:
        return assets.respond(request, request.path_params["path"])

    def gallery(request: Request) -> Response:
        return HTMLResponse(render((ASSETS_FOLDER / "index.html").read_text(encoding="utf-8"), folder))

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        warm()
        yield
        find.stop()
        await work.finish()

    app = Starlette(
        routes=[
            Route("/", gallery),
            Route("/index.html", gallery),
            Route("/toys/{path:path}", asset),
            Route("/results/{path:path}", result),
            Route("/api/find/state", find.state, methods=["POST"]),
            Route("/api/find/look", find.look, methods=["POST"]),
            Route("/api/{toy}/{action}", work.respond, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, hosts=hosts)],
        exception_handlers={HTTPException: on_http_error, Exception: _on_error},
        lifespan=lifespan,
    )
    app.state.work, app.state.find = work, find
    app.router.redirect_slashes = False
    return app


async def _on_error(request: Request, error: Exception) -> Response:
    """An error of ours: Starlette logs it, and the answer says nothing of what it holds."""
    return refusal(500, "the server failed: its log says why")
