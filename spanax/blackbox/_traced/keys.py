"""What one key becomes: a seed for the function, and random directions, which differ from one x to another."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, UInt32

from ..._math.hashing import folded_in

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
    return None if key is None else folded_in(jax.random.fold_in(key, _PROBES), x)
