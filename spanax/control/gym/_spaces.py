"""Gymnasium's spaces as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..._errors import SpanaxError
from ..env import Box, Discrete


class Spaces:
    """Observations (of any space) and actions (of a Box or Discrete one) of a Gymnasium environment, as arrays.

    A Box observation keeps its shape; any other is flattened by `gymnasium.spaces.flatten` (a Discrete one becomes one-hot).
    """

    def __init__(self, env: Any, name: str):
        from gymnasium import spaces

        self._observed, self._acted = env.observation_space, env.action_space
        self._is_box = isinstance(self._observed, spaces.Box)
        # Sequences and graphs have another size each time.
        if not getattr(self._observed, "is_np_flattenable", False):
            raise SpanaxError(
                f"{name}: observations of {self._observed} have no fixed size",
                "gymnasium.wrappers.TransformObservation",
            )
        # Flattened, a Dict or Tuple of spaces is one vector for a policy.
        box = self._observed if self._is_box else spaces.flatten_space(self._observed)
        assert isinstance(box, spaces.Box)
        self.observation = _box(box)
        if isinstance(self._acted, spaces.Discrete):
            self.action: Box | Discrete = Discrete(int(self._acted.n))
        elif isinstance(self._acted, spaces.Box):
            self.action = _box(self._acted)
        else:
            raise SpanaxError(
                f"{name}: actions of {self._acted} are not supported",
                "gymnasium.wrappers.TransformAction, to a Box or Discrete space",
            )

    def array_of(self, observation: Any) -> np.ndarray:
        if self._is_box:
            return np.asarray(observation, float)
        from gymnasium import spaces

        return np.asarray(spaces.flatten(self._observed, observation), float)

    def action_of(self, action: np.ndarray) -> Any:
        """The nearest action: a Box one is clipped; of weights, as bridges make them, the largest counts."""
        # A Normal policy draws beyond any box, and most environments fail on that.
        if isinstance(self.action, Discrete):
            # Gymnasium's discrete spaces may start at another number than 0.
            chosen = np.argmax(action) if action.ndim else np.rint(action)
            return int(np.clip(chosen, 0, self.action.n - 1)) + int(self._acted.start)
        return np.clip(action, self._acted.low, self._acted.high).astype(self._acted.dtype)


def _box(space: Any) -> Box:
    # An element with one possible value (low = high) gets room to be a `Box`.
    low, high = np.asarray(space.low, float), np.asarray(space.high, float)
    return Box(low, np.where(low < high, high, np.nextafter(low, np.inf)))
