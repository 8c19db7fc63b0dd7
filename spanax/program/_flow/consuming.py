"""What changes as it is read: iterators, generators, heaps. A branch that is traced must not move them on for good."""

from __future__ import annotations

import bisect
import dis
import heapq
import types
from collections.abc import Callable
from typing import Any

from .._session import HOOKED, session, unliftable
from .._values.cells import note_write
from .._values.protocols import own_method
from .._values.settling import settle_frame, settle_within

# By the instructions of its bytecode and the names of methods: too many generators are taken to write, never too few.
_STORES = {"STORE_SUBSCR", "STORE_ATTR", "STORE_GLOBAL", "DELETE_SUBSCR", "DELETE_ATTR", "STORE_DEREF"}
_WRITING = frozenset(
    "append appendleft extend insert remove pop popleft clear sort reverse update setdefault add discard".split()
)


def check_consumable(iterator: Any) -> None:
    """Raises if items are about to be taken from an iterator in a block that may be undone."""
    if not hasattr(type(iterator), "__next__"):
        settle_within(iterator)  # its `__iter__` is not lifted
        return
    now = session()
    # An iterator has no way back, so a branch that is traced and undone must not move one that was there before. The outermost
    # block is the program itself, which is run once.
    inside = len(now.blocks) > 1
    if inside and now.age(iterator) <= now.blocks[-1].start:
        raise unliftable(
            "an iterator moves on in a branch or a loop that runs as the arguments decide",
            "a list and an index instead",
            "an iterator that is made where it is used",
        )
    if isinstance(iterator, types.GeneratorType) and iterator.gi_code not in HOOKED:
        settle_frame(iterator)
        _check_generator(iterator, inside)


def _check_generator(generator: types.GeneratorType, inside: bool) -> None:
    """Raises unless the generator, which runs as it is, neither reads what the program has written nor writes what a block
    must undo."""
    if any(stand_in.touched for _, stand_in in session().adopted.values()):
        what = "is read after the program has written a global array"
    elif inside and _writes(generator.gi_code):
        what = "changes lists, arrays or attributes"
    else:
        return
    raise unliftable(f"a generator, which is not lifted, {what}", "a function that returns a list")


def _writes(code: types.CodeType) -> bool:
    """Does the code change anything that outlives it?"""
    own = set(code.co_cellvars)
    # A store into a cell variable of its own is no write: it lives and dies with the generator.
    stores = any(i.opname in _STORES and i.argval not in own for i in dis.get_instructions(code))
    return stores or bool(_WRITING & set(code.co_names))


def next_item(iterator: Any, *default: Any) -> Any:
    """`next(iterator)`."""
    if (method := own_method(iterator, "__next__")) is not None and not default:
        return session().rules.call(method, iterator)
    check_consumable(iterator)
    return next(iterator, *default)


# Functions of C's that write the list that they are given: `heapq` and `bisect` compare its elements by the operators of `Value`.
def _recording_write(function: Callable) -> Callable:
    """The function, which writes its first argument, a list, with a record of the write."""

    def run(container: Any, *args: Any, **kwargs: Any) -> Any:
        note_write(container)
        session().reads(container)
        return function(container, *args, **kwargs)

    return run


CHANGING: dict[Any, Callable] = {
    next: next_item,
    **{
        f: _recording_write(f)
        for f in (heapq.heappush, heapq.heappop, heapq.heapify, heapq.heappushpop, heapq.heapreplace)
    },
    **{f: _recording_write(f) for f in (bisect.insort_left, bisect.insort_right)},
}
