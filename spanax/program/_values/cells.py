"""Lists, dictionaries, attributes and variables of functions around, as cells: places that a block may write.

A block records a cell's contents before the first write, so that it can be undone (an undo log). What the block left there
is joined with what the other branch, or the iteration before, left there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from .._session import MISSING, session, unliftable
from .protocols import setter
from .unsettled import Unusable
from .values import stand_in_of


class Container:
    """The contents of a list, a dict or a set."""

    name = "a list or a dictionary"

    def __init__(self, container: Any):
        self.container, self.key = container, ("container", id(container))
        self.born = session().age(container)

    def read(self) -> Any:
        # A copy, as the container itself goes on changing. Where it cannot be used, that is its contents.
        kept = dict(self.container) if isinstance(self.container, dict) else self.container.copy()
        return session().broken.get(id(self.container), kept)

    def write(self, value: Any) -> None:
        if isinstance(value, Unusable):
            session().broken[id(self.container)] = value
            return
        session().broken.pop(id(self.container), None)
        # In place: the list is known to the program by its identity.
        self.container.clear()
        (self.container.extend if isinstance(self.container, (list, deque)) else self.container.update)(value)


class Attribute:
    """The value of a name or an element that is read: NumPy's arrays as their stand-ins. Notes that a container is read."""

    def __init__(self, owner: Any, name: str):
        self.owner, self.name, self.key = owner, name, ("attribute", id(owner), name)
        self.born = session().age(owner)

    def read(self) -> Any:
        return getattr(
            self.owner, self.name, MISSING
        )  # an attribute that a block has made is deleted when it is undone

    def write(self, value: Any) -> None:
        # Past the class's own `__setattr__`, which would run a second time when a block is undone.
        kind = type if isinstance(self.owner, type) else object
        if value is MISSING:
            kind.__delattr__(self.owner, self.name)
        else:
            kind.__setattr__(self.owner, self.name, value)


class Variable:
    """A variable of an enclosing function or a global one, which the program rebinds."""

    born = 0

    def __init__(self, name: str, get: Callable, set_: Callable):
        self.name, self.get, self.set = name, get, set_
        # Two functions that write one variable must name the same cell: by the closure's cell or the module's globals.
        code = set_.__code__
        cells = dict(zip(code.co_freevars, set_.__closure__ or (), strict=True))
        home = cells.get(name, set_.__globals__)
        self.key = "variable", id(home), name

    def read(self) -> Any:
        return self.get()

    def write(self, value: Any) -> None:
        self.set(value)


def check_usable(container: Any) -> None:
    """Raises if the container differs in structure between paths."""
    # Lists of different lengths in two branches cannot be one: that is an error only for those who read the list afterwards.
    if (broken := session().broken.get(id(container))) is not None:
        raise unliftable(broken.problem, "the same structure on all paths", "an array of a fixed size")


def read(value: Any) -> Any:
    """A container is read; an array of the world outside is what stands for it."""
    # A loop that reads a list cannot keep it out of its carry as one that it only appends to.
    if isinstance(value, (list, dict, set, deque)):
        session().reads(value)
        check_usable(value)
    return stand_in_of(value) if isinstance(value, np.ndarray) else value


def note_write(container: Any) -> None:
    """Must be called before a container is written."""
    now = session()
    now.refuse_unknown_target(container)
    now.record(Container(container), now.age(container))
    # The others become unusable, which is itself a write that the blocks around undo.
    for stale in possible_aliases(container):
        if id(stale) not in now.broken:
            problem = "a list or a dictionary is read under one name that was written under another"
            now.commit(Container(stale), Unusable(f"{problem}, which a branch or a loop had bound to it"))


def possible_aliases(thing: Any) -> list:
    """The lists, dictionaries or objects that may be this one, as the arguments decide.

    Those of an earlier tracing of a block are no more: writes to them would differ from one tracing to the next.
    """
    now = session()
    # Two steps: from what stands for it to all that this stands for.
    around = [x for other in now.links.get(id(thing), ()) for x in (other, *now.links.get(id(other), ()))]
    return [x for x in around if x is not thing and now.is_alive(now.age(x))]


def set_attribute(owner: Any, name: str, value: Any) -> None:
    """`owner.name = value`."""
    # A property or a `__setattr__` of the class is a method of the program's, and is lifted.
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
    for stale in possible_aliases(owner):
        other = Attribute(stale, name)
        if not isinstance(other.read(), Unusable):
            problem = f"the attribute {name} of an object is read under one name that was written under another"
            remedies = "one name for the object", "another object, made with its attributes"
            session().commit(other, Unusable(f"{problem}, which a branch or a loop had bound to it", *remedies))
