"""By what observations are multiplied before a network sees them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..env import Box


def scale_of(space: Box, given: Any) -> np.ndarray:
    """One number for each element, as it was given; or of None by the bounds: 2 over the largest, at most 1."""
    size = int(np.prod(space.shape))
    if given is not None:
        return np.broadcast_to(np.asarray(given, float), (size,))
    # Numbers of about 1 are what a network is made for. A motion seldom comes near its bound, hence the 2.
    largest = np.maximum(np.abs(space.low), np.abs(space.high)).reshape(-1)
    return np.minimum(1.0, 2.0 / np.where(np.isfinite(largest), np.maximum(largest, 1e-6), 2.0))
