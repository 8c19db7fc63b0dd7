"""Settling what computations are given: values that are None on some paths may stand in lists, tuples and dictionaries.

To settle a value is to say that it is there: `session().check` makes an error of the program's run where it is not.
"""

from __future__ import annotations

import types
from collections import deque
from typing import Any

from .._flow.iterables import Items
from .._session import line, unliftable
from .cells import note_write, set_plainly
from .objects import VIEWS, attributes, is_plain_object, walk_parts
from .unsettled import Unsettled, require_value


def settle(value: Any) -> Any:
    """The value; an error where it is missing."""
    return require_value(value, line) if isinstance(value, Unsettled) else value


def has_unsettled(x: Any, *, objects: bool = False) -> bool:
    """Does it hold, at any depth, a value that is missing on some paths? `objects`: also in attributes."""
    return any(isinstance(part, Unsettled) for part in walk_parts(x, objects=objects))


def settle_parts(x: Any) -> Any:
    """x with every part settled."""
    if not has_unsettled(x):
        return x
    if isinstance(x, dict):
        return {key: settle_parts(part) for key, part in x.items()}
    if not isinstance(x, (list, tuple, deque, Items, *VIEWS)):
        return settle_parts(settle(x))
    parts = [settle_parts(part) for part in x]
    if not isinstance(x, tuple):
        return parts
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)


def settle_within(x: Any) -> Any:
    """The same for code that is not lifted: lists, dictionaries and objects stay what they are, so that it may write them, and
    the attributes that it may read are settled."""
    if not has_unsettled(x, objects=True):
        return x
    # A tuple cannot be written: it is made anew where it stands, in its list or as the argument itself.
    for holder in [part for part in walk_parts(x, objects=True) if not isinstance(part, (tuple, Unsettled))]:
        _settle_inside(holder)
    return settle_parts(x) if isinstance(x, tuple) else settle(x)


def _settle_inside(holder: Any) -> None:
    if isinstance(holder, (list, deque, dict)):
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        new = {key: _settle_if_tuple(holder[key]) for key in keys}
        # A list that holds nothing unsettled is not written: to its block it would count as changed.
        if any(part is not holder[key] for key, part in new.items()):
            note_write(holder)
            for key, part in new.items():
                holder[key] = part
    elif is_plain_object(holder):
        for name, part in attributes(holder).items():
            if (new := _settle_if_tuple(part)) is not part:
                set_plainly(holder, name, new)


def _settle_if_tuple(part: Any) -> Any:
    return settle_parts(part) if isinstance(part, (tuple, Unsettled)) else part


def settle_frame(generator: types.GeneratorType) -> None:
    """Settles what a generator, which runs unlifted, may read next."""
    frame = generator.gi_frame
    if frame is None:
        return
    # All that its code names, whether it will read it or not: what it does when it goes on is not known.
    names = frame.f_globals.keys() & set(frame.f_code.co_names)
    for name, value in (frame.f_locals | {name: frame.f_globals[name] for name in names}).items():
        if isinstance(value, Unsettled):
            raise unliftable(
                f"{name} may have no value, as the arguments decide, and a generator reads it, which is not lifted",
                "a value on all paths",
                "a function that returns a list",
            )
        settle_within(value)
