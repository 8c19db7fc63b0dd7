"""`if` on values that are known only when the program runs.

Both branches are traced, each from the same state (`capture`). What they leave in names, cells and the result is joined into
one value each (`joins`), whose numbers are the outputs of one `lax.cond`. A branch that ends in the program's own error
hands nothing on: the other one's values are taken, and the error becomes a fault that is checked when the program runs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .._session import Cell, RaisedError, line, session
from .._values.cells import check_usable
from .._values.joins import Builder, JoinPlan, join, objects_to_open
from .._values.protocols import own_method
from .._values.unsettled import Unsettled, may_be_none, require_value
from .._values.values import as_jax, is_unknown, raw
from .branches import either
from .capture import Capture, capture

Get = Callable[[], tuple]
Set = Callable[[tuple], None]


def truth(value: Any) -> bool | jax.Array:
    """A Python bool, or a traced one. None is false, and so is a value on the paths where it is None."""
    if may_be_none(value):
        there = truth(value.value)
        return as_jax(value.defined) & there if not isinstance(there, bool) or there else False
    if isinstance(value, Unsettled):
        return truth(require_value(value, line))
    if isinstance(value, (list, dict, set, deque)):
        session().reads(value)
        check_usable(value)
    # In Python's order: an object without `__bool__` is true if it is not empty, by its `__len__`.
    if (method := own_method(value, "__bool__") or own_method(value, "__len__")) is not None:
        return truth(session().rules.call(method, value))
    return _truth_of_number(value) if is_unknown(value) else bool(raw(value) if hasattr(value, "dtype") else value)


def _truth_of_number(value: Any) -> jax.Array:
    data = as_jax(value)
    if data.size != 1:
        raise ValueError("the truth value of an array with more than one element is ambiguous: use .any() or .all()")
    data = data.reshape(()) if data.ndim else data
    return data if data.dtype == bool else data != 0


def if_(test: Any, then: Callable, orelse: Callable, get: Get, set_: Set, names: Sequence[str]) -> None:
    """`if test: then() else: orelse()`; both hand on the names."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        (then if chosen else orelse)()
    else:
        set_(_branch(chosen, then, orelse, get, set_, names)[0])


# A conditional expression has no names of its own; what its parts write in containers and objects is handed on as in `if_`.
def choose(test: Any, then: Callable, orelse: Callable) -> Any:
    """`then() if test else orelse()`."""
    chosen = truth(test)
    if isinstance(chosen, bool):
        return then() if chosen else orelse()
    return _branch(chosen, then, orelse, tuple, lambda new: None, ())[1]


def _branch(
    chosen: jax.Array, then: Callable, orelse: Callable, get: Get, set_: Set, names: Sequence[str]
) -> tuple[tuple, Any]:
    """Traces both branches and emits one conditional: the names' new values and the result. Commits what the branches wrote."""
    branches = _trace_branches((then, orelse), get, set_)
    going = _without_error(branches)
    # If both end in an error, so does the program whatever the arguments are, while it is traced.
    raised = branches[0].raised or branches[1].raised
    if not going:
        assert raised is not None
        raise raised
    plan = JoinPlan()
    state = [_join_name(plan, branches, going, i, name) for i, name in enumerate(names)]
    cells = [
        (cell, join(plan, [branch.cells[key][1] for branch in going], cell.name))
        for key, cell in _written_cells(branches).items()
    ]
    result = join(plan, [branch.result for branch in going], "the value")
    leaves = _run_branches(chosen, branches, going, plan)
    _commit(cells, leaves, going)
    if raised:
        note_fault(raised, chosen if branches[0].raised else ~chosen)
    return tuple(make(leaves) for make in state), result(leaves)


def _without_error(branches: Sequence[Capture]) -> list[Capture]:
    """The branches that do not end in an error."""
    return [branch for branch in branches if branch.raised is None]


def _written_cells(branches: Sequence[Capture]) -> dict[Any, Cell]:
    return {key: cell for branch in branches for key, (cell, _) in branch.cells.items()}


def _trace_branches(blocks: tuple[Callable, Callable], get: Get, set_: Set) -> list[Capture]:
    """Traces both branches until they hand on the same cells, and the same attributes of objects that they choose between.

    A cell that one branch writes must be handed on by the other as well, and it is known only after both were traced; so
    they are traced again with these cells, until nothing is added.
    """
    # What an earlier tracing of the same `if` has learnt (by its code) saves the first trial, in a loop above all.
    opened: set[int] = session().hints.setdefault(("opened", *(f.__code__ for f in blocks)), set())
    also: dict[Any, Cell] = {}
    for _ in range(_TRIALS):
        branches = [capture(f, get, set_, also=list(also.values()), opened=opened) for f in blocks]
        written = _written_cells(branches)
        more = _objects_to_open(_without_error(branches), written) - opened
        if not more and all(branch.cells.keys() == written.keys() for branch in branches):
            break
        also |= written
        opened |= more
    return branches


_TRIALS = 9  # in which branches are traced until they hand on the same: one or two do, as a rule


def _objects_to_open(going: list[Capture], written: dict[Any, Cell]) -> set[int]:
    """The objects, by `id`, of which the branches hand on different ones."""
    pairs = [*zip(*(branch.state for branch in going), strict=True), [branch.result for branch in going]]
    both = [key for key in written if all(key in branch.cells for branch in going)]
    pairs += [[branch.cells[key][1] for branch in going] for key in both]
    return set().union(*map(objects_to_open, pairs))


def _join_name(plan: JoinPlan, branches: Sequence[Capture], going: Sequence[Capture], i: int, name: str) -> Builder:
    """How to make the i-th name's value. What all branches leave as it is, also those that end in an error, stays that
    object."""
    value = branches[0].state[i].value
    if all(branch.state[i].value is value for branch in branches):
        return lambda leaves: value
    return join(plan, [branch.state[i] for branch in going], name)


def _commit(cells: Sequence[tuple[Cell, Builder]], leaves: Sequence, going: Sequence[Capture]) -> None:
    """Writes what the branches have left. All values are made first: making one may read a cell."""
    values = [(cell, make(leaves)) for cell, make in cells]
    for cell, value in values:
        session().commit(cell, value)
    for branch in going:
        for array in branch.lost:
            session().lose(array)


def note_fault(raised: RaisedError, failed: Any) -> None:
    """Makes the program's own error a fault where the traced `failed` holds."""
    error = raised.error
    session().check(failed, f"the program raised {type(error).__name__}: {error}", raised.where)


def _run_branches(
    chosen: jax.Array, branches: Sequence[Capture], going: Sequence[Capture], plan: JoinPlan
) -> Sequence[jax.Array]:
    # Nothing depends on the condition, and nothing is printed: then no branch is needed at all.
    if not plan.forms and not any(branch.program.effects for branch in branches):
        return []
    if len(going) == 2:
        return either(chosen, going, *(_outputs(plan, i, branch) for i, branch in enumerate(going)))
    # The other branch ends in an error: this one is run where it is right, lest it do harm where it is not.
    right = chosen if going[0] is branches[0] else ~chosen
    return lax.cond(right, _outputs(plan, 0, going[0]), lambda: [jnp.zeros(*form) for form in plan.forms])


def _outputs(plan: JoinPlan, index: int, branch: Capture) -> Callable:
    return lambda: plan.outputs(index, branch.evaluate())
