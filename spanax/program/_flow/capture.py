"""Tracing a block of the program on its own: its outputs, what it writes, and how it ends.

The block runs on the variables and objects of the program, as Python knows no others. Afterwards everything that it wrote is
put back (`Session.block`), and what it had written is kept as snapshots: so the next branch starts from the same state, and
a loop can trace its body until its form has settled.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from ..._jaxprs import evaluate_jaxpr
from .._session import Cell, RaisedError, session
from .._values.snapshots import snapshot


@dataclass
class Capture:
    """A block, traced. `state`: snapshots of the names that it hands on; `cells`: snapshots of what it wrote."""

    program: Any  # a closed jaxpr
    state: tuple
    cells: dict[Any, tuple[Cell, Any]]
    read: set[int]
    ends: dict[int, int]
    lost: list
    raised: RaisedError | None
    result: Any = None

    def evaluate(self, *args) -> list:
        """The block's outputs."""
        return evaluate_jaxpr(self.program.jaxpr, self.program.consts, *args)


def capture(
    block: Callable[..., Any],
    get: Callable[[], tuple],
    set_: Callable[[tuple], None],
    examples: Sequence[jax.Array] = (),
    also: Sequence[Cell] = (),
    opened: Collection[int] = (),
) -> Capture:
    """Traces `block(*examples)`, which may run any number of times, and undoes what it did.

    What it returns is handed on, too. `also`: cells that are handed on in any case. `opened`: older objects that are handed
    on by their attributes.
    """
    now = session()
    state = get()
    record: dict[str, Any] = {}

    def trace_block(*leaves):
        outputs: list = []
        try:
            # `block` records and undoes; `stage` counts the depth, and ends a recursion that would go on as long as it is traced.
            with now.block() as writes, now.stage():
                raised, result = None, None
                try:
                    result = block(*leaves)
                except RaisedError as error:  # the program's own: a branch that ends in it hands nothing on
                    raised = error
                # Before the block is undone: afterwards the cells hold what they held before.
                written = {c.key: c for c, _ in writes.before.values()} | {c.key: c for c in also}
                shot = functools.partial(snapshot, outputs=outputs, since=writes.start, opened=opened)
                record["state"] = tuple(map(shot, get()))
                record["cells"] = {k: (c, shot(c.read())) for k, c in written.items()}
                record["result"] = shot(result)
                record["read"], record["ends"], record["raised"] = writes.read, writes.ends, raised
                record["lost"] = list(writes.lost)
        finally:
            set_(state)  # after the block is undone: a function inside may have written one of the names as well
        return outputs

    # What the block reads of the program around it is not among the inputs: these tracers are constants of the jaxpr.
    program = jax.make_jaxpr(trace_block)(*examples)
    return Capture(program, **record)
