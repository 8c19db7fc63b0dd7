"""Swinging a pendulum up with too little torque: the rules of Gymnasium's Pendulum-v1."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..env import Box, Env
from ..showing.canvas import Picture, numbers


class Pendulum(Env):
    """A rod on a motor, to be held upright: Gymnasium's Pendulum-v1, number for number.

    The state is (angle, angular velocity), in rad from upright and rad/s; the action is one torque in N m. A step of `dt` s,

        velocity' = clip(velocity + dt (3 g / (2 l) sin(angle) + 3 / (m l^2) torque), -max_speed, max_speed)
        angle'    = angle + dt velocity',

    earns -(wrapped angle^2 + 0.1 velocity^2 + 0.001 torque^2), all of before the step. The torque is clamped to `max_torque` in
    the motion and in the reward alike. The angle of a state is not wrapped: that of the reward is, to [-pi, pi). An episode
    starts at an angle in [-pi, pi] and a velocity in [-1, 1], uniform; no rule ends it, and it has 200 steps.

    Derivatives are those of these formulas. Beyond a clamp they are zero: a torque outside +-`max_torque` has no gradient at all
    (let the policy bound it, as `tanh` does), and a step that hits `max_speed` passes on the gradient of the angle, but not of
    the velocity or the torque. Exactly at a bound it is the mean of both sides. The reward has a kink where the pendulum hangs
    straight down (its slope by the angle jumps by 4 pi): the derivative there is that just above -pi.

    Every field can be differentiated and replaced; the spaces need plain numbers in `max_torque` and `max_speed`.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> print(jax.jacobian(control.Pendulum().step, 1)(jnp.array([1.0, 0.0]), jnp.zeros(1)).ravel())
    [0.0075 0.15  ]
    """

    g: float = 10.0
    m: float = 1.0
    l: float = 1.0  # noqa: E741
    dt: float = 0.05
    max_torque: float = 2.0
    max_speed: float = 8.0

    def reset(self, key: Key[Array, ""]) -> Float[Array, " 2"]:
        high = jnp.array([jnp.pi, 1.0])
        return jax.random.uniform(key, (2,), minval=-high, maxval=high)

    def step(self, state: Float[Array, " 2"], action: Float[Array, " 1"]) -> Float[Array, " 2"]:
        angle, velocity = state
        pull = 3 * self.g / (2 * self.l) * jnp.sin(angle) + 3.0 / (self.m * self.l**2) * self._torque(action)
        # The new velocity moves the angle (semi-implicit Euler), as in Gymnasium.
        velocity = jnp.clip(velocity + pull * self.dt, -self.max_speed, self.max_speed)
        return jnp.stack([angle + velocity * self.dt, velocity])

    def observe(self, state: Float[Array, " 2"]) -> Float[Array, " 3"]:
        """(cos angle, sin angle, angular velocity), in the dtype of the state (Gymnasium rounds it to float32)."""
        angle, velocity = state
        # The angle itself would jump at each turn.
        return jnp.stack([jnp.cos(angle), jnp.sin(angle), velocity])

    def state_from(self, observation: Float[Array, " 3"]) -> Float[Array, " 2"]:
        """The angle in [-pi, pi]."""
        cosine, sine, velocity = observation
        return jnp.stack([jnp.arctan2(sine, cosine), velocity])

    def reward(
        self, state: Float[Array, " 2"], action: Float[Array, " 1"], next_state: Float[Array, " 2"]
    ) -> Float[Array, ""]:
        """Between -16.28 and 0; it does not depend on `next_state`."""
        angle, velocity = state
        return -(_wrap_angle(angle) ** 2 + 0.1 * velocity**2 + 0.001 * self._torque(action) ** 2)

    def _torque(self, action: Float[Array, " 1"]) -> Float[Array, ""]:
        return jnp.clip(action, -self.max_torque, self.max_torque)[0]

    @property
    def action_space(self) -> Box:
        return Box([-self.max_torque], [self.max_torque])

    @property
    def observation_space(self) -> Box:
        high = np.array([1.0, 1.0, self.max_speed])
        return Box(-high, high)

    @property
    def max_steps(self) -> int:
        return 200

    @property
    def mirror(self) -> list[float]:
        """Of the angle's cosine, sine and the velocity: the same motion the other way round."""
        return [1.0, -1.0, -1.0]

    @property
    def render_fps(self) -> float:
        return 1 / float(self.dt)

    def render(self, state: Float[Array, " 2"], action: Any = None) -> Picture:
        """The rod, and an arrow for the torque, which is as long as it is strong."""
        from ..showing.pendulum import draw

        angle, _ = numbers(self, state, 2)
        torque = 0.0 if action is None else float(numbers(self, action, 1)[0])
        limit = float(self.max_torque)
        return draw(float(angle), float(np.clip(torque / limit, -1, 1)))


def _wrap_angle(angle: Float[Array, ""]) -> Float[Array, ""]:
    """The angle in [-pi, pi)."""
    # By the remainder, whose derivative is 1 everywhere but at the jump.
    return (angle + jnp.pi) % (2 * jnp.pi) - jnp.pi
