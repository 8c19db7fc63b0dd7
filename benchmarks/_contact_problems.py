"""Two problems whose simulator has a contact, as people write them: a ball against a wall, and a finger that pushes a block."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from spanax import control

STEPS = 40
_DT = 0.05


class WallBall(control.Env):
    """A ball in the plane is thrown at a wall at x = 1.8, bounces, and is to arrive at a given point in front of it after 2 s.

    The state is x, y, their velocities, the share of time that has passed, and the point. The ball is held for the first 10 of
    40 steps, by a force of up to 0.8 along x and 2 along y. The velocity is reversed at the first step that ends behind the
    wall, so
    that the time of impact is one of the grid: the derivative through the bounce has the wrong sign along x, and is right along y
    (Hu et al. 2020, arXiv:1910.00935).
    """

    @property
    def action_space(self):
        return control.Box([-0.8, -2.0], [0.8, 2.0])

    @property
    def observation_space(self):
        return control.Box([-np.inf] * 7, [np.inf] * 7)

    @property
    def max_steps(self):
        return STEPS

    def reset(self, key):
        x, y = jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)
        return jnp.stack([0 * x, 0 * x, 1.2 + 0 * x, 0 * x, 0 * x, 0.7 + 0.3 * x, 0.8 * y])

    def step(self, state, action):
        x, y, u, v, t, *point = state
        held = jnp.where(t < 10 / STEPS - 1e-3, _DT, 0.0)
        u, v = u + held * action[0], v + held * action[1]
        x, y = x + _DT * u, y + _DT * v
        return jnp.stack([x, y, jnp.where(x > 1.8, -u, u), v, t + 1 / STEPS, *point])

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        x, y, _, _, t, to_x, to_y = next_state
        miss = (x - to_x) ** 2 + (y - to_y) ** 2
        # Where it arrives is what counts; forces cost a little.
        return -STEPS * jnp.where(t > 1 - 0.5 / STEPS, miss, 0.0) - 0.01 * jnp.sum(action**2)


class BlockPush(control.Env):
    """A finger on a line hits a block, which slides with Coulomb friction, and is to come to rest at a point.

    The state is the finger, the block, their velocities, and the time. The action is the force on the finger, up to 3. Where the
    finger reaches the block both move on with the momentum's share of each (an inelastic blow in one step); friction acts by the
    sign of the velocity, and stops the block.
    """

    target: float = 1.0
    friction: float = 0.5

    @property
    def action_space(self):
        return control.Box([-3.0], [3.0])

    @property
    def observation_space(self):
        return control.Box([-np.inf] * 5, [np.inf] * 5)

    @property
    def max_steps(self):
        return STEPS

    def reset(self, key):
        finger = jax.random.uniform(key, minval=-0.1, maxval=0.1)
        return jnp.stack([finger, 0.4 + 0 * finger, 0 * finger, 0 * finger, 0 * finger])

    def step(self, state, action):
        finger, block, v, w, t = state
        v = v + _DT * action[0]
        hits = (finger + _DT * v > block + _DT * w) & (v > w)
        common = 0.5 * (v + w)
        v, w = jnp.where(hits, common - 0.3 * (v - w), v), jnp.where(hits, common + 0.3 * (v - w), w)
        slower = w - _DT * self.friction * jnp.sign(w)
        w = jnp.where(jnp.abs(w) < _DT * self.friction, 0.0, slower)
        return jnp.stack([finger + _DT * v, block + _DT * w, v, w, t + 1 / STEPS])

    def observe(self, state):
        return state

    def reward(self, state, action, next_state):
        _, block, _, _, t = next_state
        return -STEPS * jnp.where(t > 1 - 0.5 / STEPS, (block - self.target) ** 2, 0.0) - 0.01 * jnp.sum(action**2)


def start(env: control.Env) -> Float[Array, " 5"]:
    """The middle of the starts."""
    return jnp.asarray([0.0, 0.0, 1.2, 0.0, 0.0, 0.7, 0.3] if isinstance(env, WallBall) else [0.0, 0.4, 0.0, 0.0, 0.0])
