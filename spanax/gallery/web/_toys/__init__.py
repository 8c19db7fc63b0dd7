"""The toys: what the page's figures are computed by, as plain functions of a request's JSON object.

`ACTIONS["toy/action"](body) -> dict` answers `POST /api/toy/action`. `STREAMS["toy/action"](body, cancelled) -> Iterator[dict]`
answers with one JSON object a line, for as long as the page listens; `cancelled()` says whether it still does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..requests import number, whole

ACTIONS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {}
STREAMS: dict[str, Callable[[dict[str, Any], Callable[[], bool]], Iterator[dict[str, Any]]]] = {}


def _square(body: dict[str, Any]) -> dict[str, Any]:
    x = number(body, "x", -1e6, 1e6)
    return {"x": x, "square": x * x}


def _count(body: dict[str, Any], cancelled: Callable[[], bool]) -> Iterator[dict[str, Any]]:
    """Stands in for a training: `to` lines, one every `every_ms` milliseconds."""
    import time

    to, pause = whole(body, "to", 1, 10_000), number(body, "every_ms", 0, 1000, 100) / 1000
    for i in range(to):
        if cancelled():
            return
        yield {"i": i}
        time.sleep(pause)


ACTIONS["example/square"] = _square
STREAMS["example/count"] = _count
