"""One phase of a throw: steps until its event, differentiated in forward mode, to every order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax

from .._event.integrators import Step
from .._event.moment import landing
from .._event.search import search
from .machine import Scalar


class Path(NamedTuple):
    """One phase. `passed`: the states that its steps start from, the first `steps` rows of them; None if not recorded."""

    state: Any  # at the event
    fired: Array  # whether the event came, with every state before it sound
    steps: Array
    passed: Any


class Phase(NamedTuple):
    """`slope(numbers, state)` is the derivative by time; `event(numbers, state)` what falls through 0, and whether the state is
    sound. `length`: of a step; `longest`: how long it may last, in seconds; `most`: steps.
    """

    step: Step
    slope: Callable[[Any, Any], Any]
    event: Callable[[Any, Any], tuple[Scalar, Array]]
    length: float
    longest: float
    most: int

    def until(self, numbers: Any, state: Any, record: bool) -> Path:
        """The motion up to the event. `state.time` is the time; where the event did not come, the state is meaningless."""
        whole = jnp.asarray(self.length, state.time.dtype)
        # When to give up does not depend on the parameters.
        end = lax.stop_gradient(state.time) + self.longest
        found = search(
            lambda state, _, length: self._ahead(numbers, state, length),
            lambda state, *_: self.event(numbers, state),
            *(state, whole, self.most),
            is_late=lambda state: state.time >= end,
            record=record,
        )

        at_event = landing(self._ahead, self._value)(numbers, found.state, found.length, found.ahead)
        return Path(at_event, found.fired, found.before + 1, found.passed)

    def _value(self, numbers: Any, state: Any) -> Scalar:
        return self.event(numbers, state)[0]

    def _ahead(self, numbers: Any, state: Any, length: Scalar) -> Any:
        return self.step(lambda state: self.slope(numbers, state), state, length)
