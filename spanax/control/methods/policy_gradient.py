"""Policy gradients: the score function of what the policy draws, which needs no derivative of the environment.

grad E[sum_t c_t] = E[sum_t grad log pi(a_t | o_t) (sum_{s >= t} c_s - b_t)] (Williams 1992; reward-to-go and learned
baselines: Sutton et al. 1999). It is not written out here: the episode is a program with draws and costs, and `expectation`
assembles the estimate.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._errors import SpanaxError
from ...bridges import ScoreFunction
from ...stochastic.expectation import expectation
from ...stochastic.sampling import cost, sample
from .._training.contract import Contract
from .._training.critic import Critic
from .._training.method import Method, Seen, Task
from ..env import split_key, step_env
from ..wrappers import where


class _Episode(NamedTuple):
    """One episode; after its end rewards and costs are 0."""

    observations: Float[Array, "steps ..."]
    rewards: Float[Array, " steps"]
    costs: Float[Array, " steps"]
    alive: Bool[Array, " steps"]


class PolicyGradient(Method):
    """The score-function (REINFORCE) gradient of the expected return over whole episodes.

    An update plays `batch` episodes from fresh resets, of at most `env.max_steps` steps. The objective is the expectation of
    -sum_t discount^t r_t (or of `loss` in the place of -r) less `entropy` times the sum of the entropies of the policy's
    distributions, each per step of `env.max_steps`; its gradient is unbiased. Each action is credited with the costs that come
    after it (reward-to-go, from `expectation`), less a baseline.

    The policy has a method `distribution(observation)`, such as `MLPPolicy` has. The environment may be a black box
    (`from_gymnasium`).

    **Arguments:**

    - `baseline`: "critic": a learned value of the observation and the share of time left (a small network, fitted to the
      returns of earlier updates); "leave-one-out": the mean over the other episodes of the batch, at the same step (Kool et
      al. 2019); None: none.
    - `discount`: below 1 it weights a reward at step t by discount^t, in the objective and so in the gradient: actions late in a
      long episode then hardly count. (Other libraries leave out that factor before late actions; what they follow is not the
      gradient of any objective: Nota and Thomas 2020, arXiv:1906.07073.)
    - `entropy`: the weight of the entropies, which keep the policy from deciding too early.

    **Raises:**

    - `SpanaxError` for a baseline, discount or entropy that is none of these. `train` raises it for a policy without a
      `distribution`, an environment without `max_steps`, and a leave-one-out baseline with a batch of 1.

    Williams 1992; reward-to-go and critics: Sutton et al. 1999.

    >>> from spanax import control
    >>> control.PolicyGradient("leave-one-out", discount=0.99).entropy
    0.0
    """

    by_derivative: ClassVar[bool] = False
    baseline: Literal["critic", "leave-one-out"] | None = eqx.field(default="critic", static=True)
    discount: float = 1.0
    entropy: float = 0.0

    def __check_init__(self):
        if self.baseline not in ("critic", "leave-one-out", None):
            raise SpanaxError(f"PolicyGradient(baseline={self.baseline!r})", '"critic"', '"leave-one-out"', "None")
        if not 0 < self.discount <= 1:
            raise SpanaxError(f"PolicyGradient(discount={self.discount!r})", "a number in (0, 1]")
        if not self.entropy >= 0:
            raise SpanaxError(f"PolicyGradient(entropy={self.entropy!r})", "0, or a small positive number")

    def check(self, task, policy):
        if not hasattr(policy, "distribution"):
            raise SpanaxError(
                f"PolicyGradient needs the distribution that the policy draws from, and {type(policy).__name__} has none",
                "a method distribution(observation) that returns a numpyro distribution of actions",
                "control.MLPPolicy(env, key=key)",
            )
        if task.env.max_steps is None:
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
            )
        if self.baseline == "leave-one-out" and task.batch < 2:
            raise SpanaxError('baseline="leave-one-out" with batch=1 has no others', "batch=8, or more")
        Contract(task, "PolicyGradient").check_distribution(policy)

    def start(self, task, policy, key):
        return Critic.new(task.env, key) if self.baseline == "critic" else None

    def objective(self, task, policy, carry, key):
        """The mean over the batch; the critic that is returned has learned from it, and was not changed before."""
        # Replicates of one expectation are each other's baseline; with a critic, episodes are independent.
        one = expectation(
            lambda policy, critic, *, key: self._episode(task, policy, critic, key),
            samples=task.batch if self.baseline == "leave-one-out" else 1,
            has_aux=True,
        )
        if self.baseline == "leave-one-out":
            value, episodes = one(policy, carry, key=key)
        else:
            keys = jax.random.split(key, task.batch)
            values, episodes = jax.vmap(lambda key: one(policy, carry, key=key))(keys)
            value, episodes = jnp.mean(values), jax.tree.map(lambda x: x[:, 0], episodes)
        # The critic learns from numbers: its fit is not part of the policy's gradient.
        episodes = lax.stop_gradient(episodes)
        critic = (
            carry if carry is None else carry.fit(episodes.observations, self._togo(episodes.costs), episodes.alive)
        )
        # Every episode ends: by a rule, or by the number of steps.
        ended = jnp.asarray(task.batch, jnp.int32)
        return value, (critic, Seen(jnp.sum(episodes.alive, dtype=jnp.int32), ended, ended, jnp.sum(episodes.rewards)))

    def _episode(self, task: Task, policy: Any, critic: Critic | None, key: Key[Array, ""]) -> tuple[Array, _Episode]:
        env, limit = task.env, task.env.max_steps
        assert limit is not None
        first, going = jax.random.split(key)

        def one(state, now):
            t, key = now
            acting, moving = split_key(env, key)
            observation = env.observe(state)
            alive = jnp.logical_not(env.done(state))
            distribution = _where_alive(alive, policy.distribution(observation))
            # Part of the objective, and so of the gradient: see the class.
            weight = jnp.asarray(self.discount, float) ** t
            # In the units of the objective: per step of the episode, and discounted as what it stands for.
            expected = None if critic is None else weight * critic(observation, t / limit) / limit
            action = sample(acting, distribution, via=self._bridge(expected), name="action")
            arrived = step_env(env, state, action, moving)
            reward = env.reward(state, action, arrived)
            spent = jnp.asarray(task.cost(state, action, arrived, reward), float)
            # Recorded at its step, so that only draws before it are credited with it.
            cost(jnp.where(alive, weight * spent, 0) / limit)
            # An entropy is a function of the distribution, with a derivative of its own: it needs no draw.
            if self.entropy:
                cost(jnp.where(alive, -self.entropy * jnp.asarray(distribution.entropy(), float), 0) / limit)
            seen = _Episode(
                observation, jnp.where(alive, jnp.asarray(reward, float), 0), jnp.where(alive, spent, 0), alive
            )
            return where(alive, arrived, state), seen

        _, episode = lax.scan(one, env.reset(first), (jnp.arange(limit, dtype=float), jax.random.split(going, limit)))
        return jnp.zeros((), float), episode

    def _bridge(self, expected: Float[Array, ""] | None) -> ScoreFunction:
        if self.baseline == "leave-one-out":
            return ScoreFunction()
        return ScoreFunction(None if expected is None else lax.stop_gradient(expected))

    def _togo(self, costs: Float[Array, "batch steps"]) -> Float[Array, "batch steps"]:
        """The costs still to come from each step on, discounted from there."""

        # Backwards in time: the costs to go of the step before.
        def before(later, spent):
            togo = spent + self.discount * later
            return togo, togo

        _, togo = lax.scan(before, jnp.zeros(costs.shape[0], costs.dtype), costs.T, reverse=True)
        return togo.T


def _where_alive(alive: Bool[Array, ""], distribution: Any) -> Any:
    """The distribution, without a derivative after the end of the episode."""
    # Its draws there cost nothing, but would add the noise of their scores to the gradient, times the baseline.
    return jax.tree.map(
        lambda x: jnp.where(alive, x, lax.stop_gradient(x)) if eqx.is_inexact_array(x) else x, distribution
    )
