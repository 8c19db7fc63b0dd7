"""Environments small enough to be worked out by hand."""

import jax
import jax.numpy as jnp

from spanax.control import Box, Discrete, Env


class Line(Env):
    """x moves by the action and decays; the reward is -x^2 of the next state. Ends beyond `edge`."""

    decay: float = 0.9
    edge: float = 100.0
    limit: int = 6

    def reset(self, key):
        return jax.random.uniform(key, (), minval=0.5, maxval=1.0)

    def step(self, state, action):
        return self.decay * state + action[0]

    def observe(self, state):
        return state[None]

    def reward(self, state, action, next_state):
        return -(next_state**2)

    def done(self, state):
        return jnp.abs(state) > self.edge

    @property
    def action_space(self):
        return Box([-1.0], [1.0])

    @property
    def observation_space(self):
        return Box([-jnp.inf], [jnp.inf])

    @property
    def max_steps(self):
        return self.limit


class Coins(Env):
    """Two coins in a row: (which, sum). A reward that depends on both; a first coin of 1 ends the episode if `stops`."""

    stops: bool = False

    def reset(self, key):
        return jnp.zeros((2,), float)

    def step(self, state, action):
        return state + jnp.stack([jnp.ones((), state.dtype), action.astype(state.dtype)])

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        return next_state[1] ** 2 - 3 * action.astype(state.dtype) * (1 - state[0]) + 0.5

    def done(self, state):
        return jnp.logical_and(self.stops, state[1] > 0.5)

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Box([0.0, 0.0], [2.0, 2.0])

    @property
    def max_steps(self):
        return 2
