"""Episodes cut into windows: short stretches whose first state is a guess, to be fitted with the parameters.

Over a whole episode a small error of a parameter grows until the prediction says nothing about it; over one step the noise of
the two observations is larger than what the parameter does between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from ..._errors import SpanaxError
from .episodes import Episode

# Steps: so many, or fewer where there would be less than five windows.
LONGEST, FEWEST = 20, 5
# One window of so many is held out.
HELD_OUT = 5


class Windows(NamedTuple):
    """W windows of at most K measurements: measured from row 0 on, and padded at the end, where `valid` is False."""

    measured: Float[np.ndarray, "W K channels"]
    valid: Bool[np.ndarray, "W K"]
    actions: np.ndarray  # (W, K - 1, ...)
    states: Any  # a guess of the first state of each, (W, ...); None if there is none

    def __len__(self) -> int:
        return len(self.measured)


def default_length(episodes: list[Episode]) -> int:
    """Steps of a window."""
    rows = [len(episode.measured) for episode in episodes]
    most = min(LONGEST + 1, max(rows))
    return max(2, min(most, sum(rows) // FEWEST)) - 1


def cut(episodes: list[Episode], steps: int) -> list[Episode]:
    """Pieces of at most `steps` steps. No measurement is in two of them, so that their noise is independent."""
    return [piece for episode in episodes for piece in _pieces(episode, steps + 1)]


def stack(pieces: list[Episode]) -> Windows:
    measured, actions, states = zip(*pieces, strict=True)
    most = max(map(len, measured))
    valid = np.array([np.arange(most) < len(rows) for rows in measured])
    firsts = [None if of is None else jax.tree.map(lambda x: _row(x, 0), of) for of in states]
    guesses = None if any(first is None for first in firsts) else jax.tree.map(lambda *parts: np.stack(parts), *firsts)
    return Windows(_padded(measured, most), valid, _padded(actions, most - 1), guesses)


def _pieces(episode: Episode, most: int) -> Iterator[Episode]:
    rows = len(episode.measured)
    # As even as possible: a rest of two or three rows would say nothing.
    edges = np.linspace(0, rows, -(-rows // most) + 1).round().astype(int)
    for start, end in itertools.pairwise(edges):
        if end - start > 1:
            states = jax.tree.map(lambda x, which=slice(start, end): x[which], episode.states)
            yield Episode(episode.measured[start:end], episode.actions[start : end - 1], states)


def _row(x: Any, at: int) -> Any:
    row = x[at]
    # Keys of JAX are no arrays of NumPy.
    return row if jnp.issubdtype(row.dtype, jax.dtypes.extended) else np.asarray(row)


def _padded(parts: tuple[np.ndarray, ...], most: int) -> np.ndarray:
    """The last row again and again: an action or a measurement that a simulation survives."""
    return np.stack([np.concatenate([part, np.repeat(part[-1:], most - len(part), 0)]) for part in parts])


def held_out(count: int) -> Bool[np.ndarray, " W"]:
    """Which of so many windows are held out: every fifth, and one at least."""
    if count < 2:
        raise SpanaxError("the data are one window, and one more has to be held out", "more data", "a shorter `window`")
    held = np.arange(count) % HELD_OUT == HELD_OUT // 2
    # Of two windows the second: the first is where the motion begins.
    held[-1] |= not held.any()
    return held
