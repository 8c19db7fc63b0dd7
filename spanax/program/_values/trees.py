"""Values inside lists, tuples and dictionaries."""

from __future__ import annotations

from typing import Any

from .values import Composite, Value, is_unknown, raw, wrapped

_CONTAINERS = (list, tuple)


def has_unknown(x: Any) -> bool:
    """Does it hold a value that is not known, at any depth?"""
    if isinstance(x, _CONTAINERS):
        return any(map(has_unknown, x))
    if isinstance(x, dict):
        return any(map(has_unknown, x.values()))
    return is_unknown(x)


def has_value(x: Any) -> bool:
    if isinstance(x, _CONTAINERS):
        return any(map(has_value, x))
    if isinstance(x, dict):
        return any(map(has_value, x.values()))
    return isinstance(x, (Value, Composite))


def has_composite(x: Any) -> bool:
    if isinstance(x, _CONTAINERS):
        return any(map(has_composite, x))
    if isinstance(x, dict):
        return any(map(has_composite, x.values()))
    return isinstance(x, Composite)


def unwrapped(x: Any) -> Any:
    """What values hold, in containers as well."""
    if isinstance(x, _CONTAINERS):
        parts = [unwrapped(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: unwrapped(part) for key, part in x.items()}
    return raw(x)


def rewrapped(x: Any) -> Any:
    """A result as the program sees it."""
    if isinstance(x, _CONTAINERS):
        parts = [rewrapped(part) for part in x]
        if all(new is old for new, old in zip(parts, x, strict=True)):
            return x
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return wrapped(x)
