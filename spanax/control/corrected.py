"""An environment whose simulation is corrected by something learned."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .env import Env, State, step_env
from .wrappers import _Wrapper


class Corrected(_Wrapper):
    """`env`, whose step adds what `residual` says to the state that it arrives at. `identify` returns one where it learns one.

    - `env`: the environment, as identified;
    - `residual`: a function of a vector, the observation and the action one after the other, whose value is a vector that is
      added to the state's floating-point numbers, in the order of its leaves.

    All else is as in `env`.

    >>> import jax.numpy as jnp
    >>> from spanax import control
    >>> pushed = control.Corrected(control.Pendulum(), lambda inputs: jnp.array([0.0, 0.5]))
    >>> print(pushed.step(jnp.zeros(2), jnp.zeros(1)))
    [0.  0.5]
    """

    env: Env
    residual: Any

    def reset(self, key):
        return self.env.reset(key)

    def step(self, state, action, *, key=None):
        arrived = step_env(self.env, state, action, key)
        # Counters, keys and the like are carried on as they are: a vector is added to numbers.
        floats, others = eqx.partition(arrived, eqx.is_inexact_array)
        vector, join = ravel_pytree(floats)
        return eqx.combine(join(vector + self.residual(inputs(self.env, state, action))), others)

    def observe(self, state):
        return self.env.observe(state)

    def state_from(self, observation):
        return self.env.state_from(observation)

    def reward(self, state, action, next_state):
        return self.env.reward(state, action, next_state)

    def loss(self, state, action, next_state):
        return self.env.loss(state, action, next_state)

    def done(self, state):
        return self.env.done(state)

    def truncated(self, state):
        return self.env.truncated(state)

    def render(self, state, action=None):
        return self.env.render(state, action)

    def frames(self, trajectory, every=1):
        return self.env.frames(trajectory, every)


def inputs(env: Env, state: State, action: Array) -> Float[Array, " inputs"]:
    """What a residual sees: an angle, say, as its sine and cosine, where the environment shows it so."""
    seen = jnp.ravel(env.observe(state))
    # Discrete actions are integers, and a network takes one array of floats.
    return jnp.concatenate([seen, jnp.ravel(jnp.asarray(action)).astype(seen.dtype)])
