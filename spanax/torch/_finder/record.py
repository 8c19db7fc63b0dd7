"""What was heard of a program: its operations in order, and which values went into each and came out."""

from __future__ import annotations

import bisect
from dataclasses import dataclass, field
from typing import NamedTuple

import torch

from .places import NOWHERE, Place


@dataclass(slots=True)
class Value:
    """A tensor at one moment. `step`: what made it, -1 for a source; `source`: which one it is, -1 for others. `data`, `params`:
    does it depend on the program's inputs, and on what is to be differentiated by? `floating`: may it have a derivative?"""

    number: int
    step: int
    source: int = -1
    data: bool = False
    params: bool = False
    floating: bool = True


class Use(NamedTuple):
    """A value that goes into an operation. `live`: does autograd follow it there? `role`: "value", "index" or "branch"."""

    value: int
    live: bool
    role: str


@dataclass(slots=True)
class Step:
    """One operation. `block`: which switching off of autograd it is under; `exits`: does its result leave to the host?"""

    number: int
    name: str
    place: Place
    draw: str = ""
    uses: list[Use] = field(default_factory=list)
    made: list[int] = field(default_factory=list)
    lost: list[int] = field(
        default_factory=list
    )  # those of them that a derivative, which goes in, does not come out of
    cut: bool = False  # are there such results, or does its result leave to the host?
    dtype: torch.dtype | None = None  # of that result
    block: int = -1
    exits: bool = False
    custom: str = ""  # the name of a custom autograd function
    raises: bool = False  # does its derivative raise?
    own: bool = False  # is it a part of a bridge of ours?
    unary: bool = False  # one tensor in, one of the same shape out

    @property
    def enters(self) -> list[int]:
        return [use.value for use in self.uses if use.live]


class Record:
    """The steps and values of one run, in order."""

    def __init__(self):
        self.steps: list[Step] = []
        self.values: list[Value] = []
        self.blocks: list[Place] = []  # where autograd was switched off
        self._highest: list[int] = []
        self._owners: list[int] = []
        self._named: dict[int, int] = {}

    def add_value(
        self, step: int, source: int = -1, data: bool = False, params: bool = False, floating: bool = True
    ) -> Value:
        value = Value(len(self.values), step, source, data, params, floating)
        self.values.append(value)
        return value

    def add_step(self, name: str, place: Place = NOWHERE, draw: str = "") -> Step:
        step = Step(len(self.steps), name, place, draw)
        self.steps.append(step)
        return step

    def depends(self, step: Step) -> tuple[bool, bool]:
        """Do the step's results depend on data, and on what is differentiated by?"""
        inputs = [self.values[use.value] for use in step.uses]
        return any(value.data for value in inputs), any(value.params for value in inputs)

    # Autograd numbers the nodes that a thread makes: those between the last one of the step before and the last one of this
    # step are this step's, whatever it consists of.

    def owns_up_to(self, sequence: int, step: int) -> None:
        if sequence >= 0 and (not self._highest or sequence > self._highest[-1]):
            self._highest.append(sequence)
            self._owners.append(step)

    def owns(self, sequence: int, step: int) -> None:
        """For nodes whose step is known, though another one was heard before."""
        self._named.setdefault(sequence, step)

    def knows(self, sequence: int) -> bool:
        return sequence in self._named or bool(self._highest and sequence <= self._highest[-1])

    def owner(self, sequence: int) -> int:
        """The step that made the node with that number; -1 if none did."""
        if sequence in self._named:
            return self._named[sequence]
        at = bisect.bisect_left(self._highest, sequence)
        return self._owners[at] if at < len(self._owners) else -1
