"""Random directions in the space of a list of arrays.

All of them have E[u u^T] = identity (`coordinates`: identity / size), which is what makes estimates from them unbiased.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key


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


def widest(leaves: Sequence[Array]) -> jnp.dtype:
    """float64 if any of the arrays has it, else float32."""
    # Narrower floats hold the data, not the arithmetic: a difference of two bfloat16 values has two digits.
    return jnp.dtype(max((jnp.dtype(jnp.float32), *map(jnp.result_type, leaves)), key=lambda dtype: dtype.itemsize))


def orthogonal(key: Key[Array, ""], count: int, size: int, block: int, dtype: jnp.dtype) -> Float[Array, "count size"]:
    """`count` standard normal vectors; those of one block of `block` (the last may be shorter) are orthogonal to each other.

    Haar-random directions times independent chi-distributed lengths, so that each vector by itself is exactly standard
    normal (Choromanski et al. 2018, arXiv:1804.02395, section 3).
    """
    # Both come from one Gaussian matrix: in A = QR, with a positive diagonal of R, the factors are independent and the columns
    # of R are as long as those of A. LAPACK leaves the signs of the diagonal open: they are set here.
    blocks = -(-count // block)
    A = jax.random.normal(key, (blocks, size, block), dtype)
    Q, R = jnp.linalg.qr(A)
    signs = jnp.where(jnp.diagonal(R, axis1=-2, axis2=-1) < 0, -1, 1).astype(dtype)
    lengths = jnp.linalg.norm(A, axis=-2)
    return jnp.swapaxes(Q * (signs * lengths)[:, None, :], -2, -1).reshape(blocks * block, size)[:count]


def coordinates(key: Key[Array, ""], count: int, size: int, dtype: jnp.dtype) -> Float[Array, "count size"]:
    """`count` unit vectors times a standard normal number each: in random order, none twice within a block of `size`."""
    for_order, for_lengths = jax.random.split(key)
    # One permutation after the other: within a block of `size` no coordinate is wasted on a second visit.
    blocks = -(-count // max(size, 1))
    order = jax.vmap(lambda k: jax.random.permutation(k, size))(jax.random.split(for_order, blocks)).ravel()[:count]
    lengths = jax.random.normal(for_lengths, (count, 1), dtype)
    return jax.nn.one_hot(order, size, dtype=dtype) * lengths if size else jnp.zeros((count, 0), dtype)


def rademacher(key: Key[Array, ""], count: int, size: int, dtype: jnp.dtype) -> Float[Array, "count size"]:
    """`count` vectors of independent signs, 1 or -1."""
    return jax.random.rademacher(key, (count, size), dtype)
