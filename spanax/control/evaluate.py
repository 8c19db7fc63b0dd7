"""The returns of a policy: the sum of rewards of each of some episodes."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._checks import check_key
from .._errors import SpanaxError
from .._foreign_arrays import refuse_foreign
from ._fit import check_env, refuse_misfit
from .env import Env, State, most_at_once
from .rollout import Policy, play


def evaluate(
    env: Env, policy: Policy, starts: State | int, *, key: Key[Array, ""] | None = None
) -> Float[np.ndarray, " n"]:
    """The return of one episode from each start, of at most `env.max_steps` steps: the sum of its rewards, undiscounted.

    **Arguments:**

    - `env`: an environment with `max_steps`;
    - `policy`: `policy(observation) -> action`; one that can draw is called without a key, and does not;
    - `starts`: states with a leading axis, as `jax.vmap(env.reset)` gives them, or how many to reset with `key`. States in
      float64 are simulated in float64;
    - `key`: for a number of starts, and for the draws of a stochastic environment.

    **Returns:**

    The returns, one for each start.

    **Raises:**

    - `SpanaxError` for a policy that was made for other actions or observations (by their shapes), for an environment without
      `max_steps`, and where a number of starts, or a stochastic environment, comes without a key.

    >>> import jax
    >>> from spanax import control
    >>> pendulum = control.Pendulum()
    >>> policy = control.MLPPolicy(pendulum, key=jax.random.key(0))
    >>> control.evaluate(pendulum, policy, 3, key=jax.random.key(1)).shape
    (3,)
    """
    refuse_foreign(env, policy, starts)
    check_env(env)
    refuse_misfit(env, policy, "evaluate: ")
    if env.max_steps is None:
        raise SpanaxError(
            "the environment has no number of steps (max_steps) of an episode",
            "control.TimeLimit(env, 200)",
        )
    key = _typed(key)
    if not isinstance(starts, int | np.integer):
        return _returns_from(env, policy, starts, _moving_keys(env, key, _count(starts)))
    if isinstance(starts, bool) or starts < 1 or key is None:
        raise SpanaxError(f"evaluate(starts={starts!r}, key={key!r})", "100 starts, with a key", "start states")
    starts = int(starts)
    # A Gymnasium environment has so many copies; others run all episodes at once.
    together = min(starts, most_at_once(env, starts))
    # Rounded up to whole groups of one compiled shape; what is too many is cut off.
    total = -(-starts // together) * together
    resets, moving = jax.random.split(key, total).reshape(-1, together), _moving_keys(env, key, total)
    # None for each group, where no step draws.
    groups = [None] * len(resets) if moving is None else moving.reshape(-1, together)
    return np.concatenate([_returns(env, policy, *keys) for keys in zip(resets, groups, strict=True)])[:starts]


def _typed(key: Any) -> Any:
    """A key of the new kind: an array of raw ones has an axis more."""
    if key is None:
        return None
    check_key(key)
    return jax.random.wrap_key_data(key) if key.dtype == jnp.uint32 else key


def _count(starts: State) -> int:
    """How many states these are."""
    sizes = {np.shape(x)[:1] for x in jax.tree.leaves(starts)}
    if len(sizes) != 1 or sizes == {()}:
        raise SpanaxError(
            f"evaluate(starts={starts!r})",
            "how many, 100, with a key",
            "states with one leading axis: jax.vmap(env.reset)(jax.random.split(key, 100))",
        )
    return sizes.pop()[0]


def _moving_keys(env: Env, key: Key[Array, ""] | None, n: int) -> Key[Array, " n"] | None:
    """Keys for the steps of n episodes; None where no step draws."""
    if not env.stochastic:
        return None
    if key is None:
        raise SpanaxError(f"a step of {type(env).__name__} draws, and evaluate has no key", "evaluate(..., key=key)")
    # Another stream than that of the resets.
    return jax.random.split(jax.random.fold_in(key, 1), n)


def _returns(env: Env, policy: Any, resets: Key[Array, " n"], moving: Key[Array, " n"] | None):
    return _returns_from(env, policy, jax.vmap(env.reset)(resets), moving)


def _returns_from(env: Env, policy: Any, states: State, moving: Key[Array, " n"] | None) -> Float[np.ndarray, " n"]:
    # Converted inside: the computation is asynchronous, and its error arrives with the numbers.
    try:
        with env.own_errors():
            return np.asarray(_play(env, policy, states, moving))
    except SpanaxError as error:
        # So deep in compiled calls, the line of the user's was out of sight.
        if error.where or type(error) is not SpanaxError:
            raise
        raise SpanaxError(error.problem, *error.remedies) from error


@eqx.filter_jit
def _play(env: Env, policy: Any, states: State, moving: Key[Array, " n"] | None) -> Float[Array, " n"]:
    steps = env.max_steps
    assert steps is not None

    def earned(state, key):
        keys = None if key is None else jax.random.split(key, steps)
        # The policy gets no key, so that it does what it thinks best.
        played = play(env, policy, state, steps, lambda key: (None, key), keys)
        if not env.resets_itself:
            return played.rewards.sum()
        # The first episode only: an end before this step is the end of another one.
        assert played.terminated is not None and played.truncated is not None
        ends = (played.terminated | played.truncated).astype(jnp.int32)
        return jnp.where(jnp.cumsum(ends) - ends == 0, played.rewards, 0).sum()

    # Compiled once for an environment's and a policy's structure: their numbers are arguments.
    return jax.vmap(earned)(states, moving)
