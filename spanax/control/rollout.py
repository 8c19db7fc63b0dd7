"""A policy in an environment, step by step, as one differentiable `scan`."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from .._checks import check_key
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .._functions import takes_key, with_key
from .._jaxprs import here
from ._fit import check_env, refuse_misfit
from .env import Discrete, Env, State, innermost, split_key, step_env
from .wrappers import where

Policy = Callable[..., Array]


class Trajectory(NamedTuple):
    """The steps of one episode; each array has a leading axis of length `steps`. `rollout` returns it.

    - `states`, `observations`: before each step; `actions`, `rewards`: of each step;
    - `alive`: whether the episode was still going on. After its end the state stays the same, and rewards are 0;
    - `final`: the state after the last step;
    - `terminated`, `truncated`: whether the step ended the episode, by a rule or only by a time limit (see `TimeLimit`).

    >>> import jax.numpy as jnp
    >>> from spanax import control
    >>> pole = control.rollout(control.CartPole(), lambda observation: jnp.ones(()), jnp.zeros(4), 20)
    >>> pole.observations.shape, int(pole.alive.sum())
    ((20, 4), 9)
    """

    states: State
    observations: Float[Array, "steps ..."]
    actions: Array
    rewards: Float[Array, " steps"]
    alive: Bool[Array, " steps"]
    final: State
    terminated: Bool[Array, " steps"] | None = None
    truncated: Bool[Array, " steps"] | None = None

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Draws observations, actions and rewards of one episode against steps into a file (needs `spanax[plots]`).

        What comes after the end of the episode is on grey. `SpanaxError` for a batch, and for a file that cannot be written.
        """
        from .showing._plot import plot_trajectory

        plot_trajectory(self, Path(path))


def rollout(env: Env, policy: Policy, state: State, steps: int, *, key: Key[Array, ""] | None = None) -> Trajectory:
    """One episode from `state`, of `steps` steps or until the environment is done (of an `AutoReset`, one after the other).

    A pure function: it works under jit, vmap and grad, and the derivative of what it returns is that of the simulation, as far as
    environment and policy have one. In reverse mode the memory grows with the steps.

    **Arguments:**

    - `env`: the environment;
    - `policy`: `policy(observation) -> action`, or `policy(observation, key=key)` if it takes a key (it has a parameter
      `key`; or, behind `**kwargs`, it raises without one);
    - `state`: the state to start from;
    - `steps`: how many steps at most;
    - `key`: each step gets a key of its own from it; without one the policy gets None. A stochastic environment needs one.

    **Returns:**

    A `Trajectory`, each of whose arrays has a leading axis of length `steps`.

    **Raises:**

    - `SpanaxError` for steps that are not a whole number, for a policy that was made for other actions or observations (by their
      shapes), and for a stochastic environment without a key.

    >>> import jax, jax.numpy as jnp
    >>> from spanax import control
    >>> total = lambda torque: control.rollout(
    ...     control.Pendulum(), lambda observation: torque[None], jnp.array([3.0, 0.0]), 10).rewards.sum()
    >>> print(f"{jax.grad(total)(jnp.array(0.5)):.3f}")
    2.437
    """
    refuse_foreign(env, policy, state)
    check_env(env)
    if isinstance(steps, bool) or not isinstance(steps, int | np.integer) or steps < 0:
        raise SpanaxError(f"rollout(steps={steps!r})", "an integer, 0 or more, which is known when it is compiled")
    if key is not None:
        check_key(key)
    # `scan` takes None for nothing to iterate over.
    keys = None if key is None else jax.random.split(key, steps)
    return play(env, policy, state, steps, lambda key: split_key(env, key), keys)


def play(
    env: Env, policy: Policy, state: State, steps: int, keys_of: Callable[[Any], tuple[Any, Any]], keys: Any
) -> Trajectory:
    """`rollout`, where `keys_of` makes of each step's key the policy's and the environment's; either may be None."""
    policy_at = as_action_function(policy, env)

    def one(state, key):
        acting, moving = keys_of(key)
        observation = env.observe(state)
        action = policy_at(observation, acting)
        moved = advance(env, state, action, moving)
        ends = moved.alive & env.terminated(moved.state), moved.alive & env.truncated(moved.state)
        return moved.state, (state, observation, action, moved.reward, moved.alive, *ends)

    # All states are returned: reverse mode keeps them anyway.
    final, (states, observations, actions, rewards, alive, *ends) = lax.scan(one, state, keys, steps)
    return Trajectory(states, observations, actions, rewards, alive, final, *ends)


# What training and rollouts share: nothing that happens after the end may count.
class Moved(NamedTuple):
    state: State
    reward: Float[Array, ""]
    alive: Bool[Array, ""]


def advance(env: Env, state: State, action: Array, key: Key[Array, ""] | None = None) -> Moved:
    """One step of an episode that may be over: then the state stays the same, and the reward is 0."""
    # Where an environment resets itself, the next step is the first one of a new episode.
    alive = jnp.logical_not(env.done(state)) | env.resets_itself
    arrived = step_env(env, state, action, key)
    _check_kept(env, state, arrived)
    reward = env.reward(state, action, arrived)
    return Moved(where(alive, arrived, state), jnp.where(alive, reward, 0), alive)


def _check_kept(env: Env, state: State, arrived: State) -> None:
    """A loop needs states of one type; JAX would say so of its own loop, and of no step."""
    before, after = _types(state), _types(arrived)
    if before != after:
        raise SpanaxError(
            f"a step of {type(innermost(env)).__name__} leads from a state {before} to {after}",
            "a state of the same structure, shapes and dtypes, from reset to step",
        )


def _types(state: State) -> str:
    return str(jax.tree.map(lambda x: f"{jnp.result_type(x)}{list(jnp.shape(x))}", state)).replace("'", "")


def is_drawn(policy: Policy, env: Env) -> bool:
    """Does the policy take a key?"""
    # Whether `**kwargs` take a key shows only when the policy is called, on abstract values.
    observation = jax.eval_shape(lambda: env.observe(env.reset(jax.random.key(0))))
    return takes_key(policy, (observation,), {})


def as_action_function(policy: Policy, env: Env) -> Callable[[Array, Any], Array]:
    """`policy` as a function of observation and key, whose actions fit the environment."""
    # The place of the call now: `act` is traced inside loops of ours, where there may be no line of the user's.
    space, place = env.action_space, here()
    refuse_misfit(env, policy)

    def act(observation, key):
        try:
            action = jnp.asarray(policy(observation, **with_key(policy, key, (observation,), {})))
        # Shapes that do not fit: JAX names neither the policy nor the environment.
        except (TypeError, ValueError) as error:
            # JAX raises these two themselves; a kind of its own is the policy's, and whoever calls may wait for it.
            if type(error) not in (TypeError, ValueError):
                raise
            first = next(iter(str(error).splitlines()), "")
            raise SpanaxError(
                f"the policy, with one observation {observation.dtype}{list(observation.shape)} of "
                f"{type(innermost(env)).__name__}, raises {type(error).__name__}: {first}",
                "a policy that was made for this environment",
                where=place,
            ) from error
        # Of discrete actions a bridge may draw one-hot weights.
        if action.shape != space.shape and not (isinstance(space, Discrete) and action.shape == (space.n,)):
            raise SpanaxError(
                f"the policy's action has shape {list(action.shape)}, and the environment's is {list(space.shape)} ({space!r})",
                "an action of that shape for ONE observation: batches are made by vmap",
                where=place,
            )
        return action

    return act
