"""Tracing a block of the program on its own: its outputs, what it writes, and how it ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from ..._jaxprs import evaluate_jaxpr
from .._session import Cell, RaisedError, session
from .._values.structure import snapshot


@dataclass
class Capture:
    """One way through a block. `state`: snapshots of the names that it hands on; `cells`: of what it wrote."""

    program: Any  # a closed jaxpr
    state: tuple
    cells: dict[Any, tuple[Cell, Any]]
    read: set[int]
    ends: dict[int, int]
    lost: list
    raised: RaisedError | None
    result: Any = None

    def run(self, *args) -> list:
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

    What it returns is handed on, too. `also`: cells that are handed on in any case. `opened`: older objects that are handed on by
    their attributes.
    """
    now = session()
    state = get()
    found: dict[str, Any] = {}

    def traced(*leaves):
        outputs: list = []
        try:
            with now.block() as writes, now.stage():
                raised, result = None, None
                try:
                    result = block(*leaves)
                except RaisedError as error:
                    raised = error
                written = {c.key: c for c, _ in writes.before.values()} | {c.key: c for c in also}
                shot = functools.partial(snapshot, outputs=outputs, since=writes.start, opened=opened)
                found["state"] = tuple(map(shot, get()))
                found["cells"] = {k: (c, shot(c.read())) for k, c in written.items()}
                found["result"] = shot(result)
                found["read"], found["ends"], found["raised"] = writes.read, writes.ends, raised
                found["lost"] = list(writes.lost)
        finally:
            set_(state)  # after the block is undone: a function inside may have written one of the names as well
        return outputs

    program = jax.make_jaxpr(traced)(*examples)
    return Capture(program, **found)
