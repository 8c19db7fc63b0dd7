"""The learned model as an environment: differentiable, with a start at every state that was seen."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...env import Env
from .ensemble import Ensemble
from .transitions import Transitions, encode


class ImaginedState(NamedTuple):
    """What a policy would see, the reward of the step that led there, whether a rule ended the episode, and whose dream it is."""

    observation: Float[Array, "*shape"]
    reward: Float[Array, ""]
    over: Bool[Array, ""]
    member: Int[Array, ""]


class Imagined(Env):
    """An episode starts at an observation that was seen, and follows one member of the ensemble."""

    env: Env
    model: Ensemble
    data: Transitions
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
        place, member = jax.random.split(key)
        # A method may reset at its start, before the first episode, when nothing is kept.
        row = jax.random.randint(place, (), 0, jnp.maximum(self.data.kept, 1))
        seen = self.data.rows.observations[row].reshape(self.observation_space.shape)
        who = jax.random.randint(member, (), 0, self.model.members)
        return ImaginedState(seen, jnp.zeros((), seen.dtype), jnp.zeros((), bool), who)

    def step(self, state, action):
        flat = state.observation.reshape(-1)
        predicted = self.model.predict(state.member, flat, encode(self.action_space, action))
        arrived, reward = predicted.observation.reshape(state.observation.shape), predicted.reward
        if self.rewards is not None:
            reward = jnp.asarray(self.rewards(state.observation, action, arrived), arrived.dtype)
        # What is likelier happens: a draw would make the model a stochastic environment.
        return ImaginedState(arrived, reward, predicted.log_odds > 0, state.member)

    def observe(self, state):
        return state.observation

    def reward(self, state, action, next_state):
        # Predicted with the step, by one call of the network, and kept in the state that it led to.
        return next_state.reward

    def done(self, state):
        return state.over
