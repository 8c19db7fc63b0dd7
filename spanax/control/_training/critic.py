"""A learned value of an observation, as a baseline."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..env import Env
from .optimizer import stepped

WIDTH, DEPTH = 32, 2
STEPS = 8  # of the optimizer, for each batch of episodes
MOVES = 0.1  # share of a new batch in the scale of what is predicted


def _optimizer() -> Any:
    import optax

    return optax.adam(3e-3)


class Critic(eqx.Module):
    """Predicts the costs to come from an observation and the share of time that has passed, in units of their own size."""

    weights: Any  # of the network
    memory: Any  # the optimizer's
    middle: Float[Array, ""]
    spread: Float[Array, ""]
    seen: Float[Array, ""]
    static: Any = eqx.field(static=True)  # what of the network is no weights

    @staticmethod
    def new(env: Env, key: Key[Array, ""]) -> Critic:
        (size,) = env.observation_spec.shape or (1,)
        network = eqx.nn.MLP(size + 1, "scalar", WIDTH, DEPTH, jax.nn.tanh, key=key)
        weights, static = eqx.partition(network, eqx.is_array)
        zero, one = jnp.zeros((), float), jnp.ones((), float)
        return Critic(weights, _optimizer().init(weights), zero, one, zero, static)

    def __call__(self, observation: Float[Array, "*shape"], passed: Float[Array, ""]) -> Float[Array, ""]:
        """0 before it has seen anything."""
        return jnp.where(self.seen > 0, self.middle + self.spread * self._normed(self.weights, observation, passed), 0)

    def _normed(self, weights: Any, observation: Array, passed: Array) -> Array:
        x = jnp.asarray(jnp.reshape(observation, (-1,)), float)
        return eqx.combine(weights, self.static)(jnp.append(x, passed))

    def fitted(
        self,
        observations: Float[Array, "batch steps ..."],
        togo: Float[Array, "batch steps"],
        alive: Bool[Array, "batch steps"],
    ) -> Critic:
        """After a few steps on what a batch of episodes cost from each of their steps on."""
        counted = jnp.maximum(jnp.sum(alive, dtype=togo.dtype), 1)
        middle = jnp.sum(jnp.where(alive, togo, 0)) / counted
        spread = jnp.sqrt(jnp.sum(jnp.where(alive, (togo - middle) ** 2, 0)) / counted)
        share = jnp.where(self.seen > 0, MOVES, 1.0)
        middle = self.middle + share * (middle - self.middle)
        spread = jnp.maximum(self.spread + share * (spread - self.spread), 1e-6)
        passed = jnp.broadcast_to(jnp.linspace(0.0, 1.0, togo.shape[1], endpoint=False), togo.shape)

        normed = jax.vmap(jax.vmap(self._normed, (None, 0, 0)), (None, 0, 0))

        def error(weights):
            missed = normed(weights, observations, passed) - (togo - middle) / spread
            return jnp.sum(jnp.where(alive, missed**2, 0)) / counted

        def one(carry, _):
            weights, memory = carry
            return stepped(_optimizer(), jax.grad(error)(weights), memory, weights), None

        (weights, memory), _ = lax.scan(one, (self.weights, self.memory), None, STEPS)
        return Critic(weights, memory, middle, spread, self.seen + 1, self.static)
