"""Backpropagation through time: the derivative of the simulation, window by window (see `_training/windows.py`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp

from ..._checks import check_whole
from ..._errors import SpanaxError
from .._training.contract import Contract
from .._training.method import Method, Task
from .._training.windows import Windows


def _rate(update):
    # Twice as high, and one cart-pole in ten runs away: its gradients through 40 steps explode.
    return 5e-3 / (1 + jnp.asarray(update, float) / 200)


class BPTT(Method):
    """The derivative of the simulation, by backpropagation through time.

    An update minimises the mean cost of a step (-reward, or `loss`) over `horizon` steps of `batch` episodes. A window ends
    where its episode does. The derivative crosses whatever environment and policy bridge. A policy that draws (it has a
    parameter `key`) is differentiated through `expectation`: unbiased where the bridges of its draws are.

    **Arguments:**

    - `horizon`: steps of a window; None, without truncation: `env.max_steps`.
    - `truncate`: False: every update starts from fresh resets, and its gradient is the derivative of the mean cost of the first
      `horizon` steps. A policy cannot get stuck where it leads itself, and learns nothing of states that are far from all resets.
      True: an episode of `env.max_steps` steps is cut into windows of `horizon`, one update each: the next window continues
      where the last one stopped, and no derivative goes back across the cut (truncated backpropagation: biased, since it does
      not see what an action does later than its window). So that not all of a batch are in the same part of their episodes, the
      first episodes are of different lengths; those that are cut short are not among the returns.
    - `via`: bridges for draws of the policy or the environment by name, as in `expectation`:
      `via={"action": sx.GumbelSoftmax(0.5)}` replaces the draw's own.

    **Raises:**

    - `SpanaxError` for a horizon that is not a positive whole number. `train` raises it for an environment that is a black
      box or, where it is needed, has no number of steps.

    By default `train` makes 500 updates, with Adam at the rate 5e-3 / (1 + t / 200) at update t, after clipping to a norm of 1.

    Truncation: Williams and Peng 1990. What a jump in the episode's course costs is not seen: Suh et al. 2022
    (arXiv:2202.00817).

    >>> from spanax import control
    >>> control.BPTT(horizon=20).truncate
    False
    """

    updates: ClassVar[int] = 500
    batch: ClassVar[int] = 32
    horizon: int | None = eqx.field(default=40, static=True)
    truncate: bool = eqx.field(default=False, static=True)
    via: Mapping[str, Any] | None = None

    def __check_init__(self):
        if self.horizon is None and not self.truncate:
            return
        check_whole("BPTT(horizon", self.horizon)

    def optimizer(self, updates, policy):
        import optax

        # By the update's number alone, whatever their sum: a training that is continued is the same as a longer one.
        return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(_rate))

    def check(self, task, policy):
        if task.env.black_box:
            raise SpanaxError(
                "BPTT needs the derivative of the environment, and this one is a black box",
                "via=control.PolicyGradient()",
                "via=control.LearnedModel(): the derivative of a model that is fitted to a few episodes",
            )
        if task.env.max_steps is None and (self.truncate or self.horizon is None):
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
                "BPTT(horizon=40): the first 40 steps only",
            )
        Contract(task, "BPTT").check_action(policy)

    def start(self, task, policy, key):
        return self._windows(task).first(key)

    def objective(self, task, policy, carry, key):
        value, played = self._windows(task).play(policy, carry, key)
        return value, (played.episodes, played.seen)

    def _windows(self, task: Task) -> Windows:
        horizon = self.horizon or task.env.max_steps
        assert horizon is not None
        return Windows(task, horizon, self.truncate, self.via)
