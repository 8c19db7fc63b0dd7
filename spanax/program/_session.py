"""What happens while a lifted program is traced: which state it writes, and what may go wrong when it runs.

A traced program is pure, and Python programs write: so each write is recorded (`record`) in the blocks around it, and undone
at their ends. And it cannot raise: so what may go wrong is a number in the carry, the first fault's (`check`), which the
caller asks afterwards. That is `jax.experimental.checkify`'s way of functionalising errors.
"""

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


# The code of lifted functions. A frame is told by its code object: names and files are those of the function as it was written.
HOOKED: set[types.CodeType] = set()


_OF_LIBRARIES = re.compile(r"[/\\](?:site|dist)-packages[/\\](numpy|scipy)[/\\]")


def line() -> str:
    """`file:line (function)` of the program's line that is being traced; inside a lifted library, the line that called it."""
    # The program's frames carry the code that was compiled from the user's file, so the stack itself knows the line.
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
    """Is the place in NumPy, SciPy or Python's own modules, where nobody asks for the line?"""
    _, packages, path = place.rpartition("-packages" + os.sep)
    return not packages or path.startswith(("numpy" + os.sep, "scipy" + os.sep))


def in_library() -> bool:
    """Is the function that is being traced one of NumPy's or SciPy's own, lifted from its source?"""
    frame = sys._getframe(1)
    while frame is not None and frame.f_code not in HOOKED:
        frame = frame.f_back
    return frame is not None and bool(_OF_LIBRARIES.search(frame.f_code.co_filename))


def unliftable(problem: str, *remedies: str) -> LiftError:
    """The error of a construct without counterpart, at the user's line that is being traced."""
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


