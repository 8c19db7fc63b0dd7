"""CartPole: a pole on a cart that is pushed left or right.

Barto, Sutton and Anderson 1983 (IEEE Trans. Syst. Man Cybern. 13, 834), as Gymnasium has it, number for number.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Key

from ..._errors import SpanaxError
from ..._primitives import without_derivative
from ..env import Box, Discrete, Env
from ..showing.canvas import Picture, numbers


class CartPole(Env):
    """Gymnasium's CartPole-v1: push a cart left (0) or right (1) so that the pole on it stays up.

    A state is what Gymnasium observes: the cart's position (m) and velocity, the pole's angle to the vertical (rad) and its
    rate. A step is one Euler step of `tau` seconds under the force `force_mag` (2 action - 1). It ends beyond `x_threshold`
    or `theta_threshold_radians`, earns 1 (the step that ends it does, too; one from a state that has ended earns 0), and an
    episode has at most 500 steps. A start is uniform within +-`reset_bound`.

    The action is one number: 0 or 1 as an integer, a truth value or a float, as bridges draw it. The state is differentiable
    in it: its derivative is that of the force, which is linear in the action, and a number in between means a smaller force. It
    is not checked that the number is one of these.

    The reward has a derivative of zero wherever it has one; reverse mode through it raises `SpanaxError`. `BPTT` minimises `loss`
    instead, which says how to catch a pole.

    Barto, Sutton and Anderson 1983, in the frictionless form of Florian 2007, equations 23 and 24; `length` is half the pole's.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> pole = control.CartPole()
    >>> print(jax.jacobian(pole.step, 1)(jnp.zeros(4), jnp.array(1.0)).round(2))  # of the velocities, by the action
    [ 0.    0.39  0.   -0.59]
    """

    gravity: Float[Array, ""] | float = 9.8
    masscart: Float[Array, ""] | float = 1.0
    masspole: Float[Array, ""] | float = 0.1
    length: Float[Array, ""] | float = 0.5
    force_mag: Float[Array, ""] | float = 10.0
    tau: Float[Array, ""] | float = 0.02
    x_threshold: Float[Array, ""] | float = 2.4
    theta_threshold_radians: Float[Array, ""] | float = 12 * 2 * math.pi / 360
    reset_bound: Float[Array, ""] | float = 0.05

    def reset(self, key: Key[Array, ""]) -> Float[Array, " 4"]:
        return self.reset_bound * jax.random.uniform(key, (4,), minval=-1.0)

    def step(self, state: Float[Array, " 4"], action: Array) -> Float[Array, " 4"]:
        _, velocity, angle, rate = state
        force = self.force_mag * (2 * _number(action, state.dtype) - 1)
        sine, cosine = jnp.sin(angle), jnp.cos(angle)
        # In Gymnasium's order of operations, so that float64 agrees to the last digits.
        total_mass, polemass_length = self.masspole + self.masscart, self.masspole * self.length
        push = (force + polemass_length * rate**2 * sine) / total_mass
        # A uniform pole turns about its end: 4/3 of the mass times the half-length squared, less what the cart gives
        # way.
        inertia = self.length * (4 / 3 - self.masspole * cosine**2 / total_mass)
        angular = (self.gravity * sine - cosine * push) / inertia
        linear = push - polemass_length * angular * cosine / total_mass
        return state + self.tau * jnp.stack([velocity, linear, rate, angular])

    def observe(self, state: Float[Array, " 4"]) -> Float[Array, " 4"]:
        return state

    def state_from(self, observation: Float[Array, " 4"]) -> Float[Array, " 4"]:
        return observation

    def reward(self, state: Float[Array, " 4"], action: Array, next_state: Float[Array, " 4"]) -> Float[Array, ""]:
        # A constant 1 would train nothing, and no error would say so.
        return without_derivative(
            (~self.done(state)).astype(state.dtype),
            (state,),
            "the derivative of CartPole's reward, which is zero wherever it exists",
            "train(..., loss=...): a smooth loss(state, action, next_state), such as next_state[2] ** 2",
            "via=PolicyGradient(), which needs values alone",
        )

    def loss(self, state: Float[Array, " 4"], action: Array, next_state: Float[Array, " 4"]) -> Float[Array, ""]:
        """How far the pole is from leaning against the cart's place and motion, and from not turning: how a pole is caught."""
        # The reward says when it has fallen, and nothing of how to prevent it.
        place, velocity, angle, rate = next_state
        return (angle + 0.05 * place + 0.1 * velocity + 0.2 * rate) ** 2

    def done(self, state: Float[Array, " 4"]) -> Bool[Array, ""]:
        return (jnp.abs(state[0]) > self.x_threshold) | (jnp.abs(state[2]) > self.theta_threshold_radians)

    @property
    def action_space(self) -> Discrete:
        return Discrete(2)

    @property
    def observation_space(self) -> Box:
        """Twice the thresholds, as in Gymnasium, so that a state that has just ended is inside; velocities have no bound."""
        # Plain numbers: spaces are static.
        high = np.array([2 * float(self.x_threshold), np.inf, 2 * float(self.theta_threshold_radians), np.inf])
        return Box(-high, high)

    @property
    def max_steps(self) -> int:
        return 500

    @property
    def mirror(self) -> float:
        """Left and right are the same problem."""
        return -1.0

    @property
    def render_fps(self) -> float:
        return 1 / float(self.tau)

    def render(self, state: Float[Array, " 4"], action: Any = None) -> Picture:
        """The cart on its rail, its pole, and an arrow for the push; an action between 0 and 1 is a smaller one."""
        from ..showing.cartpole import draw

        x, _, angle, _ = numbers(self, state, 4)
        push = 0.0 if action is None else 2 * _chosen(action) - 1
        return draw(float(x), float(angle), push, 2 * float(self.length), float(self.x_threshold))


def _chosen(action: Any) -> float:
    """The action as a number; of weights of two, as bridges make them, that of pushing to the right."""
    weights = np.asarray(action, float)
    return float(weights[1] if weights.shape == (2,) else weights)


def _number(action: Array, dtype: jnp.dtype) -> Float[Array, ""]:
    """The action as one number of the state's dtype."""
    action = jnp.asarray(action)
    # Weights of two would broadcast into the state.
    if action.shape:
        raise SpanaxError(
            f"CartPole takes one number, and the action has shape {list(action.shape)}",
            "action[1] of one-hot weights of two",
            "jax.vmap for several environments",
        )
    return action.astype(dtype)
