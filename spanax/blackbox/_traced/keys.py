"""What one key becomes: a seed for the function, and random directions, which differ from one x to another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Key, UInt32

# Two streams of one key: the noise of the function must not depend on its own probes.
_SEED, _PROBES = 1, 2


def seed_of(key: Key[Array, ""]) -> UInt32[Array, 2]:
    """The same at every x: a noisy function is one function of x for each key."""
    return jax.random.bits(jax.random.fold_in(key, _SEED), (2,), jnp.uint32)


def probing_key(key: Key[Array, ""] | None, x: Sequence[Array]) -> Key[Array, ""] | None:
    """A key for the bridge's points, of `key` and of the bits of x.

    In f(f(x)), or in a loop, one key would give all calls the same directions, and the product of their Jacobians, each of them
    unbiased, would be biased. So another x has other directions.
    """
    if key is None:
        return None
    mixed = jax.random.fold_in(key, _PROBES)
    for leaf in x:
        if leaf.size:
            mixed = jax.random.fold_in(mixed, _hash(leaf))
    return mixed


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
