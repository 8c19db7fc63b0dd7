"""Values inside lists, tuples and dictionaries."""

from __future__ import annotations

from typing import Any

from .values import Composite, Value, is_unknown, raw, wrap

# By recursion, without memory of what was seen: the arguments of a NumPy function, which are small and have no cycles.
_CONTAINERS = (list, tuple)


def has_unknown(x: Any) -> bool:
    """Does it hold, at any depth, a value that is not known?"""
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


def unwrap(x: Any) -> Any:
    """The data of values, also in containers."""
    if isinstance(x, _CONTAINERS):
        parts = [unwrap(part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        return {key: unwrap(part) for key, part in x.items()}
    return raw(x)


def rewrap(x: Any) -> Any:
    """A result as the program sees it, also in containers."""
    if isinstance(x, _CONTAINERS):
        parts = [rewrap(part) for part in x]
        # The same object where nothing has changed: a list is known by its identity.
        if all(new is old for new, old in zip(parts, x, strict=True)):
            return x
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return wrap(x)
