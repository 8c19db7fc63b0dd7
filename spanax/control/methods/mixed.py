"""Analytic and score-function gradients of the same draws, mixed by their variances, step by step.

Of an action that is drawn from a distribution with the parameters phi, the expected cost J of an episode has two derivatives:

- analytic: E[(dJ/da)(da/dphi)] with a = a(phi, noise), of the simulation (first order). Little noise, and wrong where a contact
  makes the cost jump;
- score function: E[(d log p(a; phi)/dphi) (costs to come)] (zeroth order). Right whatever the simulator does, and noisy.

Both are taken of every step of the same episodes, and each number of phi at each step gets its own mix of the two (per-step
inverse variances: Onoda et al. 2026, arXiv:2604.18161), unless their means, over many updates, are known to differ: then it gets
the score function alone (the bias of an analytic gradient at contacts, and the mix of two orders: Suh et al. 2022,
arXiv:2202.00817).

The score function is of the costs less a baseline, and less what the analytic gradient predicts of the draws' effect, whose
mean is
added back in closed form: a control variate that leaves it unbiased whatever the simulator's derivative is (Gu et al. 2017,
arXiv:1611.02247).
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Key

from ..._checks import check_whole
from ..._errors import SpanaxError
from .._training.contract import Contract
from .._training.critic import Critic
from .._training.method import Method, Seen, Task
from ..rollout import step_env
from ..wrappers import where
from ._mixing import Memory, Parts, predictions, swapped


class _Episode(NamedTuple):
    """One episode, from fresh reset; after its end costs and rewards are 0."""

    observations: Float[Array, "steps ..."]
    actions: Float[Array, steps * shape]
    costs: Float[Array, " steps"]
    rewards: Float[Array, " steps"]
    alive: Bool[Array, " steps"]


class _Carry(NamedTuple):
    memory: Memory
    critic: Critic


class Mixed(Method):
    """The analytic gradient and the score function, mixed by their variances at every step; by the latter alone where they
    disagree.

    An update plays `batch` episodes from fresh resets, of at most `horizon` steps, with actions drawn from the policy's
    `distribution(observation)`. The objective is the expected mean cost of a step (-reward, or `loss`). For every step, and every
    parameter of the distribution there (mean and standard deviation of each action), two estimates of the gradient come of the
    same draws: through the simulation, and by the score function. Their means and variances are remembered over updates. Where
    the means differ by more than 3 standard errors the score function is used, elsewhere the two are weighted by their inverse
    variances. The weights come of earlier updates, so that they do not depend on the draws they weigh: where both estimates are
    unbiased, so is the mix.

    Recommended where the simulator has contacts or other jumps, and its derivative may be wrong (`sx.trust` tells). Where it is
    right, `BPTT` costs half and follows no exploration noise.

    **Arguments:**

    - `horizon`: steps of an episode; None: `env.max_steps`;
    - `memory`: over how many updates, about, means and variances are remembered. More finds smaller biases, and forgets slower
      what was true of an earlier policy.

    **Raises:**

    - `SpanaxError` for a horizon or memory that is not a whole number. `train` raises it for a policy without a `distribution`
      that has reparametrised draws, a black box, a batch of 1, and an environment without `max_steps` where there is no horizon.

    Onoda et al. 2026 (arXiv:2604.18161); Suh et al. 2022 (arXiv:2202.00817).

    >>> from spanax import control
    >>> control.Mixed(horizon=30).memory
    100
    """

    batch: ClassVar[int] = 32
    horizon: int | None = eqx.field(default=None, static=True)
    memory: int = eqx.field(default=100, static=True)

    def __check_init__(self):
        if self.horizon is not None:
            check_whole("Mixed(horizon", self.horizon)
        check_whole("Mixed(memory", self.memory, 2)

    def check(self, task, policy):
        if task.env.black_box:
            raise SpanaxError(
                "Mixed needs the derivative of the environment, and this one is a black box",
                "via=control.PolicyGradient()",
            )
        if not hasattr(policy, "distribution"):
            raise SpanaxError(
                f"Mixed needs the distribution that the policy draws from, and {type(policy).__name__} has none",
                "a method distribution(observation) that returns a numpyro distribution of actions",
                "control.MLPPolicy(env, key=key)",
            )
        if task.env.max_steps is None and self.horizon is None:
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
                "Mixed(horizon=40)",
            )
        if task.batch % 2 or task.batch < 4:
            raise SpanaxError(
                f"Mixed plays pairs of episodes, two of them at least, and batch={task.batch}", "batch=16"
            )
        contract = Contract(task, "Mixed")
        contract.check_distribution(policy, reparametrised=True)
        contract.check_derivative("control.PolicyGradient()", "control.BPTT(), which such a draw crosses by its bridge")

    def start(self, task, policy, key):
        # Shapes only: how many parameters a distribution has is the policy's matter.
        state = jax.eval_shape(lambda: task.env.reset(jax.random.key(0)))
        leaves = jax.eval_shape(lambda s: _leaves(policy.distribution(task.env.observe(s)))[0], state)
        steps = self._steps(task)
        stacked = [jax.ShapeDtypeStruct((steps, *leaf.shape), leaf.dtype) for leaf in leaves]
        return _Carry(Memory.new(stacked, steps, math.prod(task.env.action_space.shape)), Critic.new(task.env, key))

    def objective(self, task, policy, carry, key):
        """The mean over the batch, whose derivative is the mix; the memory that is returned has learned from it."""
        fixed = jax.tree.map(lambda x: lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, policy)
        keys = _keys(key, task.batch)
        nothing = jnp.zeros((self._steps(task), *task.env.action_space.shape), float)

        def one(reset, key):
            # The derivative by a number added to each action: all that the action does, through later observations as well.
            slopes, episode = jax.grad(lambda moves: self._play(task, fixed, moves, reset, key), has_aux=True)(nothing)
            return episode, slopes

        episodes, slopes = jax.vmap(one)(*keys)
        togo = jnp.flip(jnp.cumsum(jnp.flip(episodes.costs, 1), axis=1), 1)
        parts = self._parts(fixed, carry, episodes, slopes, togo, keys[1])
        value = jnp.mean(episodes.costs)
        surrogate = self._paired(policy, episodes, lax.stop_gradient(carry.memory.mixed(parts)))
        seen = Seen(
            jnp.sum(episodes.alive, dtype=jnp.int32),
            jnp.asarray(task.batch, jnp.int32),
            jnp.asarray(task.batch, jnp.int32),
            jnp.sum(episodes.rewards),
        )
        after = _Carry(
            carry.memory.after(parts, self.memory), carry.critic.fit(episodes.observations, togo, episodes.alive)
        )
        # The value of the objective, and the derivative of the pairing: that of its estimates by the policy.
        return lax.stop_gradient(value - surrogate) + surrogate, (lax.stop_gradient(after), seen)

    def _steps(self, task: Task) -> int:
        limit = self.horizon or task.env.max_steps
        assert limit is not None
        return min(limit, task.env.max_steps or limit)

    def _play(
        self, task: Task, policy: Any, moves: Array, reset: Key[Array, ""], key: Key[Array, ""]
    ) -> tuple[Float[Array, ""], _Episode]:
        """One episode, with `moves` added to its actions: the mean cost, and its steps."""
        env, steps = task.env, self._steps(task)
        draws, others = _streams(key, steps)

        def one(state, now):
            move, draw, other = now
            observation, alive = env.observe(state), jnp.logical_not(env.done(state))
            action = policy.distribution(observation).rsample(draw)
            action = action + move.astype(action.dtype)
            arrived = step_env(env, state, action, other)
            reward = env.reward(state, action, arrived)
            # Nothing that happens after the end counts, and nothing crosses it backwards.
            spent = jnp.where(alive, jnp.asarray(task.cost(state, action, arrived, reward), float), 0)
            earned = jnp.where(alive, jnp.asarray(reward, float), 0)
            return where(alive, arrived, state), _Episode(observation, action, spent, earned, alive)

        _, episode = lax.scan(one, env.reset(reset), (moves, draws, others))
        return jnp.mean(episode.costs), lax.stop_gradient(episode)

    def _parts(
        self, policy: Any, carry: _Carry, episodes: _Episode, slopes: Array, togo: Array, keys: Key[Array, " batch"]
    ) -> Parts:
        """Both estimates of every episode, step and parameter of the distribution."""
        batch, steps = togo.shape
        draws = jax.vmap(lambda key: _streams(key, steps)[0])(keys)
        noise = episodes.actions - _over(policy, episodes.observations, lambda d: d.mean)
        noise = jnp.where(_like(episodes.alive, noise), noise, 0).reshape(batch, steps, -1).astype(togo.dtype)
        # What the other of the pair knows does not depend on this one's draws. A slope that is not a number guides nobody.
        guide = swapped(jnp.where(jnp.isfinite(slopes), slopes, 0).reshape(noise.shape))
        later, earlier = predictions(guide, noise)
        passed = jnp.linspace(0.0, 1.0, steps, endpoint=False)
        expected = jax.vmap(jax.vmap(carry.critic), (0, None))(episodes.observations, passed)
        rest = jnp.where(episodes.alive, togo - expected, 0) / steps
        residual, share = carry.memory.residuals(rest, later, earlier, episodes.alive)
        own = (share[None] * guide).reshape(slopes.shape)

        def at(observation, action, draw, slope, residual, own, alive):
            leaves, build = _leaves(policy.distribution(observation))
            analytic = jax.vjp(lambda x: build(x).rsample(draw), leaves)[1](slope.astype(action.dtype))[0]
            score = jax.grad(lambda x: jnp.sum(build(x).log_prob(action)))(leaves)
            mean = jax.vjp(lambda x: build(x).mean, leaves)[1](own.astype(action.dtype))[0]
            values = [jnp.where(alive, s * residual.astype(s.dtype) + m, 0) for s, m in zip(score, mean, strict=True)]
            return analytic, values

        analytic, score = jax.vmap(jax.vmap(at))(
            episodes.observations, episodes.actions, draws, slopes, residual, own, episodes.alive
        )
        return Parts(analytic, score, rest, later, earlier)

    def _paired(self, policy: Any, episodes: _Episode, mixed: list[Array]) -> Float[Array, ""]:
        """The mean over episodes of the sum of the distributions' parameters times their gradients."""
        leaves = _over(policy, episodes.observations, lambda d: _leaves(d)[0])
        products = [jnp.sum(a * b) for a, b in zip(leaves, mixed, strict=True)]
        return jnp.asarray(sum(products), float) / episodes.costs.shape[0]


