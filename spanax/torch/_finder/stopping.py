"""Which operations let no derivative through: never, or as good as never here."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

from .again import derivative_elsewhere
from .backward import Crossing, Crossings
from .guard import Guard
from .program import Program, Run
from .record import Step

_FAINT = 4 * torch.finfo(torch.float32).eps


def without_derivative(program: Program, guard: Guard, run: Run, crossings: Crossings) -> tuple[set[int], set[int]]:
    """The steps whose derivative is 0 whatever goes in, and those where it is as good as 0 here."""

    def where(holds: Callable[[Step, Crossing], bool]) -> set[int]:
        return {n for n, crossing in crossings.steps.items() if holds(run.record.steps[n], crossing)}

    little, stopped = where(_lets_little_through), where(_overwrites)
    elsewhere = derivative_elsewhere(program, guard, little | stopped, run)
    # Where it could not be tried, a derivative of 0 is taken for the rule.
    unknown = {n for n in little if math.isnan(elsewhere.get(n, math.nan))}
    always = where(_gives_nothing) | unknown | {n for n, ratio in elsewhere.items() if ratio == 0}
    return always, {n for n in little - always if _is_faint(crossings.steps[n], elsewhere[n])}


def _lets_little_through(step: Step, crossing: Crossing) -> bool:
    return step.unary and _is_faint(crossing, 1.0)


def _is_faint(crossing: Crossing, elsewhere: float) -> bool:
    """Is its derivative 0, or as good as 0 beside what it is elsewhere?"""
    return not crossing.open or crossing.faint < _FAINT * elsewhere


def _overwrites(step: Step, crossing: Crossing) -> bool:
    """Is one of several values that go in of no use? What a mask or an index leaves out this time is of use at others."""
    return bool(crossing.shut) and not step.unary and not step.custom and all(use.role == "value" for use in step.uses)


def _gives_nothing(step: Step, crossing: Crossing) -> bool:
    """A custom function that gives no derivative for an argument gives it never."""
    return bool(crossing.missing and step.custom)
