"""An element of a list by a number that is not known, where the elements are lists, tuples or arrays: one or another of them.

It is read only: which of the elements a write would change is not known. The list itself may be given another element there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._session import session
from .._values.cells import read
from .._values.objects import held
from .._values.structure import Plan, join, snapshot
from .._values.values import Array, adopted


def element(elements: Sequence[Any], place: Any) -> Any:
    """That at `place`, which is traced and within bounds; None where they are not alike."""
    for x in elements:
        for part in held(x, objects=False):
            read(part)
    outputs: list = []
    plan = Plan()
    build = join(plan, [snapshot(x, outputs, session().clock) for x in elements], "an element")
    ways = [plan.outputs(way, outputs) for way in range(len(elements))]
    if plan.problems:
        return None
    return read_only(build([jnp.stack(leaves)[place] for leaves in zip(*ways, strict=True)]), elements)


def with_element(elements: Sequence[Any], place: Any, value: Any) -> list | None:
    """The elements, with `value` at `place`; None where the value is of another kind than one of them."""
    outputs: list = []
    new, *old = (snapshot(x, outputs, session().clock) for x in (value, *elements))
    made = []
    for i, shot in enumerate(old):
        plan = Plan()
        build = join(plan, (new, shot), "an element")
        made.append(
            build(
                [jnp.where(place == i, a, b) for a, b in zip(*(plan.outputs(w, outputs) for w in (0, 1)), strict=True)]
            )
        )
        if plan.problems:
            return None
    return made


def read_only(found: Any, elements: Sequence[Any]) -> Any:
    """What is one or another of the elements: a write into it is an error, and one into them makes it unusable."""
    own = {id(part) for x in elements for part in _writable(x)}
    for part in _writable(found):
        if id(part) not in own:
            session().chosen[id(part)] = part
            session().links.pop(id(part), None)
    return found


def _writable(x: Any) -> Iterator[Any]:
    for part in held(x, objects=False):
        if isinstance(part, (Array, np.ndarray, list, dict)):
            yield adopted(part) if isinstance(part, np.ndarray) else part
