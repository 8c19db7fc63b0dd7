"""Backpropagation through time: the derivative of the simulation, window by window."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from .._errors import SpanaxError
from ..stochastic.expectation import expectation
from ..stochastic.sampling import cost
from ._training.contract import Contract
from ._training.method import Method, Seen, Task
from .env import State
from .rollout import acting, is_drawn
from .wrappers import where


class Lane(NamedTuple):
    """One of the episodes that go on at once: where it is, its steps and its return so far, and after how many steps it ends."""

    state: State
    steps: Int[Array, ""]
    earned: Float[Array, ""]
    limit: Int[Array, ""]
    over: Bool[Array, ""]


class _Window(NamedTuple):
    lane: Lane
    steps: Int[Array, ""]


class BPTT(Method):
    """The derivative of the simulation, by backpropagation through time.

    An update minimises the mean cost of a step (-reward, or `loss`) over `horizon` steps of `batch` episodes. A window ends where
    its episode does.

    - With `truncate` an episode of `env.max_steps` steps is cut into windows of `horizon`, one update each: the next window goes
      on where the last one stopped, and no derivative goes back across the cut (truncated backpropagation: biased, for what an
      action does later than its window is not seen). So that not all of a batch are in the same part of their episodes, the first
      episodes are of different lengths; those that are cut short are not among the returns.
    - Without it every update starts from fresh resets, and its gradient is the derivative of the mean cost of the first `horizon`
      steps (None: `env.max_steps`). Recommended where resets cover the states that matter, as those of `Pendulum` do: a policy
      cannot get stuck where it leads itself.

    The derivative crosses what environment and policy bridge. A policy that draws (it has a parameter `key`) is differentiated
    through `expectation`: unbiased where the bridges of its draws are; `bridges={"action": sx.GumbelSoftmax(0.5)}` replaces
    those of named draws.

    Truncation: Williams and Peng 1990. What a jump in the episode's course costs is not seen: Suh et al. 2022
    (arXiv:2202.00817).
    """

    batch: ClassVar[int] = 32
    horizon: int | None = eqx.field(default=40, static=True)
    truncate: bool = eqx.field(default=True, static=True)
    bridges: Mapping[str, Any] | None = None

    def __check_init__(self):
        if self.horizon is None and not self.truncate:
            return
        if isinstance(self.horizon, bool) or not isinstance(self.horizon, int) or self.horizon < 1:
            raise SpanaxError(f"BPTT(horizon={self.horizon!r})", "an integer, 1 or more")

    def check(self, task, policy):
        if task.env.black_box:
            raise SpanaxError(
                "BPTT needs the derivative of the environment, and this one is a black box",
                "via=control.PolicyGradient()",
            )
        if task.env.max_steps is None and (self.truncate or self.horizon is None):
            raise SpanaxError(
                "the environment says no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
                "BPTT(horizon=40, truncate=False): the first 40 steps only",
            )
        Contract(task, "BPTT").check_action(policy)

    def start(self, task, policy, key):
        lanes = jax.vmap(lambda key: self._begun(task, key))(jax.random.split(key, task.batch))
        if not self.truncate or self.horizon is None:
            return lanes
        windows = -(-self._limit(task) // self.horizon)
        spread = jnp.arange(task.batch, dtype=jnp.int32) * windows // task.batch
        return lanes._replace(limit=lanes.limit - self.horizon * spread)

    def objective(self, task, policy, carry, key):
        keys = jax.random.split(key, task.batch)
        means, windows, began = jax.vmap(lambda lane, key: self._lane(task, policy, lane, key))(carry, keys)
        lanes = windows.lane
        whole = lanes.over & ((lanes.limit == self._limit(task)) | (lanes.steps < lanes.limit))
        seen = Seen(
            jnp.sum(windows.steps),
            jnp.sum(began, dtype=jnp.int32),
            jnp.sum(whole, dtype=jnp.int32),
            jnp.sum(jnp.where(whole, lanes.earned, 0)),
        )
        return jnp.mean(means), (lax.stop_gradient(lanes), seen)

    def _limit(self, task: Task) -> int:
        """Steps of an episode."""
        limit = self.horizon if not self.truncate and self.horizon else task.env.max_steps
        assert limit is not None
        return min(limit, task.env.max_steps or limit)

    def _begun(self, task: Task, key: Key[Array, ""]) -> Lane:
        state, zero = task.env.reset(key), jnp.zeros((), jnp.int32)
        return Lane(state, zero, jnp.zeros((), float), zero + self._limit(task), task.env.done(state))

    def _lane(self, task: Task, policy: Any, lane: Lane, key: Key[Array, ""]) -> tuple[Array, _Window, Array]:
        """One window of one episode: its mean cost, where it arrives, and whether the episode begins with it."""
        begin, act = jax.random.split(key)
        lane = where(lane.over, self._begun(task, begin), lane) if self.truncate else self._begun(task, begin)
        mean, window = self._mean_cost(task, policy, lane, act)
        return mean, window, lane.steps == 0

    def _mean_cost(self, task: Task, policy: Any, lane: Lane, key: Key[Array, ""]) -> tuple[Array, _Window]:
        if not is_drawn(policy, task.env):
            total, window = self._window(task, policy, lane, None, says=False)
            return total, window
        drawn = expectation(
            lambda policy, *, key: self._window(task, policy, lane, key, says=True), via=self.bridges, has_aux=True
        )
        value, aux = drawn(policy, key=key)
        return value, jax.tree.map(lambda x: x[0], aux)

    def _window(
        self, task: Task, policy: Any, lane: Lane, key: Key[Array, ""] | None, says: bool
    ) -> tuple[Array, _Window]:
        """The mean cost; with `says` it is told to `expectation` step by step, so that no draw answers for what came before."""
        env, policy_at, horizon = task.env, acting(policy, task.env), self.horizon or self._limit(task)

        def one(carry, key):
            lane, total = carry
            moved, spent = _stepped(task, lane, policy_at(env.observe(lane.state), key))
            if says:
                cost(spent / horizon)
            return (moved, total + spent), ~lane.over

        keys = None if key is None else jax.random.split(key, horizon)
        zero = jnp.zeros((), float)
        (lane, total), alive = lax.scan(one, (lane, zero), keys, horizon)
        return (zero if says else total / horizon), _Window(lane, jnp.sum(alive, dtype=jnp.int32))


def _stepped(task: Task, lane: Lane, action: Array) -> tuple[Lane, Float[Array, ""]]:
    """One step, and what it costs; nothing once the episode is over."""
    env, alive = task.env, ~lane.over
    arrived = env.step(lane.state, action)
    reward = env.reward(lane.state, action, arrived)
    spent = jnp.where(alive, jnp.asarray(task.cost(lane.state, action, arrived, reward), float), 0)
    steps = lane.steps + alive.astype(jnp.int32)
    over = lane.over | env.done(arrived) | (steps >= lane.limit)
    earned = lane.earned + lax.stop_gradient(jnp.where(alive, jnp.asarray(reward, float), 0))
    return Lane(where(alive, arrived, lane.state), steps, earned, lane.limit, over), spent
