"""A network that sees a few small windows of a picture, one after the other, and says where it wants to look next."""

from __future__ import annotations

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Key, Num

from .._shared.digits import DIGIT

GLIMPSES, WINDOW, WIDTH = 3, 3, 64
ROW = DIGIT - WINDOW + 1  # places in a row
PLACES = ROW**2

# Of each place, row by row, the pixels of its window.
_corners = [(row, column) for row in range(ROW) for column in range(ROW)]
_square = np.add.outer(DIGIT * np.arange(WINDOW), np.arange(WINDOW)).ravel()
PIXELS = np.array([DIGIT * row + column + _square for row, column in _corners])

# (key, scores of the places) -> the place: its number, or weights of all places.
Choose = Callable[[Key[Array, ""], Float[Array, " places"]], Num[Array, "*place"]]


class Reader(eqx.Module):
    """Three glimpses of 3x3 pixels, and an answer from those 27 pixels at most.

    Before each glimpse it has a state: the sum of what it has seen, 0 at first. From that alone it scores the places, so that
    the first scores are the same for every picture: nothing is known of it yet. `blind`: the state is taken for 0 each time, so
    that all three places are the same for every picture.
    """

    pixels: Float[Array, "places 9 width"]
    place: Float[Array, "places width"]
    think: eqx.nn.Linear
    where: eqx.nn.Linear  # one for each glimpse, stacked
    answer: eqx.nn.Linear
    blind: bool = eqx.field(static=True)

    def __init__(self, *, blind: bool = False, key: Key[Array, ""]):
        first, second, third, fourth = jax.random.split(key, 4)
        self.pixels = jax.random.normal(first, (PLACES, WINDOW**2, WIDTH)) * (2 / WINDOW**2) ** 0.5
        self.place = jnp.zeros((PLACES, WIDTH))
        self.think = eqx.nn.Linear(WIDTH, WIDTH, key=second)
        self.where = jax.vmap(lambda key: eqx.nn.Linear(WIDTH, PLACES, key=key))(jax.random.split(fourth, GLIMPSES))
        self.answer = eqx.nn.Linear(WIDTH, 10, key=third)
        self.blind = blind

    def __call__(
        self, image: Float[Array, "8 8"], choose: Choose, key: Key[Array, ""]
    ) -> tuple[Float[Array, " digits"], Float[Array, "glimpses places"]]:
        """The scores of the ten digits, and the weights of the places that were looked at: hard ones are a 1 each."""
        # What each place would show: a hard choice takes that of one, and zero times the others.
        windows = image.reshape(-1)[PIXELS]
        shown = jax.nn.relu(jnp.einsum("pi,piw->pw", windows, self.pixels) + self.place)

        def glimpse(state, now):
            where, key = now
            scores = where(self._thought(0 * state if self.blind else state))
            weights = as_weights(choose(key, scores))
            return state + weights @ shown, weights

        # A loop of the program, not of Python: a third of it is to be compiled.
        state, looks = lax.scan(glimpse, jnp.zeros(WIDTH), (self.where, jax.random.split(key, GLIMPSES)))
        return self.answer(self._thought(state)), looks

    def _thought(self, state: Float[Array, " width"]) -> Float[Array, " width"]:
        return jax.nn.relu(self.think(state))


def as_weights(place: Num[Array, "*place"]) -> Float[Array, " places"]:
    """Bridges of draws give a number or its weights: both as weights."""
    return jax.nn.one_hot(place, PLACES) if place.ndim == 0 else place
