"""A mass on a spring for the tests of `identify`: only its position is seen."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from spanax import control


class Spring(eqx.Module):
    """Stiffness and damping, for a unit of mass."""

    stiffness: Any = 3.0
    damping: Any = 0.2


class Mass(control.Env):
    """Position and velocity under a force times `gain`; `cubic` is a force that a linear spring does not have."""

    spring: Spring = Spring()
    gain: Any = 1.0
    twin: Any = 1.0  # only its product with `gain` matters
    idle: Any = 1.0  # in no formula
    cubic: Any = 0.0
    name: str = eqx.field(default="mass", static=True)

    action_space = control.Box([-1.0], [1.0])
    observation_space = control.Box([-np.inf], [np.inf])
    max_steps = 60

    def reset(self, key):
        return jax.random.normal(key, (2,))

    def step(self, state, action):
        x, v = state
        pull = (
            self.gain * self.twin * action[0] - self.spring.stiffness * x - self.spring.damping * v - self.cubic * x**3
        )
        v = v + 0.1 * pull
        return jnp.stack([x + 0.1 * v, v])

    def observe(self, state):
        return state[:1]

    def reward(self, state, action, next_state):
        return -(state[0] ** 2)


class Seen(Mass):
    """Position and velocity are seen, and tell the state."""

    observation_space = control.Box([-np.inf] * 2, [np.inf] * 2)

    def observe(self, state):
        return state

    def state_from(self, observation):
        return observation


def pushes(steps, seed=0):
    """Random forces, each held for three steps: they move a mass more than ones that change at every step."""
    return jnp.asarray(np.repeat(np.random.default_rng(seed).uniform(-1, 1, (steps + 2) // 3), 3)[:steps, None], float)


def play(env, steps=60, seed=0, start=(1.0, 0.0)):
    """One episode under random forces."""
    forces = pushes(steps, seed)

    def one(state, force):
        return env.step(state, force), (state, env.observe(state))

    final, (states, observations) = jax.lax.scan(one, jnp.asarray(start, float), forces)
    flags = jnp.ones(steps, bool)
    return control.Trajectory(states, observations, forces, jnp.zeros(steps), flags, final)


def noisy(trajectory, size, seed):
    """Observations with normal noise, and no states."""
    noise = size * np.random.default_rng(seed).normal(size=trajectory.observations.shape)
    return trajectory._replace(observations=np.asarray(trajectory.observations, float) + noise, states=None, final=None)
