"""Lists, dictionaries, attributes and variables of functions around, as cells: places that a block may write."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import MISSING, session, unliftable
from .protocols import setter
from .unsettled import Unusable
from .values import adopted


class Container:
    """What a list, a dict or a set holds."""

    name = "a list or a dictionary"

    def __init__(self, container: Any):
        self.container, self.key = container, ("container", id(container))
        self.born = session().age(container)

    def read(self) -> Any:
        kept = dict(self.container) if isinstance(self.container, dict) else self.container.copy()
        return session().broken.get(id(self.container), kept)

    def write(self, value: Any) -> None:
        if isinstance(value, Unusable):
            session().broken[id(self.container)] = value
            return
        session().broken.pop(id(self.container), None)
        self.container.clear()
        (self.container.extend if isinstance(self.container, (list, deque)) else self.container.update)(value)


class Attribute:
    """An object's attribute."""

    def __init__(self, owner: Any, name: str):
        self.owner, self.name, self.key = owner, name, ("attribute", id(owner), name)
        self.born = session().age(owner)

    def read(self) -> Any:
        return getattr(self.owner, self.name, MISSING)

    def write(self, value: Any) -> None:
        kind = type if isinstance(self.owner, type) else object
        if value is MISSING:
            kind.__delattr__(self.owner, self.name)
        else:
            kind.__setattr__(self.owner, self.name, value)


class Variable:
    """A name of a function around, or a global one, that a function gives a new value to."""

    born = 0

    def __init__(self, name: str, get: Callable, set_: Callable):
        self.name, self.get, self.set = name, get, set_
        code = set_.__code__
        cells = dict(zip(code.co_freevars, set_.__closure__ or (), strict=True))
        held = cells.get(name, set_.__globals__)
        self.key = "variable", id(held), name

    def read(self) -> Any:
        return self.get()

    def write(self, value: Any) -> None:
        self.set(value)


def usable(container: Any) -> None:
    """An error where it differs in structure, as the arguments decide."""
    if (broken := session().broken.get(id(container))) is not None:
        raise unliftable(broken.problem, "the same structure on all ways", "an array of a fixed size")


def read(value: Any) -> Any:
    """A container is read; an array of the world outside is what stands for it."""
    if isinstance(value, (list, dict, set, deque)):
        session().reads(value)
        usable(value)
    return adopted(value) if isinstance(value, np.ndarray) else value


def changing(container: Any) -> None:
    """It is about to be written."""
    now = session()
    now.writes(container)
    now.record(Container(container), now.age(container))
    for stale in linked(container):
        if id(stale) not in now.broken:
            problem = "a list or a dictionary is read under one name that was written under another"
            now.commit(Container(stale), Unusable(f"{problem}, which a branch or a loop had bound to it"))


def linked(thing: Any) -> list:
    """The lists, dictionaries or objects that may be the same one, as the arguments decide.

    Those of an earlier tracing of a block are no more: writes to them would differ from one tracing to the next.
    """
    now = session()
    around = [x for other in now.links.get(id(thing), ()) for x in (other, *now.links.get(id(other), ()))]
    return [x for x in around if x is not thing and now.is_alive(now.age(x))]


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """`owner.name = value`."""
    if (own := setter(owner, name)) is not None:
        own(value)
        return
    _attribute_changes(owner, name)
    setattr(owner, name, value)


def set_plainly(owner: Any, name: str, value: Any) -> None:
    """`object.__setattr__(owner, name, value)`."""
    _attribute_changes(owner, name)
    object.__setattr__(owner, name, value)


def _attribute_changes(owner: Any, name: str) -> None:
    cell = Attribute(owner, name)
    session().record(cell, cell.born)
    for stale in linked(owner):
        other = Attribute(stale, name)
        if not isinstance(other.read(), Unusable):
            problem = f"the attribute {name} of an object is read under one name that was written under another"
            remedies = "one name for the object", "another object, made with its attributes"
            session().commit(other, Unusable(f"{problem}, which a branch or a loop had bound to it", *remedies))
