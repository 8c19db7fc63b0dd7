"""What changes as it is read: iterators, generators, heaps. A branch that is traced must not move them on for good."""

from __future__ import annotations

import bisect
import dis
import heapq
import types
from collections.abc import Callable
from typing import Any

from .._session import HOOKED, session, unliftable
from .._values.cells import changing
from .._values.protocols import own_method
from .._values.settling import settled_frame, settled_within

_STORES = {"STORE_SUBSCR", "STORE_ATTR", "STORE_GLOBAL", "DELETE_SUBSCR", "DELETE_ATTR", "STORE_DEREF"}
_WRITING = frozenset(
    "append appendleft extend insert remove pop popleft clear sort reverse update setdefault add discard".split()
)


def consumed(iterator: Any) -> None:
    """Items are about to be taken from it: an error where that cannot be undone."""
    if not hasattr(type(iterator), "__next__"):
        settled_within(iterator)  # its `__iter__` is not lifted
        return
    now = session()
    inside = len(now.blocks) > 1
    if inside and now.age(iterator) <= now.blocks[-1].start:
        raise unliftable(
            "an iterator moves on in a branch or a loop that runs as the arguments decide",
            "a list and an index instead",
            "an iterator that is made where it is used",
        )
    if isinstance(iterator, types.GeneratorType) and iterator.gi_code not in HOOKED:
        settled_frame(iterator)
        written = any(stand_in.touched for _, stand_in in now.adopted.values())
        if written or (inside and _writes(iterator.gi_code)):
            what = (
                "is read after the program has written a global array"
                if written
                else "changes lists, arrays or attributes"
            )
            raise unliftable(f"a generator, which is not lifted, {what}", "a function that returns a list")


def _writes(code: types.CodeType) -> bool:
    """Does the code change what outlives it?"""
    own = set(code.co_cellvars)
    stores = any(i.opname in _STORES and i.argval not in own for i in dis.get_instructions(code))
    return stores or bool(_WRITING & set(code.co_names))


def following(iterator: Any, *default: Any) -> Any:
    """`next(iterator)`."""
    if (method := own_method(iterator, "__next__")) is not None and not default:
        return session().rules.call(method, iterator)
    consumed(iterator)
    return next(iterator, *default)


def _changed(function: Callable) -> Callable:
    """Of a list, its first argument, which it writes."""

    def run(container: Any, *args: Any, **kwargs: Any) -> Any:
        changing(container)
        session().reads(container)
        return function(container, *args, **kwargs)

    return run


CHANGING: dict[Any, Callable] = {
    next: following,
    **{f: _changed(f) for f in (heapq.heappush, heapq.heappop, heapq.heapify, heapq.heappushpop, heapq.heapreplace)},
    **{f: _changed(f) for f in (bisect.insort_left, bisect.insort_right)},
}
