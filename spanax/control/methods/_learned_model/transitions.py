"""What was seen of the real environment: single steps, in arrays of fixed size.

A compiled program has arrays of fixed size, so there is room for a number of steps, and the newest take the place of the oldest.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ...env import Box, Discrete, Env

HELD_OUT = 5  # of so many steps, one is not fitted to


class Rows(NamedTuple):
    """Steps; observations are flat, and actions numbers, as `encode` makes them."""

    observations: Float[Array, "rows d"]
    actions: Float[Array, "rows a"]
    arrived: Float[Array, "rows d"]
    rewards: Float[Array, " rows"]
    ended: Bool[Array, " rows"]  # by a rule of the environment

    @property
    def inputs(self) -> Float[Array, "rows i"]:
        return jnp.concatenate([self.observations, self.actions], axis=1)

    @property
    def outputs(self) -> Float[Array, "rows o"]:
        """The change of the observation, and the reward."""
        return jnp.concatenate([self.arrived - self.observations, self.rewards[:, None]], axis=1)


class Transitions(NamedTuple):
    """The steps that are kept; `seen`: how many there were in all."""

    rows: Rows
    seen: Int[Array, ""]

    @classmethod
    def empty(cls, env: Env, room: int) -> Transitions:
        size, width = sizes_of(env)
        zeros, flat = jnp.zeros((room, size), float), jnp.zeros((room,), float)
        return cls(Rows(zeros, jnp.zeros((room, width), float), zeros, flat, flat > 0), jnp.zeros((), jnp.int32))

    @property
    def room(self) -> int:
        return self.rows.rewards.shape[0]

    @property
    def kept(self) -> Int[Array, ""]:
        return jnp.minimum(self.seen, self.room)

    def add(self, new: Rows, alive: Bool[Array, " new"]) -> Transitions:
        """With the rows of `new` that are alive."""
        places = (self.seen + jnp.cumsum(alive, dtype=jnp.int32) - 1) % self.room
        # Out of range, where it is dropped: what comes after the end of an episode is not a step.
        places = jnp.where(alive, places, self.room)
        rows = jax.tree.map(lambda old, row: old.at[places].set(row, mode="drop"), self.rows, new)
        return Transitions(rows, self.seen + jnp.sum(alive, dtype=jnp.int32))

    def is_held_out(self) -> Bool[Array, " rows"]:
        """Every fifth row of those that are known."""
        places = jnp.arange(self.room, dtype=jnp.int32)
        return (places < self.kept) & (places % HELD_OUT == HELD_OUT - 1)

    def fitted(self, n: Int[Array, "*shape"]) -> Int[Array, "*shape"]:
        """The place of the n-th row that is fitted to, of `fitted_count`."""
        return n + n // (HELD_OUT - 1)

    @property
    def fitted_count(self) -> Int[Array, ""]:
        return self.kept - self.kept // HELD_OUT


def sizes_of(env: Env) -> tuple[int, int]:
    """Of an observation, and of an action as the model takes it."""
    (size,) = jax.eval_shape(lambda: jnp.zeros(env.observation_space.shape).reshape(-1)).shape
    space = env.action_space
    return size, jax.eval_shape(lambda: encode(space, jnp.zeros(space.shape, float))).shape[0]


def encode(space: Box | Discrete, action: Any) -> Float[Array, " a"]:
    """An action as the model's input: of a box in half-widths from its centre, of discrete ones a weight for each."""
    if isinstance(space, Discrete):
        # A bridge's weights; the float 0 or 1 of two actions, which may have a derivative; or an integer.
        if action.shape == (space.n,):
            return jnp.asarray(action, float)
        if space.n == 2:
            one = jnp.asarray(action, float)
            return jnp.stack([1 - one, one])
        return jax.nn.one_hot(action, space.n, dtype=float)
    flat = jnp.asarray(action, float).reshape(-1)
    low, high = (jnp.asarray(bound.reshape(-1), flat.dtype) for bound in (space.low, space.high))
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    # Infinite bounds would make a NaN in the branch that is not taken, and so in its derivative.
    low, high = jnp.where(bounded, low, -1), jnp.where(bounded, high, 1)
    return (flat - (high + low) / 2) / ((high - low) / 2)
