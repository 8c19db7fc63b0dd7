"""Environments of MuJoCo Playground and Brax: anything with `reset(rng) -> State` and `step(State, action) -> State`."""

from __future__ import annotations

import copy
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..._checks import check_whole
from ..._errors import SpanaxError
from ..env import Box, Env
from ._simulator import promotion

_FACE = ("reset", "step", "action_size")
_STATE = ("obs", "reward", "done")


class PlaygroundEnv(Env):
    """An environment of Playground or Brax; see `from_playground`. Its states are theirs.

    >>> from spanax import control
    >>> control.PlaygroundEnv.black_box  # it has a derivative
    False
    """

    # Static: theirs are plain Python objects that hold a model.
    inner: Any = eqx.field(static=True)
    part: str | None = eqx.field(static=True)
    steps: int = eqx.field(static=True)

    def reset(self, key):
        with promotion():
            return self.inner.reset(key)

    def step(self, state, action):
        with promotion():
            return self.inner.step(state, action)

    def observe(self, state: Any) -> Float[Array, " size"]:
        return _chosen(state.obs, self.part)

    def reward(self, state, action, next_state):
        return next_state.reward

    def done(self, state):
        # A float there, 0 or 1.
        return state.done > 0.5

    @property
    def action_space(self) -> Box:
        # By their convention: what an action means is up to the environment.
        return Box(np.full(self.inner.action_size, -1.0), np.full(self.inner.action_size, 1.0))

    @property
    def observation_space(self) -> Box:
        shape = jax.eval_shape(lambda key: self.observe(self.inner.reset(key)), _key()).shape
        return Box(np.full(shape, -np.inf), np.full(shape, np.inf))

    @property
    def max_steps(self) -> int:
        return self.steps

    @property
    def render_fps(self) -> float | None:
        seconds = getattr(self.inner, "dt", None)
        return 1 / float(seconds) if seconds else None

    def render(self, state, action=None):
        """What the environment itself draws."""
        if not hasattr(self.inner, "render"):
            return super().render(state, action)
        return np.asarray(self.inner.render([state])[0], np.uint8)

    def __repr__(self):
        return f"from_playground({type(self.inner).__name__})"


def from_playground(
    env: Any, *, observation: str | None = None, max_steps: int | None = None, iterations: int | None = None
) -> PlaygroundEnv:
    """An environment of MuJoCo Playground, Brax, or the same interface, with the methods of `control.Env` and its derivative.

    **Arguments:**

    - `env`: with `reset(rng) -> State`, `step(State, action) -> State` and `action_size`; a State has `obs`, `reward` and `done`.
    - `observation`: of observations in a dictionary, which one the policy sees ("state"); None: all of them in one vector.
    - `max_steps`: of an episode; None: the configuration's `episode_length`, else 1000.
    - `iterations`: of the solver of an MJX model. Reverse mode, so `BPTT`, cannot cross MJX's solver unless it has exactly one
      iteration (google-deepmind/mujoco, issue 2259): 1 is less exact where bodies touch. None: as the environment has it.
      (`from_mujoco` has the derivative with any number.)

    A copy of an environment with an MJX model is used, whose solver starts anew in each step: started from the last step's
    answer, as MuJoCo does by default, its derivative is wrong where bodies touch.

    Actions are between -1 and 1, as theirs are. Load Playground's environments with `config_overrides={"impl": "jax"}`: others
    have no derivative.

    **Returns:**

    A `PlaygroundEnv`.

    **Raises:**

    - `SpanaxError` for an environment without that interface, a State that lacks a field or changes its structure in a step, and
      `iterations` of one without an MJX model.

    Brax: Freeman et al. 2021 (arXiv:2106.13281); MuJoCo Playground: Zakka et al. 2025 (arXiv:2502.08844).

    >>> import jax, jax.numpy as jnp
    >>> from typing import NamedTuple
    >>> from spanax import control
    >>> class State(NamedTuple):
    ...     obs: jax.Array
    ...     reward: jax.Array
    ...     done: jax.Array
    >>> class Theirs:
    ...     action_size = 1
    ...     def reset(self, rng):
    ...         return State(jax.random.normal(rng, (1,)), jnp.zeros(()), jnp.zeros(()))
    ...     def step(self, state, action):
    ...         return State(0.9 * state.obs + action, -jnp.sum(state.obs**2), state.done)
    >>> env = control.from_playground(Theirs(), max_steps=20)
    >>> env.observation_space.shape, control.evaluate(env, lambda seen: -0.5 * seen, 3, key=jax.random.key(0)).shape
    ((1,), (3,))
    """
    missing = [name for name in _FACE if not hasattr(env, name)]
    if missing:
        raise SpanaxError(
            f"{type(env).__name__} has no {', '.join(missing)}",
            "an environment of MuJoCo Playground or Brax: reset(rng) -> State, step(State, action) -> State, action_size",
        )
    env = _with_fresh_solver(env, iterations)
    length = getattr(getattr(env, "_config", None), "episode_length", None)
    steps = max_steps if max_steps is not None else int(length or 1000)
    check_whole("from_playground(max_steps", steps)
    found = PlaygroundEnv(env, observation, steps)
    _check(found)
    return found


def _with_fresh_solver(env: Any, iterations: int | None) -> Any:
    if iterations is not None:
        check_whole("from_playground(iterations", iterations)
    model = getattr(env, "_mjx_model", None)
    if model is None and iterations is not None:
        raise SpanaxError(f"iterations={iterations}, and {type(env).__name__} has no MJX model", "iterations=None")
    if model is None:
        return env
    from mujoco import mjx

    changed = {"opt.disableflags": model.opt.disableflags | mjx.DisableBit.WARMSTART}
    changed |= {} if iterations is None else {"opt.iterations": iterations}
    # A copy: the environment that was given may be used elsewhere.
    env = copy.copy(env)
    env._mjx_model = model.tree_replace(changed)
    return env


def _check(env: PlaygroundEnv) -> None:
    """By shapes: nothing is simulated."""
    name = type(env.inner).__name__
    before = jax.eval_shape(env.inner.reset, _key())
    if missing := [field for field in _STATE if not hasattr(before, field)]:
        raise SpanaxError(f"a State of {name} has no {', '.join(missing)}", "obs, reward and done")
    jax.eval_shape(env.observe, before)
    action = jax.ShapeDtypeStruct(env.action_space.shape, jnp.zeros((), float).dtype)
    after = jax.eval_shape(env.inner.step, before, action)
    kinds = [[(x.shape, x.dtype) for x in jax.tree.leaves(state)] for state in (before, after)]
    # A loop over steps carries a state of one kind.
    if jax.tree.structure(before) != jax.tree.structure(after) or kinds[0] != kinds[1]:
        raise SpanaxError(
            f"{name}.step returns a State of another structure, or other shapes and dtypes, than {name}.reset",
            "a reset that has every entry of info and metrics that a step sets",
        )


def _chosen(obs: Any, part: str | None) -> Float[Array, " size"]:
    if part is not None:
        if not isinstance(obs, dict) or part not in obs:
            there = ", ".join(map(repr, obs)) if isinstance(obs, dict) else "no dictionary"
            raise SpanaxError(f"from_playground(observation={part!r}), and there is {there}", "None: all of them")
        return obs[part]
    leaves = jax.tree.leaves(obs)
    # A picture alone keeps its shape.
    return leaves[0] if len(leaves) == 1 else jnp.concatenate([jnp.ravel(x) for x in leaves])


def _key() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0))
