"""Wrappers of environments: a time limit, many at once, and a new episode as soon as one is over."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, Key

from .._checks import check_whole
from .env import Env, State, step_env
from .showing.canvas import Picture, refuse_traced, tiled
from .showing.steps import picture_of


# A wrapper passes on what it does not change. It is not a subclass of what it wraps: any environment will do.
class _Wrapper(Env):
    env: Env

    @property
    def black_box(self):
        return self.env.black_box

    @property
    def stochastic(self):
        return self.env.stochastic

    @property
    def mirror(self):
        return self.env.mirror

    @property
    def action_space(self):
        return self.env.action_space

    @property
    def observation_space(self):
        return self.env.observation_space

    @property
    def max_steps(self):
        return self.env.max_steps

    @property
    def resets_itself(self):
        return self.env.resets_itself

    @property
    def render_fps(self):
        return self.env.render_fps

    def own_errors(self):
        return self.env.own_errors()


class Timed(NamedTuple):
    """The state of a `TimeLimit`: the environment's own, and the steps since the reset."""

    state: State
    steps: Int[Array, ""]


class TimeLimit(_Wrapper):
    """An episode has at most `steps` steps (None: the environment's `max_steps`).

    `done` is true where a rule ended the episode or the time is over; `truncated` where only the time is: there the episode could
    have gone on, and a state has a value beyond the end.

    >>> import jax
    >>> from spanax import control
    >>> env = control.TimeLimit(control.Pendulum(), 2)
    >>> state = env.reset(jax.random.key(0))
    >>> for _ in range(2):
    ...     state = env.step(state, jax.numpy.zeros(1))
    >>> bool(env.done(state)), bool(env.truncated(state))
    (True, True)
    """

    steps: int

    def __init__(self, env: Env, steps: int | None = None):
        self.env = env
        steps = env.max_steps if steps is None else steps
        check_whole("TimeLimit(steps", steps)
        assert steps is not None
        self.steps = steps

    @property
    def max_steps(self):
        return self.steps

    def reset(self, key):
        return Timed(self.env.reset(key), jnp.zeros((), jnp.int32))

    def step(self, state, action, *, key=None):
        return Timed(step_env(self.env, state.state, action, key), state.steps + 1)

    def observe(self, state):
        return self.env.observe(state.state)

    def state_from(self, observation):
        """With the steps counted from 0: an observation does not tell them."""
        return Timed(self.env.state_from(observation), jnp.zeros((), jnp.int32))

    def reward(self, state, action, next_state):
        return self.env.reward(state.state, action, next_state.state)

    def loss(self, state, action, next_state):
        return self.env.loss(state.state, action, next_state.state)

    def done(self, state):
        return self.env.done(state.state) | (state.steps >= self.steps)

    def truncated(self, state: Timed) -> Bool[Array, ""]:
        """Is the time over, and no rule ended the episode?"""
        # Inside there may be another limit, which is `done` there.
        return self.env.truncated(state.state) | (
            (state.steps >= self.steps) & jnp.logical_not(self.env.done(state.state))
        )

    def render(self, state: Timed, action: Any = None) -> Picture:
        return picture_of(self.env, state.state, action)

    def frames(self, trajectory, every=1):
        # An environment may draw an episode as a whole, from its own states.
        inner = trajectory._replace(states=trajectory.states.state, final=trajectory.final.state)
        return self.env.frames(inner, every)


