"""What the walk over a traced program knows of each value, as sets of the arguments' leaves."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..._jaxprs import Literal


class Constant:
    """A value that depends on no leaf, computed when it is asked for."""

    def __init__(self, compute: Callable[[], Any]):
        # Lazy: constants are computed only if an expression has to be measured, which is rare.
        self._compute = functools.cache(compute)

    def __call__(self) -> Any:
        return self._compute()


class State(NamedTuple):
    """Sets of leaves, as bits; and the value, where it depends on none and can be computed."""

    depends: int = 0  # the value depends on them
    active: int = 0  # their tangent reaches it
    forward: int = 0  # their tangent reaches it, in forward mode only
    sure: int = 0  # their tangent reaches it, whichever branches are taken
    cut: int = 0  # their tangent was lost on the way, in this expression
    value: Constant | None = None

    def __or__(self, other: State) -> State:
        # The value goes: of two alternatives there is not one value. `sure` is a union here too; `either` takes the
        # intersection.
        depends, active, forward, sure, cut = (a | b for a, b in zip(self[:-1], other[:-1], strict=True))
        return State(depends, active, forward, sure, cut)


NOTHING = State()


def union(states: Sequence[State]) -> State:
    """What is known of something that all of these take part in."""
    return functools.reduce(State.__or__, states, NOTHING)


def either(states: Sequence[State]) -> State:
    """One of these, nobody knows which."""
    return union(states)._replace(sure=functools.reduce(int.__and__, (s.sure for s in states)))


def read(env: Mapping[Any, State], v: Any) -> State:
    """The state of a variable or a literal; a variable that has none depends on no leaf."""
    return State(value=Constant(lambda: v.val)) if isinstance(v, Literal) else env.get(v, NOTHING)
