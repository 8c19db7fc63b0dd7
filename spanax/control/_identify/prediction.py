"""How well a model predicts windows that it was not fitted to."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from .shooting import Problem
from .solve import Bounds, minimise


class Prediction(NamedTuple):
    """The mean square, over windows, of the errors of their second halves, in units of the channels' spread; one for each."""

    squares: Float[np.ndarray, " held"]
    rows: Float[np.ndarray, " held"]  # how many errors each is the mean of

    @property
    def error(self) -> float:
        return float(np.sqrt(np.average(self.squares, weights=self.rows)))


def predict(
    problem: Problem,
    theta: np.ndarray,
    states: np.ndarray,
    noise: np.ndarray,
    spread: np.ndarray,
    held: Bool[np.ndarray, " W"],
) -> Prediction:
    """The first state of each held window is fitted to its first half; the second half is then predicted, as one run."""
    valid = problem.windows.valid
    rows = valid.sum(1)
    # Enough measurements for every number of the state, where there are as many.
    needed = -(-states.shape[1] // problem.windows.measured.shape[-1])
    first = np.minimum(np.maximum((rows + 1) // 2, needed), rows - 1)
    place = np.arange(valid.shape[1])
    seen = valid & held[:, None] & (place < first[:, None])
    # Bounds that are equal hold the parameters: only states are fitted.
    still = Bounds(theta, theta)
    start = minimise(problem.counting(seen), theta, states, 1 / noise, still).states
    ahead = valid & held[:, None] & ~seen
    # A channel that never changes has nothing to be predicted.
    moves = spread > 0
    errors = problem.counting(ahead).errors(theta, start)[held][..., moves] / spread[moves]
    counts = ahead.sum(1)[held] * moves.sum()
    # A simulation that fails is infinitely wrong, and not NaN.
    squares = np.nan_to_num(np.sum(errors**2, (1, 2)), nan=np.inf) / counts
    return Prediction(squares, counts.astype(float))
