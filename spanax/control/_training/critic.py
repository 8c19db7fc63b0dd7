"""A learned value of an observation, as a baseline.

A small network predicts the cost that is still to come, normalised by the mean and spread of the costs seen so far, from the
observation and the share of the episode's time that has passed (the horizon is finite: the same observation is worth less late).
It is fitted to the costs after the gradient has been estimated, so that it does not depend on the draws it is a baseline for, and
the estimate stays unbiased (Sutton et al. 1999).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._optimizer import apply_update
from ..env import Env

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
    seen: Float[Array, ""]  # batches
    static: Any = eqx.field(static=True)  # the rest of the network

    @staticmethod
    def new(env: Env, key: Key[Array, ""]) -> Critic:
        (size,) = env.observation_space.shape or (1,)
        network = eqx.nn.MLP(size + 1, "scalar", WIDTH, DEPTH, jax.nn.tanh, key=key)
        # Held apart: the carry of a compiled loop has arrays only.
        weights, static = eqx.partition(network, eqx.is_array)
        zero, one = jnp.zeros((), float), jnp.ones((), float)
        return Critic(weights, _optimizer().init(weights), zero, one, zero, static)

    def __call__(self, observation: Float[Array, "*shape"], passed: Float[Array, ""]) -> Float[Array, ""]:
        """0 before it has seen anything: an untrained network would only add noise."""
        return jnp.where(
            self.seen > 0, self.middle + self.spread * self._predict_normalised(self.weights, observation, passed), 0
        )

    def _predict_normalised(self, weights: Any, observation: Array, passed: Array) -> Array:
        x = jnp.asarray(jnp.reshape(observation, (-1,)), float)
        return eqx.combine(weights, self.static)(jnp.append(x, passed))

    def fit(
        self,
        observations: Float[Array, "batch steps ..."],
        togo: Float[Array, "batch steps"],
        alive: Bool[Array, "batch steps"],
    ) -> Critic:
        """The critic after a few steps on a batch of episodes: `togo`, their costs from each step on."""
        # The first batch sets the scale, later ones move it a little: the network's targets must not jump.
        counted = jnp.maximum(jnp.sum(alive, dtype=togo.dtype), 1)
        middle = jnp.sum(jnp.where(alive, togo, 0)) / counted
        spread = jnp.sqrt(jnp.sum(jnp.where(alive, (togo - middle) ** 2, 0)) / counted)
        share = jnp.where(self.seen > 0, MOVES, 1.0)
        middle = self.middle + share * (middle - self.middle)
        # Costs that are all the same have no spread.
        spread = jnp.maximum(self.spread + share * (spread - self.spread), 1e-6)
        # The time of each step, the same for all episodes.
        passed = jnp.broadcast_to(jnp.linspace(0.0, 1.0, togo.shape[1], endpoint=False), togo.shape)

        normed = jax.vmap(jax.vmap(self._predict_normalised, (None, 0, 0)), (None, 0, 0))

        def error(weights):
            residual = normed(weights, observations, passed) - (togo - middle) / spread
            return jnp.sum(jnp.where(alive, residual**2, 0)) / counted

        def one(carry, _):
            weights, memory = carry
            return apply_update(_optimizer(), jax.grad(error)(weights), memory, weights), None

        (weights, memory), _ = lax.scan(one, (self.weights, self.memory), None, STEPS)
        return Critic(weights, memory, middle, spread, self.seen + 1, self.static)
