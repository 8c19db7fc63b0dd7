"""One 32-bit word of the bits of an array: randomness that depends on nothing but a value."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key, UInt32


def folded_in(key: Key[Array, ""], leaves: Any) -> Key[Array, ""]:
    """A key of `key` and of the bits of all leaves."""
    for leaf in leaves:
        if leaf.size:
            key = jax.random.fold_in(key, _hash(leaf))
    return key


def _hash(leaf: Array) -> UInt32[Array, ""]:
    """The sum of all words, each with an odd factor of its own (mod 2^32): equal for different x once in about 2^32."""
    # A sum, so that it is one reduction on any device; odd factors keep a permutation of x from having the same hash.
    words = _words(leaf).ravel()
    place = lax.iota(jnp.uint32, words.size)
    mixed = (words ^ (words >> 16)) * (place * jnp.uint32(2654435769) | jnp.uint32(1))
    return jnp.sum(mixed ^ (mixed >> 15), dtype=jnp.uint32)


def _words(leaf: Any) -> UInt32[Array, ...]:
    if jnp.issubdtype(leaf.dtype, jnp.complexfloating):
        return jnp.stack([_words(leaf.real), _words(leaf.imag)])
    # Widened to the 32 bits that the hash works on: float16 and int8 are exact in float32.
    if leaf.dtype == bool or leaf.dtype.itemsize < 4:
        return _words(leaf.astype(jnp.float32))
    return lax.bitcast_convert_type(leaf, jnp.uint32)
