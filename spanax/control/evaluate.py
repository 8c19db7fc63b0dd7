"""The returns of a policy: the sum of rewards of each of some episodes."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from .env import Env, State
from .rollout import Policy, rollout


def evaluate(
    env: Env, policy: Policy, starts: State | int, *, key: Key[Array, ""] | None = None
) -> Float[np.ndarray, " n"]:
    """The return of one episode from each start, of at most `env.max_steps` steps: the sum of its rewards, undiscounted.

    **Arguments:**

    - `env`: an environment with `max_steps`;
    - `policy`: `policy(observation) -> action`; one that can draw is called without a key, and does not;
    - `starts`: states with a leading axis, as `jax.vmap(env.reset)` gives them, or how many to reset with `key`. States in
      float64 are simulated in float64;
    - `key`: for a number of starts.

    **Returns:**

    The returns, one for each start.

    **Raises:**

    - `SpanaxError` for an environment without `max_steps`, and where a number of starts comes without a key.

    >>> import jax
    >>> from spanax import control
    >>> pendulum = control.Pendulum()
    >>> policy = control.MLPPolicy(pendulum, key=jax.random.key(0))
    >>> control.evaluate(pendulum, policy, 3, key=jax.random.key(1)).shape
    (3,)
    """
    refuse_foreign(env, policy, starts)
    if env.max_steps is None:
        raise SpanaxError(
            "the environment has no number of steps (max_steps) of an episode",
            "control.TimeLimit(env, 200)",
        )
    if not isinstance(starts, int):
        return _returns_from(env, policy, starts)
    if starts < 1 or key is None:
        raise SpanaxError(f"evaluate(starts={starts!r}, key={key!r})", "100 starts, with a key", "start states")
    # A Gymnasium environment has so many copies; others run all episodes at once.
    together = min(starts, getattr(env, "n", starts))
    # Rounded up to whole groups of one compiled shape; what is too many is cut off.
    keys = jax.random.split(key, -(-starts // together) * together).reshape(-1, together)
    return np.concatenate([_returns(env, policy, some) for some in keys])[:starts]


def _returns(env: Env, policy: Any, keys: Key[Array, " n"]) -> Float[np.ndarray, " n"]:
    return _returns_from(env, policy, jax.vmap(env.reset)(keys))


def _returns_from(env: Env, policy: Any, states: State) -> Float[np.ndarray, " n"]:
    # Converted inside: the computation is asynchronous, and its error arrives with the numbers.
    with env.own_errors():
        return np.asarray(_play(env, policy, states))


@eqx.filter_jit
def _play(env: Env, policy: Any, states: State) -> Float[Array, " n"]:
    steps = env.max_steps
    assert steps is not None
    # Compiled once for an environment's and a policy's structure: their numbers are arguments.
    return jax.vmap(lambda state: rollout(env, policy, state, steps).rewards.sum())(states)
