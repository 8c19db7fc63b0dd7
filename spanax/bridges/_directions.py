"""Random directions in the space of a list of arrays."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def gaussian(key: Key[Array, ""], like: Sequence[Array]) -> list[Array]:
    """Independent standard normal numbers, of the shapes and dtypes of `like`."""
    keys = jax.random.split(key, max(len(like), 1))
    return [jax.random.normal(k, jnp.shape(x), jnp.result_type(x)) for k, x in zip(keys, like, strict=False)]


def norm(direction: Sequence[Array]) -> Array:
    """The Euclidean norm over all arrays together, in the widest of their dtypes."""
    dtype = jnp.result_type(*direction)
    return jnp.sqrt(sum((jnp.sum(jnp.square(x.astype(dtype))) for x in direction), jnp.zeros((), dtype)))


def moved(point: Sequence[Array], direction: Sequence[Array], step: Array | float) -> list[Array]:
    """point + step * direction, each array in its own dtype."""
    return [x + jnp.asarray(step, x.dtype) * d.astype(x.dtype) for x, d in zip(point, direction, strict=True)]
