"""Backpropagation through time: the derivative of the simulation, window by window.

A window is a `scan` of `horizon` steps that reverse mode differentiates; between windows only the states are carried over,
without a derivative (truncated backpropagation: Williams and Peng 1990, Neural Computation 2, 490).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ..._checks import check_whole
from ..._errors import SpanaxError
from ...stochastic.expectation import expectation
from ...stochastic.sampling import cost
from .._training.contract import Contract
from .._training.method import Method, Seen, Task
from ..env import State, split_key, step_env
from ..rollout import as_action_function, is_drawn
from ..wrappers import where


class Episode(NamedTuple):
    """One of the episodes that run at once: its state, its steps and its return so far, and after how many steps it ends."""

    state: State
    steps: Int[Array, ""]
    earned: Float[Array, ""]
    limit: Int[Array, ""]
    over: Bool[Array, ""]


class _Window(NamedTuple):
    episode: Episode
    steps: Int[Array, ""]


class BPTT(Method):
    """The derivative of the simulation, by backpropagation through time.

    An update minimises the mean cost of a step (-reward, or `loss`) over `horizon` steps of `batch` episodes. A window ends
    where its episode does. The derivative crosses whatever environment and policy bridge. A policy that draws (it has a
    parameter `key`) is differentiated through `expectation`: unbiased where the bridges of its draws are.

    **Arguments:**

    - `horizon`: steps of a window; None, with `truncate=False`: `env.max_steps`.
    - `truncate`: an episode of `env.max_steps` steps is cut into windows of `horizon`, one update each: the next window continues
      where the last one stopped, and no derivative goes back across the cut (truncated backpropagation: biased, since it does
      not see what an action does later than its window). So that not all of a batch are in the same part of their episodes, the
      first episodes are of different lengths; those that are cut short are not among the returns.
      With `truncate=False` every update starts from fresh resets, and its gradient is the derivative of the mean cost of the
      first `horizon` steps. Recommended where resets cover the states that matter, as those of `Pendulum` do: a policy
      cannot get stuck where it leads itself.
    - `via`: bridges for draws of the policy or the environment by name, as in `expectation`:
      `via={"action": sx.GumbelSoftmax(0.5)}` replaces the draw's own.

    **Raises:**

    - `SpanaxError` for a horizon that is not a positive whole number. `train` raises it for an environment that is a black
      box or, where it is needed, has no number of steps.

    Truncation: Williams and Peng 1990. What a jump in the episode's course costs is not seen: Suh et al. 2022
    (arXiv:2202.00817).

    >>> from spanax import control
    >>> control.BPTT(horizon=20).truncate
    True
    """

    batch: ClassVar[int] = 32
    horizon: int | None = eqx.field(default=40, static=True)
    truncate: bool = eqx.field(default=True, static=True)
    via: Mapping[str, Any] | None = None

    def __check_init__(self):
        if self.horizon is None and not self.truncate:
            return
        check_whole("BPTT(horizon", self.horizon)

    def check(self, task, policy):
        if task.env.black_box:
            raise SpanaxError(
                "BPTT needs the derivative of the environment, and this one is a black box",
                "via=control.PolicyGradient()",
            )
        if task.env.max_steps is None and (self.truncate or self.horizon is None):
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
                "BPTT(horizon=40, truncate=False): the first 40 steps only",
            )
        Contract(task, "BPTT").check_action(policy)

    def start(self, task, policy, key):
        # One reset for each episode of the batch; the whole batch of states is what updates hand on.
        episodes = jax.vmap(lambda key: self._begin(task, key))(jax.random.split(key, task.batch))
        # Every update starts anew, or a window is an episode: there is nothing to spread.
        if not self.truncate or self.horizon is None:
            return episodes
        # In step, all episodes would see early states in one update and late ones in another, and the policy would follow.
        windows = -(-self._limit(task) // self.horizon)
        spread = jnp.arange(task.batch, dtype=jnp.int32) * windows // task.batch
        return episodes._replace(limit=episodes.limit - self.horizon * spread)

    def objective(self, task, policy, carry, key):
        # Episodes are independent, so each has draws of its own.
        keys = jax.random.split(key, task.batch)
        means, windows, began = jax.vmap(lambda episode, key: self._window_from(task, policy, episode, key))(
            carry, keys
        )
        episodes = windows.episode
        # Counted are the episodes that had their full length, or that a rule of the environment ended.
        whole = episodes.over & ((episodes.limit == self._limit(task)) | (episodes.steps < episodes.limit))
        seen = Seen(
            jnp.sum(windows.steps),
            jnp.sum(began, dtype=jnp.int32),
            jnp.sum(whole, dtype=jnp.int32),
            jnp.sum(jnp.where(whole, episodes.earned, 0)),
        )
        # The cut of truncation: the next window starts from numbers, not from what this policy did.
        return jnp.mean(means), (lax.stop_gradient(episodes), seen)

    def _limit(self, task: Task) -> int:
        """Steps of an episode."""
        # Without truncation an episode ends with its only window.
        limit = self.horizon if not self.truncate and self.horizon else task.env.max_steps
        assert limit is not None
        return min(limit, task.env.max_steps or limit)

    def _begin(self, task: Task, key: Key[Array, ""]) -> Episode:
        state, zero = task.env.reset(key), jnp.zeros((), jnp.int32)
        return Episode(state, zero, jnp.zeros((), float), zero + self._limit(task), task.env.done(state))

    def _window_from(
        self, task: Task, policy: Any, episode: Episode, key: Key[Array, ""]
    ) -> tuple[Array, _Window, Array]:
        """One window of one episode: its mean cost, where it arrives, and whether the episode begins with it."""
        # Two streams: where an episode begins does not depend on how many draws the policy makes.
        begin, act = jax.random.split(key)
        episode = where(episode.over, self._begin(task, begin), episode) if self.truncate else self._begin(task, begin)
        mean, window = self._mean_cost(task, policy, episode, act)
        return mean, window, episode.steps == 0

    def _mean_cost(self, task: Task, policy: Any, episode: Episode, key: Key[Array, ""]) -> tuple[Array, _Window]:
        if not (is_drawn(policy, task.env) or task.env.stochastic):
            total, window = self._window(task, policy, episode, None, records_costs=False)
            return total, window
        # The aux of one replicate: it has a leading axis of length 1.
        drawn = expectation(
            lambda policy, *, key: self._window(task, policy, episode, key, records_costs=True),
            via=self.via,
            has_aux=True,
        )
        value, aux = drawn(policy, key=key)
        return value, jax.tree.map(lambda x: x[0], aux)

    def _window(
        self, task: Task, policy: Any, episode: Episode, key: Key[Array, ""] | None, records_costs: bool
    ) -> tuple[Array, _Window]:
        """The mean cost; `records_costs`: step by step, by `cost`, so that no draw is credited with what came before it."""
        # In `expectation` the objective is what `cost` records, and the value itself 0.
        env, policy_at, horizon = task.env, as_action_function(policy, task.env), self.horizon or self._limit(task)

        def one(carry, key):
            episode, total = carry
            acting, moving = split_key(env, key)
            moved, spent = _step_episode(task, episode, policy_at(env.observe(episode.state), acting), moving)
            if records_costs:
                cost(spent / horizon)
            return (moved, total + spent), ~episode.over

        keys = None if key is None else jax.random.split(key, horizon)
        zero = jnp.zeros((), float)
        (episode, total), alive = lax.scan(one, (episode, zero), keys, horizon)
        return (zero if records_costs else total / horizon), _Window(episode, jnp.sum(alive, dtype=jnp.int32))


def _step_episode(
    task: Task, episode: Episode, action: Array, key: Key[Array, ""] | None
) -> tuple[Episode, Float[Array, ""]]:
    """One step, and its cost: 0 once the episode is over."""
    # The step is computed all the same, and thrown away: in a batch some episodes end before others. It must be finite.
    env, alive = task.env, ~episode.over
    arrived = step_env(env, episode.state, action, key)
    reward = env.reward(episode.state, action, arrived)
    spent = jnp.where(alive, jnp.asarray(task.cost(episode.state, action, arrived, reward), float), 0)
    # Counted only while it is alive: a finished episode waits for the end of the window.
    steps = episode.steps + alive.astype(jnp.int32)
    over = episode.over | env.done(arrived) | (steps >= episode.limit)
    # Returns are reported, not differentiated: the objective has the costs.
    earned = episode.earned + lax.stop_gradient(jnp.where(alive, jnp.asarray(reward, float), 0))
    return Episode(where(alive, arrived, episode.state), steps, earned, episode.limit, over), spent
