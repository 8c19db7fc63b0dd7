"""Real handwritten digits that need no download: scikit-learn's copy of the UCI optical digits test set."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

TRAIN = 1500


@dataclass(frozen=True)
class Digits:
    """1,500 images to train on and 297 held out, each 8x8 pixels of exactly 0 or 1."""

    train: Float[Array, "1500 64"]
    held_out: Float[Array, "297 64"]
    held_out_labels: Int[np.ndarray, "297"]

    def one_of_each(self) -> Float[Array, "10 64"]:
        """The first held-out image of each digit, 0 to 9."""
        first = [np.argmax(self.held_out_labels == digit) for digit in range(10)]
        return self.held_out[np.array(first)]


def load(seed: int) -> Digits:
    """The 1,797 images, shuffled by `seed` and split. A pixel is 1 where its grey level is 8 or more of 16.

    Source: Alpaydin and Kaynak 1998, "Optical Recognition of Handwritten Digits", UCI Machine Learning Repository.
    """
    from sklearn.datasets import load_digits

    pixels, labels = map(np.asarray, load_digits(return_X_y=True))
    # The data set is ordered by its writers: unshuffled, some would be held out whole.
    order = np.random.default_rng(seed).permutation(len(pixels))
    images = jnp.asarray(pixels[order] >= 8, jnp.float32)
    return Digits(images[:TRAIN], images[TRAIN:], labels[order][TRAIN:])
