"""A learned model: fitted to episodes of a black box, and differentiated in its place.

Dyna (Sutton 1991), with backpropagation through time in the model (Deisenroth and Rasmussen 2011; Heess et al. 2015,
arXiv:1510.09142) and an ensemble of networks (Kurutach et al. 2018, arXiv:1802.10592).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Int, Key

from ..._checks import check_whole
from ..._errors import SpanaxError
from .._training.contract import Contract, refuse_resetting
from .._training.method import Carry, Method, Seen, Task
from ..env import Env
from ._learned_model.collecting import collect
from ._learned_model.ensemble import Ensemble
from ._learned_model.imagined import Imagined
from ._learned_model.judging import metrics_of, verdict_on
from ._learned_model.transitions import Transitions, sizes_of
from .bptt import BPTT

_LEAST = 50  # updates between two episodes, if the user does not say how many
_WHOLE = {"episodes": 1, "initial": 1, "fits": 1, "members": 1, "width": 1, "depth": 1}


class _Carry(NamedTuple):
    """`held_out`, `new`: R^2 of the last fit at steps held out, and of the fit before at the episode that came then."""

    update: Int[Array, ""]
    data: Transitions
    model: Ensemble
    inner: Carry
    held_out: Float[Array, " o+1"]
    new: Float[Array, " o+1"]


class LearnedModel(Method):
    """A model of the environment is learned from a few episodes, and the policy trained through it: for black boxes.

    Before the first update `initial` episodes are played by random actions, later one by the policy every `every` updates,
    until `episodes` were played. After each, an ensemble of networks is fitted to all steps so far: it predicts the change of
    the observation, the reward, and whether a rule ends the episode. The updates are those of `via` in the model, as in any
    environment in JAX: imagined episodes start at observations that were seen, and each follows one member of the ensemble,
    drawn at random.

    The policy's gradient is that of the model, and biased as the model is wrong; a policy that exploits an error is corrected
    by the next real episode. `result.returns`, `env_steps` and `episodes` are real. `result.metrics` says how well the model
    predicts: R^2 of the change of the observation (`model_r2`: the mean of its parts; `model_r2_worst`), of the reward
    (`model_r2_reward`) and of the end (`model_r2_end`), at every fifth step, which is not fitted to; `model_r2_new`: at the
    last episode, before it was fitted to. A training whose model predicts nothing (R^2 below 0.1) raises at its end, one below
    0.9 warns.

    It learns from what is observed, so an observation must tell the state; of a noisy environment it learns the mean. A policy
    that draws its actions draws them in real episodes too.

    **Arguments:**

    - `via`: how the policy is trained in the model: `BPTT(horizon=40, truncate=False)` by default; `SHAC`, `Choice`, ...;
    - `episodes`: real ones, in all; `initial`: of these, how many are random;
    - `every`: updates between two real episodes. None: those of `via` (at least 50 an episode), spread over them;
    - `reward`: `reward(observation, action, next_observation) -> scalar`, a function in JAX, if it is known; None: it is learned.
      With `train(loss=...)` no reward is needed: the loss gets states of the model, with an `.observation`;
    - `fits`: steps of Adam in each fit, of batches of 256; `members`, `width`, `depth`: of the ensemble;
    - `max_transitions`: how many steps are kept, the newest. None: all.

    **Raises:**

    - `SpanaxError` for arguments that are none of these. `train` raises it for an environment that has no number of steps, and
      for what `via` refuses; and `TrainingError` for a model that predicts nothing.

    >>> import jax
    >>> from spanax import control
    >>> env, key = control.from_gymnasium("Pendulum-v1", n=1), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=16)
    >>> via = control.LearnedModel(episodes=2, every=5, fits=300, width=32)
    >>> result = control.train(env, policy, via=via, key=key, progress=False)
    >>> result.episodes, result.env_steps, bool(result.metrics["model_r2_worst"][-1] > 0.9)
    (2, 400, True)
    """

    via: Method = BPTT(horizon=40, truncate=False)
    episodes: int = eqx.field(default=20, static=True)
    initial: int = eqx.field(default=1, static=True)
    every: int | None = eqx.field(default=None, static=True)
    reward: Callable[..., Any] | None = eqx.field(default=None, static=True)
    fits: int = eqx.field(default=600, static=True)
    members: int = eqx.field(default=5, static=True)
    width: int = eqx.field(default=64, static=True)
    depth: int = eqx.field(default=2, static=True)
    max_transitions: int | None = eqx.field(default=None, static=True)

    # Real episodes come one by one: the batch is imagined.
    plays = False

    def __check_init__(self):
        for name, least in _WHOLE.items():
            check_whole(f"LearnedModel({name}", getattr(self, name), least)
        for name in ("every", "max_transitions"):
            if getattr(self, name) is not None:
                check_whole(f"LearnedModel({name}", getattr(self, name), 1, "an integer, 1 or more", "None")
        if self.initial > self.episodes:
            raise SpanaxError(
                f"LearnedModel(episodes={self.episodes}, initial={self.initial})", "episodes, of which some are initial"
            )
        if not isinstance(self.via, Method) or isinstance(self.via, LearnedModel):
            raise SpanaxError(f"LearnedModel(via={self.via!r})", "control.BPTT(horizon=40, truncate=False)")
        if self.reward is not None and not callable(self.reward):
            raise SpanaxError(
                f"LearnedModel(reward={self.reward!r})", "reward(observation, action, next_observation) -> scalar"
            )

    @property
    def by_derivative(self):
        return self.via.by_derivative

    @property
    def batch(self):
        return self.via.batch

    @property
    def updates(self):
        return self._rounds * self._every

    @property
    def _rounds(self) -> int:
        """Times that episodes are collected."""
        return self.episodes - self.initial + 1

    @property
    def _every(self) -> int:
        return self.every or max(_LEAST, -(-self.via.updates // self._rounds))

    def optimizer(self, updates, policy):
        return self.via.optimizer(updates, policy)

    def check(self, task, policy):
        env = task.env
        if env.max_steps is None:
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode", "control.TimeLimit(env, 200)"
            )
        # A longer episode would write some rows twice in one scatter, whose order nothing determines.
        if self._room(env) < env.max_steps:
            raise SpanaxError(
                f"LearnedModel(max_transitions={self.max_transitions}), and an episode has {env.max_steps} steps",
                f"max_transitions={env.max_steps}, or more",
                "None: all are kept",
            )
        refuse_resetting(env, "LearnedModel")
        Contract(task, "LearnedModel").check_action(policy)
        # Of the same shapes as any later one.
        self.via.check(self._task(task, Transitions.empty(env, 1), self._new(env, jax.random.key(0))), policy)

    def start(self, task, policy, key):
        fitting, learning = jax.random.split(key)
        data, model = Transitions.empty(task.env, self._room(task.env)), self._new(task.env, fitting)
        inner = self.via.start(self._task(task, data, model), policy, learning)
        unknown = jnp.full((sizes_of(task.env)[0] + 2,), jnp.nan)
        return _Carry(jnp.zeros((), jnp.int32), data, model, inner, unknown, unknown)

    def prepare(self, task, policy, carry, key):
        def collects():
            return self._collect(task, policy, carry, key)

        due = (carry.update % self._every == 0) & (carry.update // self._every < self._rounds)
        return lax.cond(due, collects, lambda: (carry, Seen.nothing()))

    def objective(self, task, policy, carry, key):
        inside = self._task(task, carry.data, carry.model)
        value, (inner, _) = self.via.objective(inside, policy, carry.inner, key)
        # Imagined steps are not the environment's.
        return value, (carry._replace(update=carry.update + 1, inner=inner), Seen.nothing())

    def metrics(self, carry):
        return metrics_of(carry.held_out, carry.new, self.reward is not None)

    def verdict(self, task, metrics):
        # A loss of the user's takes the place of the reward, which may then be anything.
        return verdict_on(metrics, self.reward is None and task.loss is None)

    def _collect(self, task: Task, policy: Any, carry: _Carry, key: Key[Array, ""]) -> tuple[_Carry, Seen]:
        """One episode, at first the initial ones, and a fit to all."""
        playing, fitting = jax.random.split(key)
        first = carry.update == 0

        def one(i, standing):
            data, seen, _ = standing
            got = collect(task.env, policy, first, jax.random.fold_in(playing, i))
            # By the model that did not know it.
            new = carry.model.r2(got.rows, got.alive)
            return data.add(got.rows, got.alive), jax.tree.map(jnp.add, seen, got.seen), new

        count = jnp.where(first, self.initial, 1)
        data, seen, new = lax.fori_loop(0, count, one, (carry.data, Seen.nothing(), carry.new))
        model = carry.model.fit(data, self.fits, fitting)
        held_out = model.r2(data.rows, data.is_held_out())
        # Before the first fit there is no model that could have predicted anything.
        new = jnp.where(first, jnp.nan, new)
        return carry._replace(data=data, model=model, held_out=held_out, new=new), seen

    def _task(self, task: Task, data: Transitions, model: Ensemble) -> Task:
        return Task(Imagined(task.env, model, data, self.reward), task.batch, task.loss, self.via.by_derivative)

    def _new(self, env: Env, key: Key[Array, ""]) -> Ensemble:
        return Ensemble.new(sizes_of(env), self.members, self.width, self.depth, key)

    def _room(self, env: Env) -> int:
        assert env.max_steps is not None
        return self.max_transitions or self.episodes * env.max_steps
