"""Which bridges an `expectation` has at its draws, for whoever asks while it is traced.

From outside they cannot be read off a function of a user's that calls an expectation somewhere inside: its traced program has no
draws any more.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._jaxprs import ClosedJaxpr, operations
from ..bridges import Drawing
from .sampling import Site, sample_p

# A context variable: two threads that compare programs do not record each other's bridges.
_recorder: contextvars.ContextVar[list[Drawing] | None] = contextvars.ContextVar("spanax_bridges", default=None)


@contextmanager
def record_bridges() -> Iterator[list[Drawing]]:
    """The bridges of every expectation that is traced meanwhile; of one that is compiled already, none."""
    bridges: list[Drawing] = []
    token = _recorder.set(bridges)
    try:
        yield bridges
    finally:
        _recorder.reset(token)


def report(closed: ClosedJaxpr, bridge_at: Callable[[Site], Drawing]) -> None:
    """Adds the bridges of a program's draws, if they are being recorded."""
    # Nobody is recording in most calls: then the program is not walked through.
    bridges = _recorder.get()
    if bridges is not None:
        bridges.extend(bridge_at(eqn.params["site"]) for eqn in operations(closed.jaxpr) if eqn.primitive is sample_p)
