"""Which bridges an `expectation` has at its draws, told to whoever listens while it is traced.

A function of a user's that calls one somewhere inside does not show them otherwise: its traced program has no draws any more.
"""

from __future__ import annotations

import contextvars
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._jaxprs import ClosedJaxpr, Jaxpr, JaxprEqn, jaxprs_in_params
from ..bridges import Drawing
from .sampling import Site, sample_p

_heard: contextvars.ContextVar[list[Drawing] | None] = contextvars.ContextVar("spanax_bridges_heard", default=None)


@contextmanager
def listening() -> Iterator[list[Drawing]]:
    """The bridges of every expectation that is traced meanwhile; of one that is compiled already, none."""
    bridges: list[Drawing] = []
    token = _heard.set(bridges)
    try:
        yield bridges
    finally:
        _heard.reset(token)


def tell(closed: ClosedJaxpr, bridge_at: Callable[[Site], Drawing]) -> None:
    """Adds the bridges of a program's draws, if somebody listens."""
    bridges = _heard.get()
    if bridges is not None:
        bridges.extend(bridge_at(eqn.params["site"]) for eqn in _equations(closed.jaxpr) if eqn.primitive is sample_p)


def _equations(jaxpr: Jaxpr) -> Iterator[JaxprEqn]:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from _equations(inner)
