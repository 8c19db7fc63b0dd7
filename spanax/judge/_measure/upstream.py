"""Which of a program's inputs reach equations of some kind, through calls, branches and loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import jax.numpy as jnp

from ..._errors import SpanaxError
from ..._jaxprs import ClosedJaxpr, JaxprEqn, aval, below, programs
from ...stochastic.flow import NONE, Flow, Labels

# They jump though what they return is a float; and what the host computes may.
_JUMP = ("floor", "ceil", "round", "sign", "rem", "nextafter", "pure_callback", "io_callback")


class _Upstream(Flow):
    """Labels not the draws but the first `count` inputs."""

    def __init__(self, closed: ClosedJaxpr, count: int, marked: Callable[[JaxprEqn], bool]):
        # The same dataflow as that of draws to costs, with the inputs in place of the draws.
        self.reach, self.loops, self.sites, self.labels, self.marked = {}, {}, {}, NONE, marked
        inputs: list[Labels] = [NONE] * len(closed.jaxpr.invars)
        # A label is a path of the program; negative ones are before every equation.
        inputs[:count] = [frozenset({((-1, i), None)}) for i in range(count)]  # a path before every equation
        self._walk(closed.jaxpr, inputs, NONE, (), ())

    def _step(self, eqn, ins, control, here, loops) -> list[Labels]:
        # What decides whether the equation runs counts as well: a branch's predicate changes its result.
        if self.marked(eqn):
            self.labels = self.labels.union(control, *ins)
        return super()._step(eqn, ins, control, here, loops)


def upstream(closed: ClosedJaxpr, count: int, marked: Callable[[JaxprEqn], bool]) -> list[int]:
    """Those of the first `count` inputs that enter a marked equation, or decide whether it runs."""
    return sorted(path[1] for path, _ in _Upstream(closed, count, marked).labels if path[0] < 0)


def that_may_jump(closed: ClosedJaxpr, count: int) -> Sequence[int]:
    """Those of the first `count` inputs in which the program may be discontinuous; all of them where it cannot be followed."""
    try:
        return upstream(closed, count, _may_jump)
    except SpanaxError:
        return range(count)


def _may_jump(eqn: JaxprEqn) -> bool:
    if programs(eqn):  # it is looked into
        return False
    return below(eqn, lambda e: e.primitive.name in _JUMP or any(map(_is_discrete, e.outvars))) is not None


def _is_discrete(variable) -> bool:
    return not jnp.issubdtype(getattr(aval(variable), "dtype", jnp.float32), jnp.inexact)
