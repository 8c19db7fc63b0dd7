"""What a toy reads from a request, and how it refuses one."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any


class BadRequest(Exception):  # noqa: N818  # the name of the answer's status
    """A request that cannot be answered as it stands: status 422, and the message as `error`."""


def number(body: Mapping[str, Any], name: str, low: float, high: float, default: float | None = None) -> float:
    """The finite number `name` of a request, between `low` and `high`, both included.

    >>> number({"wind": -4}, "wind", -30, 30)
    -4.0
    """
    value = _given(body, name, default)
    # bool is a subclass of int, and `true` is a mistake; Python's comparison keeps an int of 400 digits from overflowing.
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise BadRequest(f"{name} is a number between {low:g} and {high:g}, not {_shown(value)}")
    return float(value)


def whole(body: Mapping[str, Any], name: str, low: int, high: int, default: int | None = None) -> int:
    """The whole number `name`, between `low` and `high`, both included. JSON's 3.0 is one."""
    value = _given(body, name, default)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)  # a slider's value may come as 3.0
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise BadRequest(f"{name} is a whole number between {low} and {high}, not {_shown(value)}")
    return value


def choice(body: Mapping[str, Any], name: str, allowed: Collection[str], default: str | None = None) -> str:
    """The text `name`, one of those `allowed`."""
    value = _given(body, name, default)
    if not isinstance(value, str) or value not in allowed:
        raise BadRequest(f"{name} is one of {', '.join(sorted(allowed))}, not {_shown(value)}")
    return value


def numbers(body: Mapping[str, Any], name: str, count: int, low: float, high: float) -> list[float]:
    """The list `name` of `count` numbers, each between `low` and `high`: a state that the page holds."""
    values = _given(body, name, None)
    if not isinstance(values, list) or len(values) != count:
        raise BadRequest(f"{name} is a list of {count} numbers, not {_shown(values)}")
    return [number({f"{name} {i}": value}, f"{name} {i}", low, high) for i, value in enumerate(values)]


def text(body: Mapping[str, Any], name: str, most: int, default: str | None = None) -> str:
    """The text `name`, of `most` characters at most."""
    value = _given(body, name, default)
    if not isinstance(value, str):
        raise BadRequest(f"{name} is a text, not {_shown(value)}")
    if len(value) > most:
        raise BadRequest(f"{name} has {len(value):,} characters, and {most:,} are the most")
    return value


def _given(body: Mapping[str, Any], name: str, default: Any) -> Any:
    value = body.get(name, default)
    if value is None:
        raise BadRequest(f"{name} is missing")
    return value


def _shown(value: object) -> str:
    """As the sender wrote it, as far as it fits a message."""
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "an object"
    shown = str(value) if not isinstance(value, int) or abs(value) < 10**20 else "a longer one"
    return shown if len(shown) <= 40 else f"{shown[:40]}..."
