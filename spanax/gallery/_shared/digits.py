"""Real handwritten digits that need no download: scikit-learn's copy of the UCI optical digits test set."""

from __future__ import annotations

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

TRAIN = 1500
DIGIT = 8  # pixels a side


class Labelled(NamedTuple):
    """Images with grey levels from 0 to 1 (sixteenths), and the digits that they show."""

    images: Float[np.ndarray, "n 8 8"]
    labels: Int[np.ndarray, " n"]

    def in_jax(self) -> Pictures:
        return Pictures(jnp.asarray(self.images), jnp.asarray(self.labels))


class Pictures(NamedTuple):
    """The same as arrays of JAX."""

    images: Float[Array, "n 8 8"]
    labels: Int[Array, " n"]


def load(seed: int) -> tuple[Labelled, Labelled]:
    """1,500 digits to train on and 297 held out, shuffled by `seed`.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
    """
    from sklearn.datasets import load_digits

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    # The data set is ordered by its writers: unshuffled, some would be held out whole.
    order = np.random.default_rng(seed).permutation(len(pixels))
    images = (pixels[order] / 16).astype(np.float32).reshape(-1, DIGIT, DIGIT)
    labels = labels[order].astype(np.int32)
    return Labelled(images[:TRAIN], labels[:TRAIN]), Labelled(images[TRAIN:], labels[TRAIN:])
