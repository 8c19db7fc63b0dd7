"""Windows of episodes, differentiated: what backpropagation through time and the short-horizon actor-critic share.

A window is a `scan` of some steps that reverse mode differentiates; between windows only the states are carried over, without a
derivative (truncated backpropagation: Williams and Peng 1990, Neural Computation 2, 490). It ends where its episode does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ...stochastic.expectation import expectation
from ...stochastic.sampling import cost
from ..env import State, split_key, step_env
from ..rollout import as_action_function, is_drawn
from ..wrappers import where
from .method import Seen, Task
from .outliers import copies


class Episode(NamedTuple):
    """One of the episodes that run at once: its state, its steps and its return so far, and after how many steps it ends."""

    state: State
    steps: Int[Array, ""]
    earned: Float[Array, ""]
    limit: Int[Array, ""]
    over: Bool[Array, ""]


class Steps(NamedTuple):
    """The steps of a window, with a leading axis.

    - `observations`, `costs`: before and of each step; `arrived`: the observations after it;
    - `alive`: whether the episode was still going on; `last`: whether it ended with the step, `terminated`: by a rule.
    """

    observations: Float[Array, "steps ..."]
    arrived: Float[Array, "steps ..."]
    costs: Float[Array, " steps"]
    alive: Bool[Array, " steps"]
    last: Bool[Array, " steps"]
    terminated: Bool[Array, " steps"]


class Played(NamedTuple):
    """Windows of a batch: where the episodes are now, and their steps; both without a derivative."""

    episodes: Episode
    steps: Steps
    seen: Seen


class Windows(eqx.Module):
    """How episodes of a task are cut into windows.

    - `horizon`: steps of a window; `goes_on`: the next one starts where the last one stopped, else at a fresh reset;
    - `via`: bridges for draws by name, as in `expectation`;
    - `discount`: the cost of step t counts discount^t;
    - `terminal`: the cost, of an observation, that is still to come where the window stops and no rule ended the episode;
    - `restarts`: an episode is given up after a random number of windows, for those that know what would come after;
    - `outliers`: of a window whose gradient is longer than so many times the median of the batch's, only so much is taken.
    """

    task: Task
    horizon: int = eqx.field(static=True)
    goes_on: bool = eqx.field(static=True)
    via: Mapping[str, Any] | None = None
    discount: float = 1.0
    terminal: Callable[[Array], Float[Array, ""]] | None = None
    restarts: bool = eqx.field(default=False, static=True)
    outliers: float | None = eqx.field(default=None, static=True)

    @property
    def limit(self) -> int:
        """Steps of an episode."""
        # Where each window starts anew an episode ends with its only one.
        limit = self.task.env.max_steps if self.goes_on else self.horizon
        assert limit is not None
        return min(limit, self.task.env.max_steps or limit)

    @property
    def windows(self) -> int:
        """Of an episode."""
        return -(-self.limit // self.horizon)

    def first(self, key: Key[Array, ""]) -> Episode:
        """The episodes that the first windows start from."""
        episodes = jax.vmap(self._begin)(jax.random.split(key, self.task.batch))
        # Every update starts anew, or a window is an episode, or they are spread already: there is nothing to spread.
        if not self.goes_on or self.horizon >= self.limit or self.restarts:
            return episodes
        # In step, all episodes would see early states in one update and late ones in another, and the policy would follow.
        spread = jnp.arange(self.task.batch, dtype=jnp.int32) * self.windows // self.task.batch
        return episodes._replace(limit=episodes.limit - self.horizon * spread)

    def play(self, policy: Any, episodes: Episode, key: Key[Array, ""]) -> tuple[Float[Array, ""], Played]:
        """The mean cost of a step over windows and batch, which can be differentiated; and what was played."""
        # Episodes are independent, so each has draws of its own.
        keys = jax.random.split(key, self.task.batch)
        if self.outliers is None:
            means, after, steps, began = jax.vmap(lambda episode, key: self._from(policy, episode, key))(episodes, keys)
        else:
            arrays, static = eqx.partition(policy, eqx.is_inexact_array)
            means, after, steps, began = jax.vmap(
                lambda arrays, episode, key: self._from(eqx.combine(arrays, static), episode, key)
            )(copies(arrays, self.task.batch, self.outliers), episodes, keys)
        # The cut of truncation: the next window starts from numbers, not from what this policy did.
        after, steps = lax.stop_gradient((after, steps))
        # Counted are the episodes that had their full length, or that a rule of the environment ended.
        whole = after.over & ((after.limit == self.limit) | (after.steps < after.limit))
        seen = Seen(
            jnp.sum(steps.alive, dtype=jnp.int32),
            jnp.sum(began, dtype=jnp.int32),
            jnp.sum(whole, dtype=jnp.int32),
            jnp.sum(jnp.where(whole, after.earned, 0)),
        )
        return jnp.mean(means), Played(after, steps, seen)

    def _begin(self, key: Key[Array, ""]) -> Episode:
        limit = jnp.asarray(self.limit, jnp.int32)
        if self.restarts:
            key, other = jax.random.split(key)
            # As many of one window as of two or three, or of four to seven: starts count, and late states are met.
            windows = jnp.exp(jax.random.uniform(other, (), float) * jnp.log(jnp.asarray(self.windows + 1, float)))
            limit = jnp.minimum(limit, self.horizon * windows.astype(jnp.int32))
        state, zero = self.task.env.reset(key), jnp.zeros((), float)
        return Episode(state, jnp.zeros((), jnp.int32), zero, limit, self.task.env.done(state))

    def _from(
        self, policy: Any, episode: Episode, key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], Episode, Steps, Bool[Array, ""]]:
        """One window of one episode: its mean cost, where it arrives, its steps, and whether the episode begins with it."""
        # Two streams: where an episode begins does not depend on how many draws the policy makes.
        begin, act = jax.random.split(key)
        episode = where(episode.over, self._begin(begin), episode) if self.goes_on else self._begin(begin)
        mean, after, steps = self._mean_cost(policy, episode, act)
        return mean, after, steps, episode.steps == 0

    def _mean_cost(self, policy: Any, episode: Episode, key: Key[Array, ""]) -> tuple[Array, Episode, Steps]:
        if not (is_drawn(policy, self.task.env) or self.task.env.stochastic):
            total, aux = self._window(policy, episode, None, records_costs=False)
            return total, *aux
        # The aux of one replicate: it has a leading axis of length 1.
        drawn = expectation(
            lambda policy, *, key: self._window(policy, episode, key, records_costs=True), via=self.via, has_aux=True
        )
        value, aux = drawn(policy, key=key)
        return value, *jax.tree.map(lambda x: x[0], aux)

    def _window(
        self, policy: Any, episode: Episode, key: Key[Array, ""] | None, records_costs: bool
    ) -> tuple[Array, tuple[Episode, Steps]]:
        """The mean cost; `records_costs`: step by step, by `cost`, so that no draw is credited with what came before it."""
        # In `expectation` the objective is what `cost` records, and the value itself 0.
        env, policy_at = self.task.env, as_action_function(policy, self.task.env)

        def one(carry, key):
            episode, total, weight = carry
            acting, moving = split_key(env, key)
            seen = env.observe(episode.state)
            moved, spent = _step_episode(self.task, episode, policy_at(seen, acting), moving)
            weighed = weight * spent
            if records_costs:
                cost(weighed / self.horizon)
            alive, last = ~episode.over, moved.over & ~episode.over
            steps = Steps(seen, env.observe(moved.state), spent, alive, last, last & env.terminated(moved.state))
            return (moved, total + weighed, jnp.where(alive, self.discount * weight, weight)), steps

        keys = None if key is None else jax.random.split(key, self.horizon)
        zero = jnp.zeros((), float)
        (after, total, weight), steps = lax.scan(one, (episode, zero, zero + 1), keys, self.horizon)
        if self.terminal is not None:
            # Of the state where the window stops, also where only the time is over: there it could have gone on.
            ahead = jnp.where(env.terminated(after.state), 0, weight * self.terminal(env.observe(after.state)))
            total = total + ahead
            if records_costs:
                cost(ahead / self.horizon)
        return (zero if records_costs else total / self.horizon), (after, steps)


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
