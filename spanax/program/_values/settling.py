"""Settling what computations are given: values that are None on some ways may stand in lists, tuples and dictionaries."""

from __future__ import annotations

import types
from collections import deque
from typing import Any

from .._flow.iterables import Items
from .._session import line, unliftable
from .cells import changing, set_plainly
from .objects import VIEWS, attributes, held, is_plain_object
from .unsettled import Unsettled, settled


def settle(value: Any) -> Any:
    """The value, or the error of one that is not there."""
    return settled(value, line) if isinstance(value, Unsettled) else value


def has_unsettled(x: Any, *, objects: bool = False) -> bool:
    """Does it hold, at any depth, what is not there on some ways? `objects`: in their attributes as well."""
    return any(isinstance(part, Unsettled) for part in held(x, objects=objects))


def settled_parts(x: Any) -> Any:
    """x with each part of it settled."""
    if not has_unsettled(x):
        return x
    if isinstance(x, dict):
        return {key: settled_parts(part) for key, part in x.items()}
    if not isinstance(x, (list, tuple, deque, Items, *VIEWS)):
        return settled_parts(settle(x))
    parts = [settled_parts(part) for part in x]
    if not isinstance(x, tuple):
        return parts
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)


def settled_within(x: Any) -> Any:
    """The same for code that is not lifted: lists, dictionaries and objects stay what they are, so that it may write them, and
    the attributes that it may read are settled."""
    if not has_unsettled(x, objects=True):
        return x
    for holder in [part for part in held(x, objects=True) if not isinstance(part, (tuple, Unsettled))]:
        _settle_inside(holder)
    return settled_parts(x) if isinstance(x, tuple) else settle(x)


def _settle_inside(holder: Any) -> None:
    if isinstance(holder, (list, deque, dict)):
        keys = list(holder) if isinstance(holder, dict) else range(len(holder))
        new = {key: _settled_tuple(holder[key]) for key in keys}
        if any(part is not holder[key] for key, part in new.items()):
            changing(holder)
            for key, part in new.items():
                holder[key] = part
    elif is_plain_object(holder):
        for name, part in attributes(holder).items():
            if (done := _settled_tuple(part)) is not part:
                set_plainly(holder, name, done)


def _settled_tuple(part: Any) -> Any:
    return settled_parts(part) if isinstance(part, (tuple, Unsettled)) else part


def settled_frame(generator: types.GeneratorType) -> None:
    """A generator, which is not lifted, is about to run: what it reads has a value."""
    frame = generator.gi_frame
    if frame is None:
        return
    names = frame.f_globals.keys() & set(frame.f_code.co_names)
    for name, value in (frame.f_locals | {name: frame.f_globals[name] for name in names}).items():
        if isinstance(value, Unsettled):
            raise unliftable(
                f"{name} may have no value, as the arguments decide, and a generator reads it, which is not lifted",
                "a value on all ways",
                "a function that returns a list",
            )
        settled_within(value)
