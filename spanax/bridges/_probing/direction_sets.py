"""The sets of directions of `Smoothing`: how the u of one estimate depend on each other.

Each u by itself is standard normal, so that estimates with any set are unbiased for the same derivative (but for "coordinate",
see there). Their variance differs: directions that avoid each other tell more than independent ones.
"""

from __future__ import annotations

import abc

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._math.directions import coordinates, orthogonal
from ..._math.sobol import DIMENSIONS, shifted_sobol

_SMOOTHED = "E[f(x + sigma u)], u standard normal: the smoothed function"


class DirectionSet(abc.ABC):
    """One kind of directions, looked up by its name in `DIRECTIONS`.

    - `unbiased_for`: as in the bridge's `Facts`;
    - `one_coordinate`: does a direction move one coordinate only, so that E[u u^T] is the identity over their number?
    """

    unbiased_for, one_coordinate = _SMOOTHED, False

    @abc.abstractmethod
    def block(self, pairs: int, size: int, blocks: int) -> int:
        """How many successive directions depend on each other; there are at least `blocks` independent blocks if possible."""

    @abc.abstractmethod
    def draw(self, key: Key[Array, ""], pairs: int, size: int, block: int, dtype) -> Float[Array, "pairs size"]:
        """The directions, in rows."""


class _Gaussian(DirectionSet):
    def block(self, pairs, size, blocks):
        return 1

    def draw(self, key, pairs, size, block, dtype):
        return jax.random.normal(key, (pairs, size), dtype)


class _Orthogonal(DirectionSet):
    def block(self, pairs, size, blocks):
        # No more than `size` vectors can be orthogonal; the blocks are as equal as can be, which varies least.
        count = max(blocks, -(-pairs // size))
        return min(size, -(-pairs // count))

    def draw(self, key, pairs, size, block, dtype):
        # In one dimension nothing is orthogonal, and a plain draw is cheaper than a decomposition of 1 x 1 matrices.
        if size <= 1:
            return jax.random.normal(key, (pairs, size), dtype)
        return orthogonal(key, pairs, size, block, dtype)


class _Sobol(DirectionSet):
    def block(self, pairs, size, blocks):
        # Two point sets with shifts of their own: the coefficient of a guide is fitted on the other one.
        return -(-pairs // 2)

    def draw(self, key, pairs, size, block, dtype):
        if size > DIMENSIONS:
            raise SpanaxError(
                f"Sobol directions for {size} numbers: there are direction numbers for {DIMENSIONS}",
                'Smoothing(directions="orthogonal")',
            )
        halves = [shifted_sobol(k, block, size, dtype) for k in jax.random.split(key)]
        return jnp.concatenate(halves)[:pairs]


class _Coordinate(DirectionSet):
    """u = z e_i: each estimates one coordinate of a derivative, of f smoothed along that coordinate only."""

    unbiased_for = "E[f(x + sigma z e_i)] in each coordinate i, z standard normal"
    one_coordinate = True

    def block(self, pairs, size, blocks):
        return size

    def draw(self, key, pairs, size, block, dtype):
        return coordinates(key, pairs, size, dtype)


DIRECTIONS: dict[str, DirectionSet] = {
    "orthogonal": _Orthogonal(),
    "gaussian": _Gaussian(),
    "sobol": _Sobol(),
    "coordinate": _Coordinate(),
}