# `_python.hooks` implements them. As a protocol, because it imports the values, which import this file.
class Rules(Protocol):
    """The meaning of operations on the program's values: the session is given them, so that values need not import them."""

    def ufunc(self, ufunc: np.ufunc, method: str, inputs: tuple, kwargs: dict) -> Any: ...

    def function(self, function: Callable, args: tuple, kwargs: dict) -> Any: ...

    def item(self, target: Any, index: Any) -> Any: ...

    def store(self, target: Any, index: Any, value: Any) -> None: ...

    def method(self, target: Any, name: str) -> Any: ...

    def call(self, function: Any, *args: Any, **kwargs: Any) -> Any: ...

    def call_unread(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """`call`, where the function or its result may be None on some paths."""
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
    ends: dict[int, int] = field(default_factory=dict)  # of lists that are read near their end only: the first place
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
        # The innermost block is the last. The first is the program itself: what it writes in the world is undone in the end.
        self.blocks: list[Writes] = []
        # Counts what is made and which blocks begin: what is older than a block outlives it, and must be recorded.
        self.clock = 0
        self.newborn: dict[int, tuple[int, Any]] = {}  # containers and objects made by the program, kept alive
        # The program writes the stand-ins, never the arrays themselves: their owner, and the next tracing, find them unchanged.
        self.adopted: dict[int, tuple[Any, Any]] = {}  # NumPy arrays of the world outside, and what stands for them
        self.broken: dict[int, Any] = {}  # containers whose structure depends on the arguments, and why
        # A branch or a loop makes one list of two. Writing it is an error for whoever reads one of the two afterwards.
        self.links: dict[int, list] = {}  # of lists and dicts: those that they stand for, or that stand for them
        # Such an element is one of several: a write to it would have to change whichever it is.
        self.chosen: dict[int, Any] = {}  # elements of lists by numbers that are not known: read only
        self.columns: list[Any] = []  # of the loops around: arrays that are read row by row
        self.staged = 0  # how many traced branches and loops are around
        self.guarded = 0  # `try` statements around
        self.probing = False  # is a block only looked at, and undone?
        self.copies = 1  # how often unrolled loops repeat what is traced now
        self.undone: list[tuple[int, int]] = []  # when what was made in blocks was made: it is no more
        # What earlier tracings learnt of a branch or a loop, by its place: one inside a loop is traced again and again.
        self.hints: dict[Any, Any] = {}
        self.functions: dict[int, Any] = {}  # the functions that were lifted

    def tick(self) -> int:
        self.clock += 1
        return self.clock

    # -- state

    def note_new(self, container: Any) -> Any:
        """Notes that the program has just made this container or object."""
        # The container itself is kept, too: an `id` of one that was freed would be given to another.
        self.newborn[id(container)] = self.tick(), container
        return container

    def age(self, container: Any) -> int:
        return self.newborn.get(id(container), (0, None))[0]

    def is_alive(self, born: int) -> bool:
        """Was it made outside all blocks that have been undone?"""
        # What an undone block made may still be found under an `id`, in a hint or a link, and must not be used again.
        return not any(start < born <= end for start, end in self.undone)

    def record(self, cell: Cell, born: int) -> None:
        """Must be called before a cell is written: blocks around keep its contents."""
        # In every block around that is younger than the cell, with what the cell held when that block began: the first write
        # counts.
        for block in self.blocks:
            if born <= block.start and cell.key not in block.before:
                block.before[cell.key] = cell, cell.read()

    def refuse_unknown_target(self, thing: Any) -> None:
        """Raises if a list, a dict or an array is written of which the arguments decide which one it is."""
        if id(thing) in self.chosen:
            raise unliftable(
                "an element of a list is written that was chosen by a number which depends on the arguments",
                "one array instead of the list of rows: x[i, j] = value",
                "the index as a static argument",
            )

    def lose(self, array: Any) -> None:
        """From now on, reading the array is an error."""
        # A block that is undone undoes this as well: the array is readable again in the other branch.
        if not array.lost:
            array.lost = True
            for block in self.blocks:
                block.lost.append(array)

    def commit(self, cell: Cell, value: Any) -> None:
        """Writes a cell for good, as far as this block is concerned."""
        # Recorded as any write: in a branch inside a loop, the loop's block has to know of it too.
        self.record(cell, cell.born)
        cell.write(value)

    def reads(self, container: Any) -> None:
        for block in self.blocks:
            block.read.add(id(container))

    def reads_end(self, items: list, place: int) -> None:
        """Notes that a list is read from its end, at this place counted from its start."""
        # A loop carries the last elements that its iterations read, and no others.
        for block in self.blocks:
            block.ends[id(items)] = min(place, block.ends.get(id(items), place))

    @contextlib.contextmanager
    def block(self) -> Iterator[Writes]:
        """A block whose writes are undone at its end; the record says what they were."""
        writes = Writes(self.tick())
        self.blocks.append(writes)
        try:
            yield writes
        finally:
            self.blocks.pop()
            self.undone.append((writes.start, self.clock))
            # Without a record: the blocks around have seen nothing of these writes.
            for cell, before in writes.before.values():
                cell.write(before)
            for array in writes.lost:
                array.lost = False

    @contextlib.contextmanager
    def stage(self) -> Iterator[None]:
        """Counts the nested blocks that may run any number of times."""
        # A recursion whose end the arguments decide is traced without end: each call opens a branch with a call inside.
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
        """Makes the call fail with this error if the traced condition `failed` holds when the program runs."""
        # The first fault wins, in program order, as Python would have stopped there: what fails later may only follow from it.
        fault = self.fault
        if not is_traced(failed) and isinstance(failed, (bool, np.bool_)):
            if failed:
                raise SpanaxError(problem, *remedies, where=where)
            return
        # One number for each message, however often it may come up: a loop's body is traced several times.
        message = problem, where, remedies
        if message not in fault.messages:
            fault.messages.append(message)
        code = fault.messages.index(message) + 1
        self.record(fault, 0)
        before = fault.code
        # A batch of conditions fails if one of them does, as the array operation would.
        first = failed if isinstance(before, int) and not before else (before == 0) & failed
        first = jnp.any(first) if jnp.ndim(first) else jnp.asarray(first, bool)
        fault.code = lax.select(first, jnp.int32(code), jnp.asarray(before, jnp.int32))


# A program that is lifted may call another one, and other threads may lift theirs.
_LOCAL = threading.local()


def session() -> Session:
    """The innermost session of this thread."""
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
