"""Pairs of real digits, and whether one of the two is odd and the other even."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

TRAIN = 1400  # digits: those of the pairs to train on are none of those held out
PAIRS, HELD_OUT = 8000, 1000


class Pairs(NamedTuple):
    """`images`: grey levels from 0 to 1; `differ`: 1 where the sum is odd; `labels`: for the reader of the picture only."""

    images: Float[Array, "n 2 64"]
    differ: Float[Array, " n"]
    labels: Int[np.ndarray, "n 2"]


def load(seed: int) -> tuple[Pairs, Pairs]:
    """8,000 pairs of 1,400 digits to train on, and 1,000 pairs of 397 others.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
    """
    from sklearn.datasets import load_digits

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    random = np.random.default_rng(seed)
    # The data set is ordered by its writers: unshuffled, some would be held out whole.
    order = random.permutation(len(pixels))
    some, others = (
        random.choice(part, (count, 2)) for part, count in ((order[:TRAIN], PAIRS), (order[TRAIN:], HELD_OUT))
    )
    return tuple(  # pyright: ignore[reportReturnType]
        Pairs(
            jnp.asarray(pixels[pairs] / 16.0, jnp.float32),
            jnp.asarray(labels[pairs].sum(-1) % 2, jnp.float32),
            labels[pairs],
        )
        for pairs in (some, others)
    )
