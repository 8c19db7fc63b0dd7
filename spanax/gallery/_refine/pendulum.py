"""A pendulum as it is, and as it is thought to be."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Key

from ... import control
from ...control.rollout import Policy

NOISE = 0.02  # of each observed number
SCALE = [1.0, 1.0, 0.25]  # of the observation: speeds go up to 8


class Damped(control.Pendulum):
    """A pendulum with `friction` (1/s) and a drag that grows with the square of the speed, `drag` (1/rad)."""

    friction: float = 0.0
    drag: float = 0.0

    def step(self, state, action):
        angle, velocity = state
        pull = 3 * self.g / (2 * self.l) * jnp.sin(angle) + 3 / (self.m * self.l**2) * self._torque(action)
        loss = self.friction * velocity + self.drag * velocity * jnp.abs(velocity)
        velocity = jnp.clip(velocity + self.dt * (pull - loss), -self.max_speed, self.max_speed)
        return jnp.stack([angle + self.dt * velocity, velocity])


COARSE = Damped()
REAL = Damped(m=1.3, l=0.9, friction=0.25, drag=0.04)
PARAMETERS = ["m", "l", "friction"]  # nobody knows of the drag


def train(env: control.Env, seed: int, updates: int) -> control.Result:
    first, rest = jax.random.split(jax.random.key(seed))
    policy = control.MLPPolicy(env, key=first, scale=SCALE, activation=jax.nn.swish)
    rate = optax.cosine_decay_schedule(1e-2, updates)
    return control.train(
        env,
        policy,
        via=control.BPTT(horizon=40, truncate=False),
        key=rest,
        updates=updates,
        batch=32,
        optimizer=optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)),
    )


def observe(policy: Policy, starts: np.ndarray, key: Key[jax.Array, ""]) -> control.Trajectory:
    """Episodes of the real pendulum under a policy, as a sensor shows them: without states, and with noise."""
    play = jax.jit(jax.vmap(lambda start: control.rollout(REAL, policy, start, 200)))
    seen = play(jnp.asarray(starts, float))
    noise = NOISE * jax.random.normal(key, seen.observations.shape)
    return seen._replace(observations=seen.observations + noise, states=None, final=None)
