"""Short-horizon actor-critic: backpropagation through a window that ends in a learned value.

Xu et al. 2022, arXiv:2204.07137. For a window of h steps from s_0 the actor minimises

    (1/h) (sum_{t<h} discount^t c_t + discount^h V(s_h)),

differentiated through the simulation and through V; the critic V is fitted to TD(lambda) targets of the same window.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
from jax import lax

from ..._checks import check_positive, check_whole, is_number
from ..._errors import SpanaxError
from .._training.contract import Contract, refuse_resetting
from .._training.method import Method, Task
from .._training.state_value import Fitting, StateValue
from .._training.windows import Episode, Windows


class _Carry(NamedTuple):
    episodes: Episode
    value: StateValue


class SHAC(Method):
    """Short-horizon actor-critic: backpropagation through windows of `horizon` steps, each ended by a learned value.

    Episodes are cut into windows, one update each, as by `BPTT`. Unlike there an update sees beyond its window: a network (the
    critic) has learned what is still to come from the state where the window stops, and the derivative of its value by that
    state goes back into the window. So long episodes need no long derivative.

    The objective is the mean over `batch` windows of (sum_t discount^t c_t + discount^h V) / h, with c_t a step's cost (-reward,
    or `loss`) and V the value of the state after the window's h steps. Where a rule of the environment ends the episode,
    nothing comes after; where only the time is over (`env.max_steps`, a `TimeLimit`), V counts as anywhere else: the time limit
    is not part of the problem that is solved. So episodes may be given up early: each has a random number of windows, log-uniform
    from 1 to all of them, so that starts are met often; those that are cut short are not among the returns. After each update
    the critic takes `iterations` steps on its squared error to TD(lambda) targets.

    Biased: V is learned, so its derivative is that of an approximation, which lags behind the policy; the discount makes the
    objective another one than the return; and a window whose gradient is longer than 10 times the median of the batch's (the
    motion is chaotic) is shortened to that. Otherwise the derivative of a window is that of `BPTT`: a policy or environment that
    draws goes through `expectation`, and no jump is seen.

    **Arguments:**

    - `horizon`: steps of a window;
    - `discount`: of a cost, each step;
    - `trace`: lambda, between 0 (the critic believes its own value of the next state) and 1 (the costs of the whole window);
    - `rate`: the critic's step (Adam); the policy's is that of `train(optimizer=...)`;
    - `iterations`: the critic's steps after each update;
    - `kept`: how much of the target network, whose value is used, is kept after each update; the rest is the critic's;
    - `via`: bridges for draws by name, as in `BPTT`.

    **Raises:**

    - `SpanaxError` for numbers out of range. `train` raises it for an environment that is a black box or has no number of steps.

    An early critic has learned the value of an early policy, which may keep the policy where it is: on the pendulum most networks
    of tanh end up spinning, those of `jax.nn.swish` do not.

    By default `train` makes 500 updates with 32 windows at once, by Adam with a rate that falls from 1e-2 to 5e-4.

    >>> import jax
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.MLPPolicy(env, key=key, width=8, depth=1)
    >>> result = control.train(env, policy, via=control.SHAC(horizon=4), key=key, updates=3, batch=2, progress=False)
    >>> result.env_steps
    24
    """

    updates: ClassVar[int] = 500
    batch: ClassVar[int] = 32
    horizon: int = eqx.field(default=32, static=True)
    discount: float = 0.99
    trace: float = 0.95
    rate: float = 1e-3
    iterations: int = eqx.field(default=16, static=True)
    kept: float = 0.2
    via: Mapping[str, Any] | None = None

    def __check_init__(self):
        check_whole("SHAC(horizon", self.horizon)
        check_whole("SHAC(iterations", self.iterations)
        check_positive("SHAC(rate", self.rate)
        # A discount of 1 would have the critic add up costs without an end.
        for name, upper in (("discount", "below 1"), ("trace", "1 or less"), ("kept", "below 1")):
            x = getattr(self, name)
            if not (is_number(x) and x >= 0 and (x < 1 or (x == 1 and name == "trace"))):
                raise SpanaxError(f"SHAC({name}={x!r})", f"a number from 0 on, {upper}")

    def optimizer(self, updates, policy):
        import optax

        return optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.adam(optax.cosine_decay_schedule(1e-2, updates, alpha=0.05), 0.7, 0.95),
        )

    def check(self, task, policy):
        if task.env.black_box:
            raise SpanaxError(
                "SHAC needs the derivative of the environment, and this one is a black box",
                "via=control.LearnedModel(via=control.SHAC()): the derivative of a model that is fitted to it",
                "via=control.PolicyGradient()",
            )
        if task.env.max_steps is None:
            raise SpanaxError(
                "the environment has no number of steps (max_steps) of an episode",
                "control.TimeLimit(env, 200)",
            )
        refuse_resetting(task.env, "SHAC")
        Contract(task, "SHAC").check_action(policy)

    def start(self, task, policy, key):
        begin, learn = jax.random.split(key)
        return _Carry(self._windows(task, None).first(begin), StateValue.new(task.env, self._fitting(), learn))

    def objective(self, task, policy, carry, key):
        value, played = self._windows(task, lax.stop_gradient(carry.value)).play(policy, carry.episodes, key)
        # The critic learns from numbers, after the gradient, whose value it was not part of.
        learned = carry.value.fit(played.steps, self._fitting())
        return value, (_Carry(played.episodes, learned), played.seen)

    def _windows(self, task: Task, value: StateValue | None) -> Windows:
        return Windows(task, self.horizon, True, self.via, self.discount, value, restarts=True, outliers=10.0)

    def _fitting(self) -> Fitting:
        return Fitting(self.discount, self.trace, self.rate, self.iterations, self.kept)
