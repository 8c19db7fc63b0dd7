"""Episodes of the real environment, one after the other: by random actions at first, later by the policy."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Key

from ..._training.method import Seen
from ...env import Box, Discrete, Env, split_key
from ...rollout import as_action_function, play
from .transitions import Rows, encode


class Collected(NamedTuple):
    rows: Rows
    alive: Bool[Array, " steps"]
    seen: Seen


def collect(env: Env, policy: Any, random: Bool[Array, ""], key: Key[Array, ""]) -> Collected:
    """One episode. `random`: by actions that are uniform."""
    # `play` has no derivative to take here, and no batch: a black box is stepped as by hand.
    steps, (begin, going) = env.max_steps, jax.random.split(key)
    assert steps is not None
    policy_at = as_action_function(policy, env)

    def act(observation, *, key):
        own, other = jax.random.split(key)
        action = policy_at(observation, own)
        return jnp.where(random, _uniform(env.action_space, other, action), action)

    course = play(env, act, env.reset(begin), steps, lambda key: split_key(env, key), jax.random.split(going, steps))
    # A state that is over stays, so each step's observation afterwards is that before the next one.
    seen = course.observations.reshape(steps, -1)
    arrived = jnp.concatenate([seen[1:], env.observe(course.final).reshape(1, -1)])
    actions = jax.vmap(lambda action: encode(env.action_space, action))(course.actions)
    ended = course.terminated
    assert ended is not None
    seen, actions, arrived, rewards = (jnp.asarray(x, float) for x in (seen, actions, arrived, course.rewards))
    rows = Rows(seen, actions, arrived, rewards, ended)
    one, count = jnp.ones((), jnp.int32), jnp.sum(course.alive, dtype=jnp.int32)
    return Collected(rows, course.alive, Seen(count, one, one, jnp.sum(rows.rewards)))


def _uniform(space: Box | Discrete, key: Key[Array, ""], like: Array) -> Array:
    """Of the shape and dtype of the policy's actions; normal where there are no bounds."""
    if isinstance(space, Discrete):
        which = jax.random.randint(key, (), 0, space.n)
        return (jax.nn.one_hot(which, space.n) if like.shape == (space.n,) else which).astype(like.dtype)
    low, high = (jnp.asarray(bound, like.dtype) for bound in (space.low, space.high))
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    low, high = jnp.where(bounded, low, -1), jnp.where(bounded, high, 1)
    inside = low + (high - low) * jax.random.uniform(key, space.shape, like.dtype)
    return jnp.where(bounded, inside, jax.random.normal(key, space.shape, like.dtype))
