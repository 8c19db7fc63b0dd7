"""Methods of lists, dictionaries, sets and texts.

They run as they are, while the program is traced. Each call first records with the session what it reads and what it is about to
change, so that branches and loops can join, or undo, what their blocks have written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._session import session, unliftable
from .._values.cells import check_usable, note_write, possible_aliases
from .._values.settling import settle
from .._values.text import Text, apply_format
from .._values.trees import has_unknown
from .builtins import CALLS
from .numbers import list_items

_WRITING = frozenset(
    "append appendleft extend extendleft insert remove pop popleft clear rotate sort reverse update setdefault popitem add "
    "discard "
    "difference_update intersection_update symmetric_difference_update subtract move_to_end".split()
)
# These only store their arguments, which may be None on some branches.
_KEEPING = frozenset("append appendleft insert setdefault get".split())
# These compare their argument with what is there.
_LOOKING = frozenset("index remove count get pop setdefault discard".split())


def container_method(method: Callable, owner: Any, args: tuple, kwargs: dict) -> Any:
    """`owner.method(*args)`, of a list, a deque, a dictionary or a set."""
    name = method.__name__
    if name not in _KEEPING:
        args = tuple(map(settle, args))
    # Python would compare a merged object by identity, and find neither of those that it may be.
    if name in _LOOKING and args and possible_aliases(args[0]):
        raise unliftable(
            f"{name}() looks for an object, and which object it is depends on the arguments",
            "a number that says which one it is",
        )
    if name not in _WRITING:
        session().reads(owner)
        result = method(*args, **kwargs)
        return session().note_new(result) if name in ("copy", "fromkeys", "union") else result
    check_usable(owner)
    note_write(owner)
    if name == "sort":
        # Not by the list's own method, which could not compare traced keys.
        ordered = CALLS[sorted](owner, **kwargs)
        owner[:] = ordered
        return None
    if name == "extend":
        owner.extend(list_items(args[0]))
        return None
    if name in ("pop", "popleft", "popitem"):
        session().reads(owner)
    return method(*args, **kwargs)


def text_method(method: Callable, owner: str, args: tuple, kwargs: dict) -> Any:
    """`owner.method(*args)`, of a str."""
    if method.__name__ == "format":
        return apply_format(owner, args, kwargs)
    if any(isinstance(a, Text) for a in args) or has_unknown((args, kwargs)):
        raise unliftable(f"str.{method.__name__}() on text that depends on the arguments", "an f-string, to be printed")
    return method(*args, **kwargs)
