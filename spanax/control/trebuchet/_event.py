"""One phase of a throw: steps until its event, differentiated in forward mode, to every order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
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
    """`slope(numbers, state)` is the derivative by time; `event(numbers, state, slope there)` what falls through 0, and whether
    the state is sound. `step` gives the state after a step; where the event `looks_at_slope`, that and the slope there.
    `length`: of a step; `longest`: how long it may last, in seconds; `most`: steps.
    """

    step: Step
    slope: Callable[[Any, Any], Any]
    event: Callable[[Any, Any, Any], tuple[Scalar, Array]]
    looks_at_slope: bool
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
            lambda there, *_: self.event(numbers, *there),
            # The slope at the start is not known yet: the first step, whose length is 0, finds it.
            *((state, jax.tree.map(lambda y: 0 * y, state) if self.looks_at_slope else None), whole, self.most),
            is_late=lambda there: there[0].time >= end,
            record=record,
        )
        at_event, _ = landing(self._ahead, self._value)(numbers, found.state, found.length, found.ahead)
        return Path(at_event, found.fired, found.before + 1, found.passed[0] if record else None)

    def _value(self, numbers: Any, there: Any) -> Scalar:
        return self.event(numbers, *there)[0]

    def _ahead(self, numbers: Any, there: Any, length: Scalar) -> Any:
        state, _ = there
        after = self.step(lambda state: self.slope(numbers, state), state, length)
        return after if self.looks_at_slope else (after, None)
