"""What the iterations of a loop hand to each other, and how a list that only grows stays out of it.

A list that iterations append to cannot be part of a scan's carry, whose shape is fixed. If an iteration only adds to the end
of it, what it adds is stacked by the scan instead, as its outputs; and the last elements that it reads (`End`) are carried.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._session import Cell
from .._values.cells import Container
from .._values.joins import Builder, JoinPlan, join
from .._values.snapshots import Leaf, Node, Sometimes
from .capture import Capture


@dataclass
class Carry:
    """What is carried: names, by their positions, and cells."""

    names: dict[int, list] = field(default_factory=dict)  # snapshots: at the start, and after an iteration
    cells: dict[Any, tuple[Cell, list]] = field(default_factory=dict)
    ends: dict[Any, End] = field(default_factory=dict)


@dataclass
class End:
    """The last elements of a list that iterations append to, and read no more of. `fresh`: what they are in the iteration."""

    cell: Container
    length: int
    shots: list
    fresh: list = field(default_factory=list)


def may_grow(cell: Cell, body: Capture) -> bool:
    """Is it a list that the body reads near its end at most?"""
    return isinstance(cell, Container) and isinstance(cell.container, list) and id(cell.container) not in body.read


# Compared by identity: an element that was replaced by an equal one may be another array, and then be written.
def adds_to(before: list, shot: Node) -> bool:
    """Does an iteration leave the list as it was, with values after it that a scan can stack?"""
    if len(shot.parts) <= len(before) or not all(p.value is b for p, b in zip(shot.parts, before, strict=False)):
        return False
    return all(isinstance(p, (Leaf, Node, Sometimes)) for p in shot.parts[len(before) :])


def plan_appended(body: Capture, lengths: dict) -> tuple[JoinPlan, list[tuple[Any, list[Builder]]]]:
    """Plans what an iteration adds to lists as leaves, and how to build it from them. `lengths`: the lists' lengths as it
    begins."""
    plan, builders = JoinPlan(), []
    for key, (cell, shot) in body.cells.items():
        if key in lengths:
            new = shot.parts[lengths[key] :]
            builders.append((cell, [join(plan, [part], "an item", carried=True) for part in new]))
    return plan, builders
