"""What happens while a lifted program is traced: which state it writes, and what may go wrong when it runs."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import threading
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax.numpy as jnp
import numpy as np
from jax import lax

from .._errors import SpanaxError
from .._jaxprs import here, is_traced
from .._places import is_library_file

DEEPEST = 40
MISSING = object()  # of an attribute or a key that does not exist


class LiftError(SpanaxError):
    """A construct that has no counterpart in a traced program."""


class RaisedError(Exception):
    """The program's own `raise` or `assert`, on its way out of a traced branch."""

    def __init__(self, error: BaseException, where: str):
        self.error, self.where = error, where


HOOKED: set[types.CodeType] = set()  # the code of lifted functions


_OF_LIBRARIES = re.compile(r"[/\\](?:site|dist)-packages[/\\](numpy|scipy)[/\\]")


def line() -> str:
    """`file:line (function)` of the program's line that is being traced: of code of a library, which is lifted as well, that of
    whoever called it."""
    inside = ""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code in HOOKED:
            file = frame.f_code.co_filename
            place = f"{file}:{frame.f_lineno} ({frame.f_code.co_name})"
            if not is_library_file(file):
                return f"{place}, by way of {inside}" if inside and not _is_numeric(inside) else place
            inside = inside or place
        frame = frame.f_back
    return inside or here() or (session().place if is_lifting() else "")


def _is_numeric(place: str) -> bool:
    """Does nobody ask for the line: of NumPy, of SciPy, of Python's own modules?"""
    _, packages, path = place.rpartition("-packages" + os.sep)
    return not packages or path.startswith(("numpy" + os.sep, "scipy" + os.sep))


def in_library() -> bool:
    """Is it a function of NumPy's or SciPy's own, lifted from its source, that is being traced?"""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code not in HOOKED:
        frame = frame.f_back
    return frame is not None and bool(_OF_LIBRARIES.search(frame.f_code.co_filename))


def unliftable(problem: str, *remedies: str) -> LiftError:
    """The error, with the user's line that is being traced."""
    return LiftError(problem, *remedies, where=line())


class Cell(Protocol):
    """A place that outlives the block that writes it: an array's contents, an attribute, a list."""

    key: Any
    name: str  # for messages
    born: int  # when what holds it was made; 0 where that was before the program

    def read(self) -> Any: ...

    def write(self, value: Any) -> None:
        """Without a record of it."""
        ...


