"""Policies judged where they are meant to work: in Gymnasium itself, if it is installed."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from ...control import Env, evaluate
from ...control.rollout import Policy


@dataclass(frozen=True)
class Judgement:
    """Returns of one episode from each of some fixed starts, and whose environment they were played in."""

    judge: str
    starts: int
    mean: float
    worst: float


def judge(gym_id: str, env: Env, policy: Policy, starts: Float[np.ndarray, "n state"]) -> Judgement:
    """In Gymnasium's environment `gym_id`, or where gymnasium is not installed in `env`, which has the same rules."""
    # Judged in Gymnasium's own code where it can be: our simulator would not notice its own errors.
    if find_spec("gymnasium") is None:
        judge, returns = f"Spanax's {type(env).__name__}", evaluate(env, policy, np.asarray(starts, np.float32))
    else:
        judge, returns = f"Gymnasium's {gym_id}", _returns(gym_id, env, policy, starts)
    return Judgement(judge, len(starts), float(np.mean(returns)), float(np.min(returns)))


def _returns(gym_id: str, env: Any, policy: Policy, starts: Float[np.ndarray, "n state"]) -> Float[np.ndarray, " n"]:
    """For environments of classic control, whose `state` can be set."""
    import gymnasium

    # Unwrapped: the wrapper's time limit and checks would refuse a state that is set.
    games = [gymnasium.make(gym_id).unwrapped for _ in starts]
    for game, start in zip(games, starts, strict=True):
        game.reset(seed=0)
        game.state = np.array(start)  # pyright: ignore[reportAttributeAccessIssue]
    # One call for all games: single ones would spend their time in dispatch.
    act = jax.jit(jax.vmap(policy))
    observations = np.array(jax.vmap(env.observe)(np.asarray(starts, np.float32)))
    returns, alive = np.zeros(len(starts)), np.ones(len(starts), bool)
    for _ in range(env.max_steps):
        actions = np.asarray(act(observations))
        for i in np.flatnonzero(alive):
            action = actions[i] if actions.ndim > 1 else int(actions[i])
            observations[i], earned, over, _, _ = games[i].step(action)
            returns[i] += float(earned)
            alive[i] = not over
    return returns
