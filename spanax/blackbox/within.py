"""The black boxes inside a traced program: what a loop around it counts, and why a step of it failed."""

from __future__ import annotations

from collections.abc import Sequence

from .._errors import SpanaxError
from .._jaxprs import ClosedJaxpr, operations
from ._host import Host
from ._traced.learning import Pupil, state_p
from ._traced.primitive import host_p
from ._verdicts import FLAT

Boxes = Sequence[Host]


def black_boxes(program: ClosedJaxpr) -> list[Host]:
    """The hosts of the black boxes that the program calls, each once, in the order of their first calls."""
    hosts = {id(eqn.params["host"]): eqn.params["host"] for eqn in operations(program.jaxpr) if eqn.primitive is host_p}
    return list(hosts.values())


def points_asked(boxes: Boxes) -> int:
    """How many points they were asked for: evaluated, or found in the store or twice in a batch."""
    # Both, so that a run that is resumed from a store counts as the one that was not interrupted.
    totals = [box.counter.total() for box in boxes]
    return sum(total.evaluations + total.hits for total in totals)


def forget_failures(boxes: Boxes) -> None:
    for box in boxes:
        box.problem = None


def failure(boxes: Boxes) -> SpanaxError | None:
    """The error of the last call, which a compiled program hides behind one of JAX's; None where none failed.

    Raises `KeyboardInterrupt` where that is what ended it.
    """
    found = next((box.problem for box in boxes if box.problem is not None), None)
    if isinstance(found, KeyboardInterrupt):
        raise found
    return found


def is_flat(error: SpanaxError) -> bool:
    """Is it that the points of a derivative did not show how f changes?"""
    return error.kind == FLAT


def pupils(program: ClosedJaxpr) -> list[Pupil]:
    """The bridges in it that learn, each once, in the order of their calls."""
    found = {id(e.params["pupil"]): e.params["pupil"] for e in operations(program.jaxpr) if e.primitive is state_p}
    return list(found.values())
