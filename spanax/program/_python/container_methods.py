"""Methods of lists, dictionaries, sets and texts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._session import session, unliftable
from .._values.cells import changing, linked, usable
from .._values.settling import settle
from .._values.text import Text, formatted
from .._values.trees import has_unknown
from .builtins import CALLS, listed

_WRITING = frozenset(
    "append appendleft extend extendleft insert remove pop popleft clear rotate sort reverse update setdefault popitem add "
    "discard "
    "difference_update intersection_update symmetric_difference_update subtract move_to_end".split()
)
_KEEPING = frozenset("append appendleft insert setdefault get".split())
_LOOKING = frozenset("index remove count get pop setdefault discard".split())


def container_method(method: Callable, owner: Any, args: tuple, kwargs: dict) -> Any:
    name = method.__name__
    if name not in _KEEPING:
        args = tuple(map(settle, args))
    if name in _LOOKING and args and linked(args[0]):
        raise unliftable(
            f"an object that is one or another, as the arguments decide, is looked for: {name}()",
            "a number that says which one it is",
        )
    if name not in _WRITING:
        session().reads(owner)
        made = method(*args, **kwargs)
        return session().born(made) if name in ("copy", "fromkeys", "union") else made
    usable(owner)
    changing(owner)
    if name == "sort":
        ordered = CALLS[sorted](owner, **kwargs)
        owner[:] = ordered
        return None
    if name == "extend":
        owner.extend(listed(args[0]))
        return None
    if name in ("pop", "popleft", "popitem"):
        session().reads(owner)
    return method(*args, **kwargs)


def text_method(method: Callable, owner: str, args: tuple, kwargs: dict) -> Any:
    if method.__name__ == "format":
        return formatted(owner, args, kwargs)
    if any(isinstance(a, Text) for a in args) or has_unknown((args, kwargs)):
        raise unliftable(f"str.{method.__name__}() on text that depends on the arguments", "an f-string, to be printed")
    return method(*args, **kwargs)
