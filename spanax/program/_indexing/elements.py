"""An element of a list by a number that is not known, where the elements are lists, tuples or arrays: one or another of them.

The elements are compared part by part, as the branches of an `if` are (`_values.joins.join`); what differs between them is
stacked, and the element is read from the stack. It is read only: which of the elements a write would change is not known. The
list itself may be given another element there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._session import session
from .._values.cells import read
from .._values.joins import JoinPlan, join
from .._values.objects import walk_parts
from .._values.snapshots import snapshot
from .._values.values import LiftedArray, stand_in_of


def element(elements: Sequence[Any], place: Any) -> Any:
    """That at `place`, which is traced and within bounds; None where they are not alike."""
    # All of them are read, as far as a branch or a loop around is concerned, whichever it will be.
    for x in elements:
        for part in walk_parts(x, objects=False):
            read(part)
    outputs: list = []
    plan = JoinPlan()
    build = join(plan, [snapshot(x, outputs, session().clock) for x in elements], "an element")
    leaves = [plan.outputs(i, outputs) for i in range(len(elements))]
    if plan.problems:
        return None
    return read_only(build([jnp.stack(same)[place] for same in zip(*leaves, strict=True)]), elements)


def with_element(elements: Sequence[Any], place: Any, value: Any) -> list | None:
    """The elements, with `value` at `place`; None where the value is of another kind than one of them."""
    outputs: list = []
    new, *old = (snapshot(x, outputs, session().clock) for x in (value, *elements))
    results = []
    # One `where` for each element, not one write into their stack: each is joined with the value alone, so that the elements
    # may differ from each other in shape and kind where the value fits them all.
    for i, shot in enumerate(old):
        plan = JoinPlan()
        build = join(plan, (new, shot), "an element")
        leaves = zip(*(plan.outputs(which, outputs) for which in (0, 1)), strict=True)
        results.append(build([jnp.where(place == i, a, b) for a, b in leaves]))
        if plan.problems:
            return None
    return results


def read_only(chosen: Any, elements: Sequence[Any]) -> Any:
    """What is one or another of the elements: a write into it is an error, and one into them makes it unusable."""
    own = {id(part) for x in elements for part in _writable(x)}
    for part in _writable(chosen):
        # A part that all elements share is itself, and may be written.
        if id(part) not in own:
            session().chosen[id(part)] = part
            # `join` links it to the elements, so that a write into one of them would be looked for in it. It has no such twin:
            # the write is refused already.
            session().links.pop(id(part), None)
    return chosen


def _writable(x: Any) -> Iterator[Any]:
    """All in it that can be written in place."""
    for part in walk_parts(x, objects=False):
        if isinstance(part, (LiftedArray, np.ndarray, list, dict)):
            yield stand_in_of(part) if isinstance(part, np.ndarray) else part
