"""What is trained: an ensemble of networks with one hidden layer each, or a module of the user's.

A member's outputs are linear in its features: tanh(u W + b), u itself, and 1. So a linear function is learned exactly, and the
output weights need no training: they are solved for (see `training`).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

MEMBERS, WIDTH = 5, 64
_SPREAD = 2.0  # of the first weights: tanh then bends several times within the box


class Hidden(eqx.Module):
    """The hidden layer of one network, or with a leading axis those of an ensemble."""

    weights: Float[Array, "d h"]
    biases: Float[Array, " h"]

    @classmethod
    def random(cls, key: Key[Array, ""], size: int, dtype: Any) -> Hidden:
        for_weights, for_biases = jax.random.split(key)
        weights = jax.random.normal(for_weights, (size, WIDTH), dtype) * (_SPREAD / size**0.5)
        return cls(weights, jax.random.uniform(for_biases, (WIDTH,), dtype, -_SPREAD, _SPREAD))

    def features(self, u: Float[Array, " d"]) -> Float[Array, " p"]:
        return jnp.concatenate([jnp.tanh(u @ self.weights + self.biases), u, jnp.ones((1,), u.dtype)])


class Ensemble(eqx.Module):
    """Networks with a leading axis; `members(u)` gives the outputs of each."""

    hidden: Hidden
    outputs: Float[Array, "k p m"]

    def members(self, u: Float[Array, " d"]) -> Float[Array, "k m"]:
        return jax.vmap(lambda hidden, outputs: hidden.features(u) @ outputs)(self.hidden, self.outputs)


class Single(eqx.Module):
    """The user's module: from a vector of x's numbers in [-1, 1] to one of the standardised results."""

    module: Any
    size: int = eqx.field(static=True)

    def members(self, u: Float[Array, " d"]) -> Float[Array, "1 m"]:
        return jnp.reshape(self.module(u), (1, self.size)).astype(u.dtype)


def with_dtype(network: Any, dtype: Any) -> Any:
    """With its trained arrays in that precision."""
    return jax.tree.map(lambda x: jnp.asarray(x, dtype) if eqx.is_inexact_array(x) else x, network)