class Rules(Protocol):
    """What operations on values of the program mean."""

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any: ...

    def function(self, function: Callable, args: tuple, kwargs: dict) -> Any: ...

    def item(self, target: Any, index: Any) -> Any: ...

    def store(self, target: Any, index: Any, value: Any) -> None: ...

    def method(self, target: Any, name: str) -> Any: ...

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any: ...

    def called(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """The same, of what may be None on some ways."""
        ...

    def attribute(self, owner: Any, name: str, *default: Any) -> Any: ...

    def source(self, function: Any) -> Callable: ...

    hooks: Any  # what the rewritten functions call


@dataclass
class Writes:
    """The cells that one block of the program has written, with their contents before."""

    start: int  # what was made later belongs to the block
    before: dict[Any, tuple[Cell, Any]] = field(default_factory=dict)
    read: set[int] = field(default_factory=set)  # containers, by `id`
    ends: dict[int, int] = field(
        default_factory=dict
    )  # of lists that are read near their end only: the first place that is
    lost: list[Any] = field(default_factory=list)  # arrays that were written under another name


class Fault:
    """The cell that holds which fault came first: 0, or the number of its message."""

    key, name, born = "fault", "fault", 0

    def __init__(self):
        self.code: Any = 0
        self.messages: list[tuple[str, str, tuple[str, ...]]] = []  # problem, where, remedies

    def read(self) -> Any:
        return self.code

    def write(self, value: Any) -> None:
        self.code = getattr(value, "data", value) if not isinstance(value, int) else value


class Session:
    """One tracing of a lifted program."""

    def __init__(self, rules: Rules, max_iterations: int, recursive: bool):
        self.place = ""  # where the program is defined
        self.only_derived = False  # is it compiled for its gradient, where nobody looks for its branches?
        self.rules, self.max_iterations, self.recursive = rules, max_iterations, recursive
        self.fault = Fault()
        self.blocks: list[Writes] = []
        self.clock = 0
        self.newborn: dict[int, tuple[int, Any]] = {}  # containers and objects made by the program, kept alive
        self.adopted: dict[int, tuple[Any, Any]] = {}  # NumPy arrays of the world outside, and what stands for them
        self.broken: dict[int, Any] = {}  # containers whose structure depends on the arguments, and why
        self.links: dict[int, list] = {}  # of lists and dicts: those that they stand for, or that stand for them
        self.chosen: dict[int, Any] = {}  # elements of lists by numbers that are not known: read only
        self.columns: list[Any] = []  # of the loops around: arrays that are read row by row
        self.staged = 0  # how many traced branches and loops are around
        self.guarded = 0  # `try` statements around
        self.probing = False  # is a block only looked at, and undone?
        self.copies = 1  # how often unrolled loops repeat what is traced now
        self.undone: list[tuple[int, int]] = []  # when what was made in blocks was made: it is no more
        self.hints: dict[Any, Any] = {}  # what earlier rounds learnt of a loop, by its place
        self.functions: dict[int, Any] = {}  # the functions that were lifted

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    # -- state

    def born(self, container: Any) -> Any:
        """A container or an object that the program has just made."""
        self.newborn[id(container)] = self.tick(), container
        return container

    def age(self, container: Any) -> int:
        return self.newborn.get(id(container), (0, None))[0]

    def is_alive(self, born: int) -> bool:
        """Was it made outside of all blocks that are undone?"""
        return not any(start < born <= end for start, end in self.undone)

    def record(self, cell: Cell, born: int) -> None:
        """A cell is about to be written."""
        for block in self.blocks:
            if born <= block.start and cell.key not in block.before:
                block.before[cell.key] = cell, cell.read()

    def writes(self, thing: Any) -> None:
        """Of a list, a dict or an array: is it known which one it is?"""
        if id(thing) in self.chosen:
            raise unliftable(
                "an element of a list is written that was chosen by a number which depends on the arguments",
                "one array instead of the list of rows: x[i, j] = value",
                "the index as a static argument",
            )

    def lose(self, array: Any) -> None:
        """Reading it is an error from now on."""
        if not array.lost:
            array.lost = True
            for block in self.blocks:
                block.lost.append(array)

    def commit(self, cell: Cell, value: Any) -> None:
        """Writes a cell for good, as far as the blocks around are concerned."""
        self.record(cell, cell.born)
        cell.write(value)

    def reads(self, container: Any) -> None:
        for block in self.blocks:
            block.read.add(id(container))

    def reads_end(self, items: list, place: int) -> None:
        """An element is read that is counted from the end; from the start it has this place."""
        for block in self.blocks:
            block.ends[id(items)] = min(place, block.ends.get(id(items), place))

    @contextlib.contextmanager
    def block(self) -> Iterator[Writes]:
        """What is written inside is undone at the end; the record tells what it was."""
        writes = Writes(self.tick())
        self.blocks.append(writes)
        try:
            yield writes
        finally:
            self.blocks.pop()
            self.undone.append((writes.start, self.clock))
            for cell, before in writes.before.values():
                cell.write(before)
            for array in writes.lost:
                array.lost = False

    @contextlib.contextmanager
    def stage(self) -> Iterator[None]:
        """What is traced inside may run any number of times."""
        if self.staged >= DEEPEST:
            raise unliftable(
                f"more than {DEEPEST} branches and loops inside each other: a recursion that the arguments end, perhaps",
                "a while loop",
                "the number that it counts with as a static argument",
            )
        self.staged += 1
        try:
            yield
        finally:
            self.staged -= 1

    # -- faults of the running program

    def check(self, failed: Any, problem: str, where: str, *remedies: str) -> None:
        """If the traced condition `failed` holds when the program runs, the call ends in this error."""
        fault = self.fault
        if not is_traced(failed) and isinstance(failed, (bool, np.bool_)):
            if failed:
                raise SpanaxError(problem, *remedies, where=where)
            return
        message = problem, where, remedies
        if message not in fault.messages:
            fault.messages.append(message)
        code = fault.messages.index(message) + 1
        self.record(fault, 0)
        before = fault.code
        first = failed if isinstance(before, int) and not before else (before == 0) & failed
        first = jnp.any(first) if jnp.ndim(first) else jnp.asarray(first, bool)
        fault.code = lax.select(first, jnp.int32(code), jnp.asarray(before, jnp.int32))


_LOCAL = threading.local()


def session() -> Session:
    """The one under way in this thread."""
    stack = getattr(_LOCAL, "stack", None)
    if not stack:
        raise SpanaxError("a value of a lifted program was used after the program had ended")
    return stack[-1]


def is_lifting() -> bool:
    return bool(getattr(_LOCAL, "stack", None))


@contextlib.contextmanager
def under(new: Session) -> Iterator[Session]:
    _LOCAL.stack = [*getattr(_LOCAL, "stack", ()), new]
    try:
        yield new
    finally:
        _LOCAL.stack = _LOCAL.stack[:-1]
