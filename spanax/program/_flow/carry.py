"""What the rounds of a loop hand to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .._session import Cell
from .._values.cells import Container


@dataclass
class Carry:
    """What rounds hand to each other: names, by their places, and cells."""

    names: dict[int, list] = field(default_factory=dict)  # snapshots: at the start, and after a round
    cells: dict[Any, tuple[Cell, list]] = field(default_factory=dict)
    ends: dict[Any, End] = field(default_factory=dict)


@dataclass
class End:
    """The last elements of a list that rounds append to, and read no more of. `fresh`: what they are in the round."""

    cell: Container
    length: int
    shots: list
    fresh: list = field(default_factory=list)
