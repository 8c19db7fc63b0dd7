"""The learned model as an environment: differentiable, and a start for every state that was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...env import Env
from .ensemble import Ensemble
from .transitions import encode


class ImaginedState(NamedTuple):
    observation: Float[Array, "*shape"]
    reward: Float[Array, ""]
    over: Bool[Array, ""]
    member: Int[Array, ""]


class Imagined(Env):
    env: Env
    model: Ensemble
    starts: Float[Array, "rows d"]
    kept: Int[Array, ""]
    rewards: Callable[..., Any] | None = eqx.field(static=True)

    @property
    def action_space(self):
        return self.env.action_space

    @property
    def observation_space(self):
        return self.env.observation_space

    @property
    def max_steps(self):
        return self.env.max_steps

    def reset(self, key):
        row, member = jax.random.split(key)
        which = jax.random.randint(row, (), 0, jnp.maximum(self.kept, 1))
        return ImaginedState(
            self.starts[which].reshape(self.observation_space.shape),
            jnp.zeros((), float),
            jnp.zeros((), bool),
            jax.random.randint(member, (), 0, self.model.members),
        )

    def step(self, state, action):
        flat = state.observation.reshape(-1)
        arrived, reward, logit = self.model.predict(state.member, flat, encode(self.action_space, action))
        arrived = arrived.reshape(state.observation.shape)
        if self.rewards is not None:
            reward = self.rewards(state.observation, action, arrived)
        return ImaginedState(arrived, jnp.asarray(reward, float), logit > 0, state.member)

    def observe(self, state):
        return state.observation

    def reward(self, state, action, next_state):
        return next_state.reward

    def done(self, state):
        return state.over
