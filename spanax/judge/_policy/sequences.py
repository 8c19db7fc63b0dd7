"""All sequences of a small vocabulary, and where each of them ends."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

LIMIT = 100_000  # sequences that are summed over
_CHUNK = 512  # at once


def count_sequences(vocabulary: int, length: int, end: int | None) -> int:
    """How many there are, those that end alike counted once."""
    if end is None:
        return vocabulary**length
    going = vocabulary - 1
    return sum(going**k for k in range(length)) + going**length


def every_sequence(vocabulary: int, length: int, end: int | None) -> Int[np.ndarray, "n length"]:
    """Each once, filled up with end tokens."""
    # Grown token by token: the full product of positions would hold each sequence that ends early many times.
    going, ended = np.zeros((1, 0), np.int32), []
    for t in range(length):
        last = np.tile(np.arange(vocabulary, dtype=np.int32), len(going))[:, None]
        going = np.concatenate([np.repeat(going, vocabulary, axis=0), last], axis=1)
        if end is not None:
            ends = going[:, -1] == end
            ended.append(np.pad(going[ends], ((0, 0), (0, length - t - 1)), constant_values=end))
            going = going[~ends]
    return np.concatenate([*ended, going])


def chunks(
    vocabulary: int, length: int, end: int | None
) -> tuple[Int[np.ndarray, "chunks n length"], Float[np.ndarray, "chunks n"]]:
    """All sequences in equal parts, and 1.0 for each of them: 0.0 for those that only fill up the last part."""
    tokens = every_sequence(vocabulary, length, end)
    size = min(_CHUNK, len(tokens))
    missing = -len(tokens) % size
    counts = np.pad(np.ones(len(tokens), np.float32), (0, missing))
    return np.pad(tokens, ((0, missing), (0, 0))).reshape(-1, size, length), counts.reshape(-1, size)


def mask_of(tokens: Int[Array, "n length"], end: int | None, dtype: Any) -> Float[Array, "n length"]:
    """1 for each token up to the first end, and for that one."""
    if end is None:
        return jnp.ones(tokens.shape, dtype)
    ends = (tokens == end).astype(jnp.int32)
    before = jnp.cumsum(ends, axis=1, dtype=jnp.int32) - ends
    return (before == 0).astype(dtype)
