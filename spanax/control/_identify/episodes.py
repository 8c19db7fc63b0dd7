"""Trajectories as the episodes that a fit needs: what was measured, and the actions between."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._jaxprs import is_traced
from ..env import Discrete, Env
from ..rollout import Trajectory
from .floats import is_float

_WHAT = "a Trajectory of control.rollout, or a list of them"


class Episode(NamedTuple):
    """n steps of one episode. `measured`: n + 1 rows of numbers; `states`: guesses of them, or None."""

    measured: Float[np.ndarray, "rows channels"]
    actions: np.ndarray
    states: Any


class Episodes(NamedTuple):
    """All of the data. `by_states`: what was measured are the states themselves, and not observations."""

    episodes: list[Episode]
    by_states: bool


def read(env: Env, data: Any, example: Any) -> Episodes:
    """The data, checked. `example`: one state of the environment."""
    trajectories = _as_list(env, data)
    by_states = [trajectory.observations is None for trajectory in trajectories]
    if any(by_states) and not all(by_states):
        raise SpanaxError("some trajectories have observations, and others have only states", "all of one kind")
    found = [_episode(env, trajectory, example) for trajectory in trajectories]
    return Episodes([episode for episode in found if len(episode.actions)], by_states[0])


def _as_list(env: Env, data: Any) -> list[Trajectory]:
    """One trajectory for each episode."""
    several = [data] if isinstance(data, Trajectory) else data
    if not isinstance(several, list | tuple) or not several or not all(isinstance(x, Trajectory) for x in several):
        raise SpanaxError(f"identify(data={type(data).__name__})", _WHAT)
    refuse_foreign(several)
    if any(is_traced(x) for x in jax.tree.leaves(several)):
        raise SpanaxError(
            "identify inside jax.jit, jax.vmap or jax.grad", "a call outside: it fits by a loop of the host"
        )
    # On the host: it cuts and counts, and GymState has leaves that no arithmetic is for.
    return [part for trajectory in several for part in _unstack(env, trajectory)]


def _unstack(env: Env, trajectory: Trajectory) -> list[Trajectory]:
    """A batch, in which every array has one leading axis more, as its episodes."""
    if trajectory.actions is None or (trajectory.observations is None and trajectory.states is None):
        raise SpanaxError("a trajectory without actions, or without observations and states", _WHAT)
    flags = trajectory.alive if trajectory.alive is not None else trajectory.rewards
    lead = np.ndim(trajectory.actions) - len(env.action_space.shape) if flags is None else np.ndim(flags)
    if lead not in (1, 2):
        raise SpanaxError(
            f"a trajectory whose arrays have {lead} leading axes", "one axis of steps, or two: episodes and steps"
        )
    if lead == 1:
        return [trajectory]
    return [jax.tree.map(lambda x, at=i: x[at], trajectory) for i in range(len(trajectory.actions))]


def _episode(env: Env, trajectory: Trajectory, example: Any) -> Episode:
    actions = _actions(env, trajectory)
    steps = len(actions) if trajectory.alive is None else _steps_alive(np.asarray(trajectory.alive))
    states = _states(trajectory, example, len(actions))
    if trajectory.observations is None:
        if states is None:
            raise SpanaxError(
                "the states of the data are not states of the environment", f"states like {example}", "observations"
            )
        rows = len(jax.tree.leaves(states)[0])
        measured = np.concatenate([np.reshape(x, (rows, -1)) for x in jax.tree.leaves(states) if is_float(x)], -1)
    else:
        measured = _observations(env, trajectory, len(actions))
    # The observation after the last step is not part of a trajectory; its final state is.
    steps = min(steps, len(measured) - 1)
    measured = np.asarray(measured[: steps + 1], np.float64)
    if not np.all(np.isfinite(measured)) or not np.all(np.isfinite(actions[:steps])):
        raise SpanaxError("the data have numbers that are not finite", "the trajectory up to the first of them")
    return Episode(measured, actions[:steps], states)


def _steps_alive(alive: np.ndarray) -> int:
    """How many steps until the end: what comes after it did not happen."""
    return len(alive) if alive.all() else int(np.argmin(alive))


def _actions(env: Env, trajectory: Trajectory) -> np.ndarray:
    actions, space = np.asarray(trajectory.actions), env.action_space
    fits = actions.shape[1:] == space.shape or (isinstance(space, Discrete) and actions.shape[1:] == (space.n,))
    if not fits:
        raise SpanaxError(
            f"the data's actions have shape {list(actions.shape[1:])}, and the environment's are {space!r}",
            "the environment that the actions are for",
        )
    return actions


def _observations(env: Env, trajectory: Trajectory, steps: int) -> np.ndarray:
    observations, shape = np.asarray(trajectory.observations), env.observation_space.shape
    if observations.shape[1:] != shape or len(observations) not in (steps, steps + 1):
        raise SpanaxError(
            f"the data's observations have shape {list(observations.shape)}, after {steps} actions, and one of the "
            f"environment's has {list(shape)}",
            "observations before each step, as control.rollout returns them",
            "trajectory._replace(observations=None), to fit its states",
        )
    return observations.reshape(len(observations), -1)


def _states(trajectory: Trajectory, example: Any, steps: int) -> Any:
    """The states, with the final one at the end; None where they are not states of this environment."""
    states = trajectory.states
    # A black box's trajectory has states of its own kind, of which only the observations mean anything here.
    if jax.tree.structure(states) != jax.tree.structure(example):
        return None
    if trajectory.final is not None and jax.tree.structure(trajectory.final) == jax.tree.structure(example):
        states = jax.tree.map(
            lambda x, last: jnp.concatenate([jnp.asarray(x), jnp.asarray(last)[None]]), states, trajectory.final
        )
    pairs = zip(jax.tree.leaves(states), jax.tree.leaves(example), strict=True)
    fits = all(jnp.shape(x) in ((steps, *jnp.shape(e)), (steps + 1, *jnp.shape(e))) for x, e in pairs)
    return states if fits else None
