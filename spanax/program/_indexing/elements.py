"""An element of a list at an index that is not known while the program is traced; elements are lists, tuples or arrays.

The elements are compared part by part, as the branches of an `if` are (`_values.joins.join`). Parts that differ are stacked,
and the element is read from the stack. It is read-only, because a write would have to change whichever element it is. Assigning
another element to that place of the list works.
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
    """The element at `place`, which is traced and within bounds; None where the elements differ in structure."""
    # For an enclosing branch or loop all of them are read, whichever it turns out to be.
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
    """The elements, with `value` at `place`; None where the value differs in structure from one of them."""
    outputs: list = []
    new, *old = (snapshot(x, outputs, session().clock) for x in (value, *elements))
    results = []
    # One `where` for each element, not one write into a stack: each is joined with the value only, so that the elements need
    # not be alike as long as the value fits each.
    for i, shot in enumerate(old):
        plan = JoinPlan()
        build = join(plan, (new, shot), "an element")
        leaves = zip(*(plan.outputs(which, outputs) for which in (0, 1)), strict=True)
        results.append(build([jnp.where(place == i, a, b) for a, b in leaves]))
        if plan.problems:
            return None
    return results


def read_only(chosen: Any, elements: Sequence[Any]) -> Any:
    """Marks `chosen`, which is one of the elements: writing it is an error, and writing an element makes it unusable."""
    own = {id(part) for x in elements for part in _writable(x)}
    for part in _writable(chosen):
        # A part that all elements share is the same object in `chosen`, and may be written.
        if id(part) not in own:
            session().chosen[id(part)] = part
            # `join` links it to the elements, so that a write into it would be looked for in them. No such write can happen.
            session().links.pop(id(part), None)
    return chosen


def _writable(x: Any) -> Iterator[Any]:
    """The parts of x that can be written in place."""
    for part in walk_parts(x, objects=False):
        if isinstance(part, (LiftedArray, np.ndarray, list, dict)):
            yield stand_in_of(part) if isinstance(part, np.ndarray) else part
