"""`if` on values that are known only when the program runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._session import Cell, RaisedError, line, session
from .._values.cells import usable
from .._values.protocols import own_method
from .._values.structure import Builder, Plan, join, unopened
from .._values.unsettled import Unsettled, may_be_none, settled
from .._values.values import as_jax, is_unknown, raw
from .branches import either
from .capture import Capture, capture

Get = Callable[[], tuple]
Set = Callable[[tuple], None]


def truth(value: Any) -> bool | jax.Array:
    """A Python bool, or a traced one. None, and what is None on some ways, does not hold."""
    if may_be_none(value):
        there = truth(value.value)
        return as_jax(value.defined) & there if not isinstance(there, bool) or there else False
    if isinstance(value, Unsettled):
        return truth(settled(value, line))
    if isinstance(value, (list, dict, set, deque)):
        session().reads(value)
        usable(value)
    if (method := own_method(value, "__bool__") or own_method(value, "__len__")) is not None:
        return truth(session().rules.call(method, value))
    if not is_unknown(value):
        return bool(raw(value)) if hasattr(value, "dtype") else bool(value)
    data = as_jax(value)
    if data.size != 1:
        raise ValueError("the truth value of an array with more than one element is ambiguous: use .any() or .all()")
    data = data.reshape(()) if data.ndim else data
    return data if data.dtype == bool else data != 0


def if_(test: Any, then: Callable, orelse: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`if test: then() else: orelse()`, which hand on the names."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        (then if chosen else orelse)()
    else:
        set_(_branch(chosen, then, orelse, get, set_, names)[0])


def choose(test: Any, then: Callable, orelse: Callable) -> Any:
    """`then() if test else orelse()`."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        return then() if chosen else orelse()
    return _branch(chosen, then, orelse, tuple, lambda new: None, ())[1]


def _branch(
    chosen: jax.Array, then: Callable, orelse: Callable, get: Get, set_: Set, names: Sequence[str]
) -> tuple[tuple, Any]:
    """Both branches traced, one of them run: the names' new values and the result. What they wrote is written."""
    ways = _ways((then, orelse), get, set_)
    written = {key: cell for way in ways for key, (cell, _) in way.cells.items()}
    kept = [way for way in ways if way.raised is None]
    raised = next((way.raised for way in ways if way.raised), None)
    if not kept:
        assert raised is not None
        raise raised
    plan = Plan()
    joined = [
        _same([way.state[i] for way in ways]) or join(plan, [way.state[i] for way in kept], n)
        for i, n in enumerate(names)
    ]
    cells = [(cell, join(plan, [way.cells[key][1] for way in kept], cell.name)) for key, cell in written.items()]
    result = join(plan, [way.result for way in kept], "the value")
    leaves = _run(chosen, ways, kept, plan)
    _commit([(cell, make(leaves)) for cell, make in cells], [array for way in kept for array in way.lost])
    if raised:
        note_fault(raised, chosen if ways[0].raised else ~chosen)
    return tuple(make(leaves) for make in joined), result(leaves)


def _ways(blocks: tuple[Callable, Callable], get: Get, set_: Set) -> list[Capture]:
    """Both branches, which hand on the same cells, and the attributes of objects that are one or another."""
    opened: set[int] = session().hints.setdefault(("opened", *(f.__code__ for f in blocks)), set())
    also: dict[Any, Cell] = {}
    for _ in range(_ROUNDS):
        ways = [capture(f, get, set_, also=list(also.values()), opened=opened) for f in blocks]
        written = {key: cell for way in ways for key, (cell, _) in way.cells.items()}
        again = any(way.cells.keys() != written.keys() for way in ways)
        kept = [way for way in ways if way.raised is None]
        pairs = [*zip(*(way.state for way in kept), strict=True), [way.result for way in kept]]
        pairs += [[way.cells[key][1] for way in kept] for key in written if all(key in way.cells for way in kept)]
        more = set().union(*map(unopened, pairs)) - opened
        if not again and not more:
            break
        also |= written
        opened |= more
    return ways


_ROUNDS = 9  # in which branches are traced until they hand on the same: one or two do, as a rule


def _same(ways: Sequence) -> Builder | None:
    """What all ways leave as it is, those that end in an error as well."""
    value = ways[0].value
    return (lambda leaves: value) if all(way.value is value for way in ways) else None


def _commit(cells: Sequence[tuple[Cell, Any]], lost: Sequence) -> None:
    for cell, value in cells:
        session().commit(cell, value)
    for array in lost:
        session().lose(array)


def note_fault(raised: RaisedError, failed: Any) -> None:
    """The program's own error, where the traced `failed` holds."""
    error = raised.error
    session().check(failed, f"the program raised {type(error).__name__}: {error}", raised.where)


def _run(chosen: jax.Array, ways: Sequence[Capture], kept: Sequence[Capture], plan: Plan) -> Sequence[jax.Array]:
    if not plan.forms and not any(way.program.effects for way in ways):
        return []
    if len(kept) == 2:
        return either(chosen, kept, *(_outputs(plan, i, way) for i, way in enumerate(kept)))
    # The other branch ends in an error: this one is run where it is right, lest it do harm where it is not.
    right = chosen if kept[0] is ways[0] else ~chosen
    return lax.cond(right, _outputs(plan, 0, kept[0]), lambda: [jnp.zeros(*form) for form in plan.forms])


def _outputs(plan: Plan, index: int, way: Capture) -> Callable:
    return lambda: plan.outputs(index, way.run())
