"""The numbers of the values of one program, and what is recorded of each.

`values` writes here while it walks through the program; `integers` and `equality` answer questions from it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

from ..flow import Path
from .array_parts import Value
from .counts import Coordinate, Dependency, Linear
from .tables import Table


class Numbering:
    """Equal numbers: the same function of the same inputs (hash-consing)."""

    def __init__(self):
        self._numbers: dict[Hashable, int] = {}
        # What made a value, and where it stands in the tree of keys.
        self.made: dict[int, tuple[Hashable, Sequence[Value]]] = {}  # number -> the operation and its arguments
        self.nodes: set[int] = set()  # numbers of nodes of the tree of keys: roots, and arrays of children
        self.constants: set[int] = set()  # numbers of keys that are known
        self.plain: set[int] = set()  # numbers of values that equal no other number's
        self.pieces: dict[int, tuple[int, list[tuple[int, Value]]]] = {}  # of concatenations: axis, (length, piece)
        # What the entries of a value that is not in the tree may be equal to.
        self.holds: dict[int, list[Value]] = {}
        self.starts: dict[int, list[Value]] = {}  # the same, of what an iteration of a loop starts with
        self.like: dict[int, list[Value]] = {}  # the same, of what an earlier iteration handed on: as one makes it
        self.handed_on: set[int] = set()  # numbers of what an earlier iteration handed on
        self.apart: set[tuple[int, int]] = set()  # bases that never meet
        # Integers.
        self.linear: dict[int, Linear] = {}
        self.by_data: dict[int, frozenset[Dependency]] = {}  # what an integer that is counted as data determines
        self.varies_with: dict[int, frozenset[Coordinate]] = {}
        self.recipes: dict[int, Callable[[], Table | None]] = {}
        self.lengths: dict[Path, int | None] = {}  # iterations of each loop, and indices of each vmap of a draw

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, what: Hashable) -> int:
        return self._numbers.setdefault(what, len(self._numbers))

    def origin(self, number: int, default: Hashable = ()) -> tuple[Any, Sequence[Value]]:
        """The operation that made a value, and its arguments."""
        return self.made.get(number, (default, ()))

    def is_plain(self, value: Value) -> bool:
        if len(value.sources) != 1:
            return False
        ((base, box),) = value.sources
        return base in self.plain and all(len(r.rows) == 1 for r in box)
