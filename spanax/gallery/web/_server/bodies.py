"""A request's JSON object, read within limits."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

MOST = 1_000_000  # bytes


async def read_object(request: Request) -> dict[str, Any]:
    """The JSON object that a request carries. Raises `HTTPException`: 413, 415, or 400 for anything else that is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind.strip().lower() != "application/json":
        raise HTTPException(415, "send application/json")
    content = _parse(await _read(request))
    if not isinstance(content, dict):
        raise HTTPException(400, "send one JSON object")
    return content


async def _read(request: Request) -> bytes:
    # Some say beforehand how much they will send: they are spared to send it.
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said[:12]) > MOST:
        _refuse_size()
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MOST:
                _refuse_size()
    except ClientDisconnect:
        raise HTTPException(499, "half a request") from None  # which nobody reads
    return bytes(body)


def _refuse_size() -> NoReturn:
    raise HTTPException(413, f"a request of more than {MOST:,} bytes")


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_refuse_constant)
    except RecursionError:
        raise HTTPException(400, "JSON nested too deeply") from None
    except ValueError as error:  # no UTF-8, no JSON, an integer of thousands of digits
        raise HTTPException(400, f"no JSON: {str(error)[:100]}") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
