"""Handwritten digits in black and white."""

from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from .._shared import digits


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
    """The 1,797 images, shuffled by `seed` and split. A pixel is 1 where its grey level is 8 or more of 16."""
    train, held_out = digits.load(seed)
    black, held_out_black = (jnp.asarray(part.images.reshape(-1, 64) >= 0.5, jnp.float32) for part in (train, held_out))
    return Digits(black, held_out_black, held_out.labels)
