"""The Gymnasium environment that `to_gymnasium` makes. Imported where it is made, because it needs gymnasium.

Reset and step are two compiled functions of the environment as a pytree, so that all environments of one kind share them.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec

from ..._errors import SpanaxError
from ..env import Box, Discrete, Env, step_env
from ..showing.steps import FPS, picture_of
from ..showing.window import Window
from ._rendering import check_mode, modes_of


class Exported(gymnasium.Env):
    """See `to_gymnasium`. `limit`: the steps of an episode, or None."""

    def __init__(self, env: Env, limit: int | None, seed: int | None = None, render_mode: str | None = None):
        self.env, self.limit, self.state = env, limit, None
        self.steps, self.over, self.action = 0, False, None
        modes = modes_of(env)
        self.metadata = {"render_modes": modes, "render_fps": float(env.render_fps or FPS)}
        check_mode(env, render_mode, modes)
        self.render_mode = render_mode
        self.window = Window(type(env).__name__, self.metadata["render_fps"]) if render_mode == "human" else None
        self.observation_space, self.action_space = _space(env.observation_space), _space(env.action_space)
        # By its spec `gymnasium.make` and vector environments make others like it, from this very object.
        self.spec = EnvSpec(
            f"spanax/{type(env).__name__}-v0",
            entry_point=_another,
            max_episode_steps=limit,
            kwargs={"env": env, "limit": limit, "seed": seed, "render_mode": render_mode},
        )
        super().reset(seed=seed)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if options:
            raise SpanaxError(f"reset(options={options!r})", "no options: fields of the environment are its parameters")
        # Gymnasium's own generator makes the sequence of starts, so that a seed repeats it.
        self.state, observation = _reset(self.env, self.np_random.integers(2**32, dtype=np.uint32))
        self.steps, self.over, self.action = 0, False, None
        if self.window is not None:
            self.render()
        return np.array(observation), {}

    def step(self, action: Any):
        if self.state is None or self.over:
            raise SpanaxError("a step, but the episode is over or has not begun", "reset()")
        self.action = self._check_action(action)
        self.state, *seen = _step(self.env, self.state, self.action, self._seed())
        # NumPy and Python values: other libraries do not know JAX's arrays.
        observation, reward, terminated, truncated = map(np.array, seen)
        self.steps += 1
        truncated = bool(truncated) or (self.limit is not None and self.steps >= self.limit)
        self.over = bool(terminated) or truncated
        # As Gymnasium's own do: a window shows every step by itself.
        if self.window is not None:
            self.render()
        return observation, float(reward), bool(terminated), truncated, {}

    def render(self) -> Any:
        """The picture of the state, or None where it is shown in a window."""
        if self.render_mode is None:
            raise SpanaxError(
                "render() of an environment without a render_mode", 'to_gymnasium(env, render_mode="rgb_array")'
            )
        if self.state is None:
            raise SpanaxError("render(), but no episode has begun", "reset()")
        picture = picture_of(self.env, jax.device_get(self.state), self.action)
        return picture if self.window is None else self.window.show(picture)

    def close(self) -> None:
        if self.window is not None:
            self.window.close()

    def _seed(self) -> np.uint32 | None:
        # Only where a step draws: of other environments the sequence of starts depends on nothing but the resets.
        return self.np_random.integers(2**32, dtype=np.uint32) if self.env.stochastic else None

    def _check_action(self, action: Any) -> np.ndarray:
        # A Box action out of bounds is the environment's own matter; one of another shape would broadcast, an integer out
        # of range be taken for some other action.
        space, array = self.action_space, np.asarray(action)
        good = array.shape == space.shape
        if isinstance(space, spaces.Discrete):
            good = good and array.item() in range(space.n)
        if not good:
            raise SpanaxError(f"the action {array.tolist()}, and actions are {space}", "action_space.sample()")
        return array.astype(space.dtype)


def _another(**kwargs: Any) -> Exported:
    return Exported(**kwargs)


def _space(space: Box | Discrete) -> spaces.Box | spaces.Discrete:
    if isinstance(space, Discrete):
        return spaces.Discrete(space.n)
    dtype = jnp.zeros((), float).dtype
    return spaces.Box(space.low.astype(dtype), space.high.astype(dtype), dtype=dtype)


@eqx.filter_jit
def _reset(env: Env, seed: np.uint32):
    state = env.reset(jax.random.key(seed))
    return state, env.observe(state)


@eqx.filter_jit
def _step(env: Env, state: Any, action: Any, seed: np.uint32 | None):
    after = step_env(env, state, action, None if seed is None else jax.random.key(seed))
    ends = env.terminated(after), env.truncated(after)
    return after, env.observe(after), env.reward(state, action, after), *ends