def _keys(key: Key[Array, ""], batch: int) -> tuple[Key[Array, " batch"], Key[Array, " batch"]]:
    """Of the resets, the same for both of a pair, and of all else that is drawn."""
    first, second = jax.random.split(key)
    return jnp.repeat(jax.random.split(first, batch // 2), 2), jax.random.split(second, batch)


def _streams(key: Key[Array, ""], steps: int) -> tuple[Array, Array]:
    """Keys of the draws of actions, and of the environment's steps."""
    draws, others = jax.random.split(key)
    return jax.random.split(draws, steps), jax.random.split(others, steps)


def _leaves(distribution: Any) -> tuple[list[Array], Any]:
    """The distribution's floating-point parameters, and how it is built of them."""
    arrays, static = eqx.partition(distribution, eqx.is_inexact_array)
    leaves, tree = jax.tree.flatten(arrays)
    return leaves, lambda leaves: eqx.combine(jax.tree.unflatten(tree, leaves), static)


def _over(policy: Any, observations: Array, of: Any) -> Any:
    """Something of the distribution at every observation of every episode."""
    return jax.vmap(jax.vmap(lambda observation: of(policy.distribution(observation))))(observations)


def _like(flags: Bool[Array, "batch steps"], x: Array) -> Array:
    return flags.reshape(*flags.shape, *(1,) * (x.ndim - 2))
