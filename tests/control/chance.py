"""Environments that draw in a step, small enough to be enumerated."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist

import spanax as sx
from spanax.control import Box, Discrete, Env


class Slip(Env):
    """A chain of places 0 to 3. An action in [-1, 1] is the tendency to step on; a step draws whether it does.

    The state is the place, one-hot; each step earns the place it arrives at, squared, less a tenth of the action's square. The
    draw's bridge is `via`.
    """

    via: object = None
    ends: bool = False

    def reset(self, key):
        return jnp.array([1.0, 0.0, 0.0, 0.0])

    def step(self, state, action, *, key):
        on = sx.sample(key, dist.Bernoulli(logits=2 * action[0]), via=self.via, name="slip").astype(state.dtype)
        moved = jnp.concatenate([jnp.zeros_like(state[:1]), state[:-1]]).at[-1].add(state[-1])
        return on * moved + (1 - on) * state

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        place = next_state @ jnp.arange(4, dtype=next_state.dtype)
        return place**2 - 0.1 * action[0] ** 2

    def done(self, state):
        return jnp.logical_and(self.ends, state[2] > 0.5)

    @property
    def action_space(self):
        return Box([-1.0], [1.0])

    @property
    def observation_space(self):
        return Box(np.zeros(4), np.ones(4))

    @property
    def max_steps(self):
        return 4


def exact_return(weights, ends, steps):
    """The expected return of the policy tanh(weights[place]), by enumeration of all places at each step; in plain JAX."""
    actions = jnp.tanh(weights)
    rates = jax.nn.sigmoid(2 * actions)
    at, total = jnp.array([1.0, 0.0, 0.0, 0.0]), 0.0
    for _ in range(steps):
        going = at * jnp.where(ends, jnp.array([1.0, 1.0, 0.0, 1.0]), jnp.ones(4))
        stay, on = going * (1 - rates), going * rates
        arrived = stay + jnp.concatenate([jnp.zeros(1), on[:-1]]).at[-1].add(on[-1])
        total += arrived @ jnp.arange(4.0) ** 2 - 0.1 * going @ actions**2
        at = arrived + (at - going)
    return total


class Noisy(Env):
    """x moves by the action and by noise of size `noise`, drawn pathwise; the reward is -x^2 of the next state."""

    noise: float = 0.5
    decay: float = 0.9

    def reset(self, key):
        return jnp.ones(())

    def step(self, state, action, *, key):
        return self.decay * state + action[0] + self.noise * jax.random.normal(key, (), state.dtype)

    def observe(self, state):
        return state[None]

    def reward(self, state, action, next_state):
        return -(next_state**2)

    @property
    def action_space(self):
        return Box([-1.0], [1.0])

    @property
    def observation_space(self):
        return Box([-jnp.inf], [jnp.inf])

    @property
    def max_steps(self):
        return 5


class Bandit(Env):
    """Which of two arms: each pays 1 with its own probability, drawn in the step."""

    def reset(self, key):
        return jnp.zeros((1,))

    def step(self, state, action, *, key):
        rates = jnp.array([0.2, 0.8])
        return jnp.where(jax.random.uniform(key) < rates[action.astype(int)], 1.0, 0.0)[None]

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        return next_state[0]

    @property
    def action_space(self):
        return Discrete(2)

    @property
    def observation_space(self):
        return Box([0.0], [1.0])

    @property
    def max_steps(self):
        return 3
