"""JSON out: numbers that are not finite are null, and whatever is an array is a list."""

from __future__ import annotations

import json
import math
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response


def plain(content: Any) -> Any:
    """The content as JSON has it."""
    match content:
        case dict():
            return {str(name): plain(value) for name, value in content.items()}
        case list() | tuple():
            return [plain(value) for value in content]
        case bool() | int() | str() | None:
            return content
        case float():
            return content if math.isfinite(content) else None
    # Arrays and scalars of NumPy and JAX.
    return plain(content.tolist())


def line(content: Any) -> bytes:
    """As one line of JSON, without its end."""
    return json.dumps(plain(content), ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def reply(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(line(content), status, headers, media_type="application/json")


def refusal(status: int, problem: str, headers: dict[str, str] | None = None) -> Response:
    return reply({"error": problem}, status, headers)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own refusals, such as 404 and 405, in the form of the others."""
    assert isinstance(error, HTTPException)
    return refusal(error.status_code, error.detail, dict(error.headers or {}))
