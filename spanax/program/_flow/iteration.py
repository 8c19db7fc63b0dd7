"""One iteration of a loop, traced until what it is given has the form of what it gives.

A scan's carry has one form for all iterations, and it is not known before the body is traced: a float that becomes an array,
an int that becomes a float, a cell that the body writes. So it is guessed (the numbers that the body assigns), the body is
traced, what it leaves is joined with what it was given, and it is traced again with that, until nothing changes: a fixed
point, as in type inference. Most loops settle in two trials.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from .._indexing.columns import LoopColumns
from .._session import Cell, LiftError, session, unliftable
from .._values.joins import Builder, JoinPlan, join, objects_to_open
from .._values.snapshots import Leaf, Node, is_unchanged, snapshot
from .._values.values import Number
from .capture import Capture, capture
from .carry import Carry, End, adds_to, may_grow
from .conditionals import Get, Set, truth

_TRIALS = 9  # in which the form settles, or never


def not_alike(why: str) -> LiftError:
    return unliftable(
        f"the iterations of a loop are not alike: {why}",
        "values that keep their shape and kind from iteration to iteration",
        "a loop of a known number of iterations, which is written out",
    )


@dataclass
class LoopBlock:
    """The body of a loop as a function of its item, its test, and the names that it hands on."""

    body: Callable
    test: Callable | None
    get: Get
    set: Set
    names: Sequence[str]
    site: Any  # where it is in the program: what an earlier tracing has learnt of it is kept under this

    def __post_init__(self):
        # Objects, by `id`, that iterations replace by others of their class, and that are taken by their attributes.
        self.opened: set[int] = session().hints.setdefault(("opened", self.site), set())


@dataclass
class SettledBody:
    """The body, traced with a carry whose form it keeps."""

    capture: Capture
    carry: Carry
    plan: JoinPlan  # of the carry's leaves: path 0 is before the loop, path 1 after an iteration
    makers: dict[Any, Builder]
    start: list  # the leaves before the loop
    lengths: dict  # of lists that iterations only add to: as an iteration begins
    columns: LoopColumns


class BodyTracing:
    """Traces the body of a loop until its carry settles. `make` builds the loop's item from a row of the scan's inputs;
    `row`: the first such row; `going`: the test before the loop."""

    def __init__(self, block: LoopBlock, columns: LoopColumns, row: list, make: Callable, going: Any):
        self.block, self.columns, self.row, self.make, self.going = block, columns, row, make, going
        self.entry = block.get()
        self.outputs: list = []  # the numbers in snapshots of what was there before the loop
        self.entry_state = list(map(self.shot, self.entry))
        self.lengths: dict[Any, int] = {}
        self.carry = self.guess()

    def settle(self) -> SettledBody:
        block = self.block
        for _ in range(_TRIALS):
            plan, makers = self.plan()
            start = plan.outputs(0, self.outputs)
            columns = [column[0] for column in self.columns.scan_inputs()]
            body = capture(
                functools.partial(self.iterate, makers, len(start)),
                block.get,
                block.set,
                examples=[*start, *self.row, *columns],
                also=[cell for cell, _ in self.carry.cells.values()],
                opened=block.opened,
            )
            # An `if` around the `raise` is what the program means. Without it no iteration comes to its end, and a loop that
            # may run no time would need a value that only the error has.
            if body.raised:
                raise not_alike("each ends in an error") from body.raised.error
            written = {key[1] for key in body.cells if key[0] == "array"}
            # `&`, not `and`: each of the two also notes what the next trial needs.
            if not self.opens(body) and self.is_settled(body, plan) & self.columns.settle(written):
                cells = [cell for cell, _ in self.carry.cells.values()]
                session().hints["carry", block.site] = set(self.carry.names), cells
                return SettledBody(body, self.carry, self.plan()[0], makers, start, self.lengths, self.columns)
        raise not_alike("values change their form again and again")

    # -- the carry

    def shot(self, value: Any) -> Any:
        """A snapshot of a value as it is before the loop."""
        return snapshot(value, self.outputs, session().clock, self.block.opened)

    def guess(self) -> Carry:
        """The first guess: names that hold numbers. Arrays may stay where they are, and be written in place."""
        # The carry that the same loop had in an earlier tracing, inside a loop around: it settles at the first trial then.
        names, cells = session().hints.get(("carry", self.block.site), (None, []))
        carry = Carry()
        for i, shot in enumerate(self.entry_state):
            if i in names if names is not None else isinstance(shot, Leaf) and not shot.array:
                carry.names[i] = [shot]
        for cell in cells:
            # A cell of what that tracing has made is gone with it.
            if session().is_alive(cell.born):
                self.add_cell(carry, cell)
        return carry

    def add_cell(self, carry: Carry, cell: Cell) -> None:
        carry.cells[cell.key] = cell, [self.shot(cell.read())]

    def plan(self) -> tuple[JoinPlan, dict[Any, Builder]]:
        """The leaves that iterations hand on, and how each name, cell and end of a list is made of them."""
        plan, makers = JoinPlan(), {}
        for i, shots in self.carry.names.items():
            makers[i] = join(plan, _start_and_after(shots), self.block.names[i], carried=True)
        for key, (cell, shots) in self.carry.cells.items():
            makers[key] = join(plan, _start_and_after(shots), cell.name, carried=True)
        for key, end in self.carry.ends.items():
            makers["end", key] = join(plan, _start_and_after(end.shots), "the end of a list", carried=True)
        return plan, makers

    # -- an iteration

    def iterate(self, makers: dict, count: int, *inputs: Any) -> Any:
        """Runs the body and returns its test. The inputs: `count` leaves of the carry, a row of the loop's items, and one
        of the columns."""
        # JAX passes them as one flat list: the leaves of the carry, of the items and of the columns, in this order.
        width = count + len(self.row)
        leaves, row, rows = inputs[:count], inputs[count:width], inputs[width:]
        self.enter(makers, leaves)
        item = self.make(row)
        self.columns.enter(item, rows)
        session().columns.append(self.columns)
        try:
            self.block.body(item)
            test = self.block.test
            return None if test is None else Number(jnp.asarray(truth(test())), bool)
        finally:
            session().columns.pop()

    def enter(self, makers: dict, leaves: Sequence) -> None:
        """Gives names and cells the values that the iteration starts with."""
        state = list(self.entry)
        for i in self.carry.names:
            state[i] = makers[i](leaves)
        self.block.set(tuple(state))
        for key, (cell, _) in self.carry.cells.items():
            session().commit(cell, makers[key](leaves))
        # A list that only grows keeps its old elements, which nothing reads; its last ones are those of the iteration before.
        for key, end in self.carry.ends.items():
            session().record(end.cell, end.cell.born)
            end.fresh = makers["end", key](leaves)
            end.cell.container[-end.length :] = end.fresh

    # -- does its form stay?

    def opens(self, body: Capture) -> bool:
        """Does the body hand on other objects than it was given, of the same class? Then both are taken apart by their
        attributes."""
        pairs = [(self.entry_state[i], shot) for i, shot in enumerate(body.state)]
        opened = self.block.opened
        pairs += [(snapshot(c.read(), [], session().clock, opened), shot) for c, shot in body.cells.values()]
        more = set().union(*map(objects_to_open, pairs)) - opened
        opened |= more
        # Older snapshots hold the objects as wholes: all are taken anew, with the attributes of what is opened now.
        if more:
            self.entry_state = [self.shot(value) for value in self.entry]
            self.carry.names = {i: [self.entry_state[i]] for i in self.carry.names}
            for cell, _ in list(self.carry.cells.values()):
                self.add_cell(self.carry, cell)
        return bool(more)

    def is_settled(self, body: Capture, plan: JoinPlan) -> bool:
        """Does the iteration hand on what it was given, in form? Adds to the carry what it has changed besides."""
        carried = [self.carries_name(i, shot) for i, shot in enumerate(body.state)]
        carried += [self.carries_cell(key, cell, shot, body) for key, (cell, shot) in body.cells.items()]
        return all(carried) and self.plan()[0].shape == plan.shape

    def carries_name(self, i: int, shot: Any) -> bool:
        names = self.carry.names
        # Joined with what it was at the start: an int that becomes a float is a float from the first iteration on.
        if i in names:
            names[i] = [names[i][0], shot]
        elif not is_unchanged(self.entry_state[i], shot, self.entry[i]):
            names[i] = [self.entry_state[i], shot]
            return False
        return True

    def carries_cell(self, key: Any, cell: Cell, shot: Any, body: Capture) -> bool:
        cells = self.carry.cells
        if key in cells:
            cells[key] = cell, [cells[key][1][0], shot]
        # With a test, the number of iterations is not known, and so neither is that of a list's new elements.
        elif self.going is not None or not self.is_appended(cell, shot, body):
            self.lengths.pop(key, None)
            self.carry.ends.pop(key, None)
            self.add_cell(self.carry, cell)
            cells[key] = cell, [cells[key][1][0], shot]
            return False
        return True

    def is_appended(self, cell: Any, shot: Any, body: Capture) -> bool:
        """Does an iteration only append to a list, and read at most its last elements?"""
        if not may_grow(cell, body):
            return False
        end = self.carry.ends.get(cell.key)
        before = list(cell.container)
        if end:
            before[-end.length :] = end.fresh
        if not adds_to(before, shot):
            return False
        self.lengths[cell.key] = len(before)
        # How many of the last elements an iteration reads: the first place that it has read, counted from the end.
        length = max(len(before) - body.ends.get(id(cell.container), len(before)), 0)
        if length > (end.length if end else 0):
            shots = [snapshot(cell.container[-length:], self.outputs, session().clock)]
            end = self.carry.ends[cell.key] = End(cell, length, shots)
        if end:
            end.shots = [end.shots[0], Node(None, list, tuple(range(end.length)), shot.parts[-end.length :])]
        return True


def _start_and_after(shots: list) -> list:
    """The snapshots at the start and after an iteration, which the carry's form must both fit."""
    return shots if len(shots) > 1 else [shots[0], shots[0]]