class Batched(_Wrapper):
    """`n` independent environments: every method has a leading axis of length `n` in states, actions and results.

    >>> import jax
    >>> from spanax import control
    >>> control.Batched(control.Pendulum(), 8).reset(jax.random.key(0)).shape
    (8, 2)
    """

    n: int

    def __init__(self, env: Env, n: int):
        check_whole("Batched(n", n)
        self.env, self.n = env, n

    def reset(self, key):
        return jax.vmap(self.env.reset)(jax.random.split(key, self.n))

    def step(self, state, action, *, key=None):
        # Without a key `split` has nothing to split, and vmap no axis for it.
        keys = None if key is None else jax.random.split(key, self.n)
        return jax.vmap(lambda state, action, key: step_env(self.env, state, action, key))(state, action, keys)

    def observe(self, state):
        return jax.vmap(self.env.observe)(state)

    def state_from(self, observation):
        return jax.vmap(self.env.state_from)(observation)

    def reward(self, state, action, next_state):
        return jax.vmap(self.env.reward)(state, action, next_state)

    def loss(self, state, action, next_state):
        return jax.vmap(self.env.loss)(state, action, next_state)

    def done(self, state):
        return jax.vmap(self.env.done)(state)

    def truncated(self, state):
        return jax.vmap(self.env.truncated)(state)

    def terminated(self, state):
        return jax.vmap(self.env.terminated)(state)

    def render(self, state: State, action: Any = None) -> Picture:
        """All of them, side by side in rows."""
        refuse_traced(self, (state, action))
        state, action = jax.device_get((state, action))
        rows = [jax.tree.map(lambda x: x[i], (state, action)) for i in range(self.n)]  # noqa: B023  it is called at once
        return tiled([picture_of(self.env, *row) for row in rows])


class Resetting(NamedTuple):
    """The state of an `AutoReset`.

    - `state`: where the next step starts: the first state of a new episode, if the last step ended one;
    - `arrived`: where the last step arrived, the terminal state if it ended an episode; at a reset, `state`;
    - `ended`: whether the last step ended an episode.
    """

    state: State
    arrived: State
    ended: Bool[Array, ""]
    key: Key[Array, ""]


class AutoReset(_Wrapper):
    """A step that ends an episode continues with the first state of the next one, in the same step.

    `observe` gives the new episode's first observation, `terminal_observation` the one that the step arrived at; the reward is
    that of the step, and `done` (`terminated`, `truncated`) says that it ended an episode. Put a `TimeLimit` inside, `Batched`
    outside. `rollout` goes on through the episodes; `evaluate`, and training, play one. It is not for Gymnasium environments,
    which it would reset at every step.

    >>> import jax
    >>> from spanax import control
    >>> env = control.AutoReset(control.TimeLimit(control.Pendulum(), 1))
    >>> state = env.step(env.reset(jax.random.key(0)), jax.numpy.zeros(1))
    >>> bool(env.done(state)), int(state.state.steps)
    (True, 0)
    """

    env: Env

    @property
    def resets_itself(self):
        return True

    def reset(self, key):
        first, others = jax.random.split(key)
        state = self.env.reset(first)
        return Resetting(state, state, jnp.zeros((), bool), others)

    def step(self, state, action, *, key=None):
        arrived = step_env(self.env, state.state, action, key)
        ended = self.env.done(arrived)
        # The key of resets is part of the state: the whole sequence of episodes is a function of the first key.
        now, others = jax.random.split(state.key)
        # The reset is computed at every step, and used where an episode ended: under vmap both sides of a choice are computed.
        following = where(ended, self.env.reset(now), arrived)
        # The key is used up only where it was used, so that episodes have the same starts whatever their lengths.
        return Resetting(following, arrived, ended, where(ended, others, state.key))

    def observe(self, state):
        return self.env.observe(state.state)

    def terminal_observation(self, state: Resetting) -> Array:
        """What the last step arrived at: the terminal observation, if it ended an episode."""
        return self.env.observe(state.arrived)

    def reward(self, state, action, next_state):
        return self.env.reward(state.state, action, next_state.arrived)

    def loss(self, state, action, next_state):
        return self.env.loss(state.state, action, next_state.arrived)

    def done(self, state):
        return state.ended

    def truncated(self, state: Resetting) -> Bool[Array, ""]:
        """Did the last step end an episode, by a time limit only?"""
        return state.ended & self.env.truncated(state.arrived)

    def render(self, state: Resetting, action: Any = None) -> Picture:
        return picture_of(self.env, state.state, action)


def where(condition: Bool[Array, ""], one: State, other: State) -> State:
    """One state or the other, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), one, other)
