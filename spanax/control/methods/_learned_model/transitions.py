"""What was seen of the real environment: single steps, in an array of fixed size.

Compiled programs have arrays of fixed size, so there is room for a number of steps, and the newest take the place of the oldest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...env import Box, Discrete, Env

HELD_OUT = 5  # of so many steps, one is not fitted to


class Transitions(NamedTuple):
    """Steps of the real environment. Actions as numbers that a network takes: see `encode`."""

    observations: Float[Array, "rows d"]
    actions: Float[Array, "rows a"]
    arrived: Float[Array, "rows d"]
    rewards: Float[Array, " rows"]
    ended: Bool[Array, " rows"]  # by a rule of the environment
    seen: Int[Array, ""]  # in all, those that were overwritten among them

    @classmethod
    def empty(cls, env: Env, rows: int) -> Transitions:
        (size,) = env.observation_space.shape or (1,)
        width = encode(env.action_space, jnp.zeros(env.action_space.shape, float)).shape[0]
        zeros = jnp.zeros((rows, size), float)
        flat = jnp.zeros((rows,), float)
        return cls(zeros, jnp.zeros((rows, width), float), zeros, flat, jnp.zeros((rows,), bool), jnp.zeros((), jnp.int32))

    @property
    def kept(self) -> Int[Array, ""]:
        return jnp.minimum(self.seen, self.rewards.shape[0])

    def add(self, new: Transitions, alive: Bool[Array, " new"]) -> Transitions:
        """With the rows of `new` that are alive; its `seen` is not looked at."""
        room = self.rewards.shape[0]
        places = (self.seen + jnp.cumsum(alive, dtype=jnp.int32) - 1) % room
        # Out of range, where it is dropped: steps after the end of an episode are not steps.
        places = jnp.where(alive, places, room)
        old, rows = self._replace(seen=None), new._replace(seen=None)
        filled = jax.tree.map(lambda a, b: a.at[places].set(b, mode="drop"), old, rows)
        return filled._replace(seen=self.seen + jnp.sum(alive, dtype=jnp.int32))

    def is_known(self) -> Bool[Array, " rows"]:
        return jnp.arange(self.rewards.shape[0], dtype=jnp.int32) < self.kept


def encode(space: Box | Discrete, action: Any) -> Float[Array, " a"]:
    """An action as the model's input: of a box its half-widths from the centre, of discrete ones a weight for each."""
    if isinstance(space, Discrete):
        # A bridge's weights, the float 0 or 1 of two actions, or an integer.
        if action.shape == (space.n,):
            return jnp.asarray(action, float)
        if space.n == 2:
            one = jnp.asarray(action, float)
            return jnp.stack([1 - one, one])
        return jax.nn.one_hot(action, space.n, dtype=float)
    flat = jnp.asarray(action, float).reshape(-1)
    low, high = (jnp.asarray(bound.reshape(-1), flat.dtype) for bound in (space.low, space.high))
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    return jnp.where(bounded, (flat - (high + low) / 2) / ((high - low) / 2), flat)
