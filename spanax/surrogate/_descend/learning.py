"""The bridges of a descent that learn: their states go into each step, and what the step has seen comes out of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..._jaxprs import ClosedJaxpr
from ..._pytree import PyTree
from ...blackbox.within import pupils


class Learners:
    """Those of one traced step. States are NumPy arrays, so that a checkpoint holds them exactly."""

    def __init__(self, program: ClosedJaxpr):
        self._pupils = pupils(program)

    def empty(self) -> list[PyTree[np.ndarray]]:
        return [pupil.empty for pupil in self._pupils]

    @contextlib.contextmanager
    def carrying(self, states: list[PyTree[np.ndarray]]) -> Iterator[None]:
        """Inside it the bridges have these states, and what they see is kept for `learned`."""
        for pupil, state in zip(self._pupils, states, strict=True):
            pupil.state, pupil.evidence = state, []
        try:
            yield
        finally:
            # Outside of a descent a black box is what it was: nothing of this one is left in it.
            for pupil in self._pupils:
                pupil.state = None

    def learned(self, states: list[PyTree[np.ndarray]]) -> list[PyTree[np.ndarray]]:
        """The states after the last step."""
        result = []
        for pupil, state in zip(self._pupils, states, strict=True):
            result.append(pupil.via.learned(state, pupil.evidence or []))
            pupil.evidence = None
        return result

    def checks(self, states: list[PyTree[np.ndarray]]) -> dict[str, Any]:
        """What the last checks of each found, by the name of its black box."""
        names: dict[str, Any] = {}
        for pupil, state in zip(self._pupils, states, strict=True):
            name = pupil.name if pupil.name not in names else f"{pupil.name} ({len(names) + 1})"
            names[name] = pupil.via.agreement(state)
        return names
