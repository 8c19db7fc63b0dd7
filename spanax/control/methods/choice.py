"""A choice among heads, learned together with their motion: policy iteration over plans that hold one head for a while.

An analytic gradient sees no jump, and the best motion jumps where two ways are equally good. So what every head costs is found
out by trying it, and the gate is trained by the expectation over its choice, which a bridge differentiates.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ..._checks import check_positive, check_whole, is_number
from ..._errors import SpanaxError
from ...bridges import Drawing, Enumerate
from ...stochastic.expectation import expectation
from ...stochastic.sampling import sample
from .._training.contract import Contract
from .._training.method import Method, Seen, Task
from ..env import State, step_env
from ..policies.choice import ChoicePolicy
from ..wrappers import where

_STRIDE = 16  # more than the steps between two looks of a chain
_MINIBATCH = 512  # states of one update of the gate
_RATE = 1e-2  # of Adam, which falls to a twentieth
_WHOLE = {
    "motion": 0,
    "choice": 1,
    "horizon": 1,
    "window": 1,
    "holds": 1,
    "longest": 1,
    "chain": 1,
    "rows": 1,
    "fits": 1,
}


class _Memory(NamedTuple):
    """Where the chains of looks are, and what the last looks found out.

    - `update`: the number of the next one;
    - `states`: one for each chain; `ages`: its steps so far; `over`: whether its episode has ended;
    - `observations`, `costs`: for each look of the last `rows` and each chain, what was seen and what each head costs there, less
      the least of them.
    """

    update: Int[Array, ""]
    states: State
    ages: Int[Array, " batch"]
    over: Bool[Array, " batch"]
    observations: Float[Array, "rows batch ..."]
    costs: Float[Array, "rows batch heads"]


class Choice(Method):
    """The choice among the heads of a `ChoicePolicy` by a bridge, their motion by backpropagation through time.

    The first `motion` updates train the networks among the heads: each minimises the mean cost of a step over the first `window`
    steps of `batch` episodes, with that network alone. All later ones train the gate. Every `fits`-th of these looks at `batch`
    states, which chains of steps meet on their way: a chain begins at a reset, and goes on for `chain` looks with up to 15 steps
    between two, by the policy or, with the probability `explore`, a random head first. At each state every head is held for
    some steps, and then the policy followed, `horizon` steps in all; of `holds` such plans, whose lengths are spread evenly on a
    logarithmic scale from 1 to `longest`, the best is what the head costs. What was found out is kept for `rows` looks.

    The gate minimises E[cost of the choice] - w H over 512 of the states kept, in units of the mean difference between the best
    and the worst head, with H the entropy of the choice; w goes from `entropy[0]` to `entropy[1]`. That is policy iteration and
    not the gradient of an episode's return: the policy that acts later is held fixed, and what a head costs was found out
    under slightly earlier policies. A plan that is interrupted by the gate for a better one costs no more than the plan
    (Sutton, Precup and Singh 1999, theorem 2). Where the environment draws, the best of several plans is found in
    hindsight, and too good: `holds` is 1 there.

    **Arguments:**

    - `motion`: updates of the networks, of which discrete actions have none; `choice`: updates of the gate;
    - `horizon`: steps of a plan (no more than `env.max_steps`); `window`: steps that the motion's gradient goes back through;
    - `holds`, `longest`, `chain`, `explore`, `rows`, `fits`, `entropy`: see above;
    - `via`: the bridge of the choice, a draw named "choice". None: `Enumerate()`, which is exact and costs nothing, since what
      each head costs is known.

    **Raises:**

    - `SpanaxError` for arguments that are none of these. `train` raises it for policies of other classes and black boxes,
      whose states cannot be tried twice.

    Plans: Sutton, Precup and Singh 1999 (Artif. Intell. 112, 181). Policy iteration by rollouts: Lagoudakis and Parr 2003.

    >>> import jax
    >>> from spanax import control
    >>> env, key = control.Pendulum(), jax.random.key(0)
    >>> policy = control.ChoicePolicy(env, heads=3, key=key, width=4)
    >>> via = control.Choice(motion=2, choice=4, horizon=5, window=5)
    >>> result = control.train(env, policy, via=via, key=key, batch=2, progress=False)
    >>> len(result.objectives), result.policy(jax.numpy.ones(3)).shape
    (6, (1,))
    """

    batch: ClassVar[int] = 32
    motion: int = eqx.field(default=500, static=True)
    choice: int = eqx.field(default=4000, static=True)
    horizon: int = eqx.field(default=60, static=True)
    window: int = eqx.field(default=40, static=True)
    holds: int = eqx.field(default=4, static=True)
    longest: int = eqx.field(default=20, static=True)
    chain: int = eqx.field(default=6, static=True)
    explore: float = 0.2
    rows: int = eqx.field(default=512, static=True)
    fits: int = eqx.field(default=4, static=True)
    entropy: tuple[float, float] = (1.0, 0.03)
    via: Any = None

    @property
    def updates(self) -> int:
        return self.motion + self.choice

    def __check_init__(self):
        for name, least in _WHOLE.items():
            check_whole(f"Choice({name}", getattr(self, name), least)
        if not (is_number(self.explore) and 0 <= self.explore <= 1):
            raise SpanaxError(f"Choice(explore={self.explore!r})", "a probability")
        if not (isinstance(self.entropy, tuple) and len(self.entropy) == 2):
            raise SpanaxError(f"Choice(entropy={self.entropy!r})", "two positive numbers: at the beginning, at the end")
        for weight in self.entropy:
            check_positive("Choice(entropy", weight)
        if not (self.via is None or isinstance(self.via, Drawing)):
            raise SpanaxError(
                f"Choice(via={self.via!r})", "a bridge for draws: sx.Enumerate(), sx.ScoreFunction()", "None"
            )

    def optimizer(self, updates, policy):
        import optax

        # The gate's rate falls with its own updates: it begins when the motion has ended.
        motion = min(self._motion(policy), updates)

        def falling(updates):
            return optax.cosine_decay_schedule(_RATE, max(updates, 1), 0.05)

        def adam(rate):
            return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))

        each: dict[Any, Any] = {
            "networks": _between(0, motion, adam(falling(motion))),
            "gate": _between(motion, updates, adam(falling(updates - motion))),
        }
        return optax.multi_transform(each, _part_of)

    def _motion(self, policy: Any) -> int:
        """The updates of the networks, if there are any; a policy of another class is refused later, in words."""
        return self.motion if getattr(policy, "networks", ()) else 0

    def check(self, task, policy):
        if not isinstance(policy, ChoicePolicy):
            raise SpanaxError(
                f"Choice trains a policy of several heads, and {type(policy).__name__} is not one",
                "control.ChoicePolicy(env, heads=3, key=key)",
            )
        if task.env.black_box:
            raise SpanaxError(
                "Choice tries every head from one and the same state, and this environment is a black box",
                "via=control.PolicyGradient()",
            )
        contract = Contract(task, "Choice")
        contract.check_action(policy)
        # The gate is trained by numbers alone.
        if self._motion(policy):
            contract.check_derivative(
                "pathwise noise: jax.random.normal", "Choice(motion=0)", "control.BPTT(), which crosses the draw"
            )

    def start(self, task, policy, key):
        states = self._resets(task, key)
        observations = jax.vmap(task.env.observe)(states)
        shape = (self.rows, task.batch)
        return _Memory(
            jnp.zeros((), jnp.int32),
            states,
            jnp.zeros((task.batch,), int),
            jax.vmap(task.env.done)(states),
            jnp.zeros((self.rows, *observations.shape), observations.dtype),
            jnp.zeros((*shape, policy.heads), float),
        )

    def objective(self, task, policy: Any, carry, key):
        motion = self._motion(policy)
        looks = (carry.update >= motion) & ((carry.update - motion) % self.fits == 0)
        looking, fitting = jax.random.split(key)
        # What is found out is a number: the gate's gradient is that of its choice alone.
        still = jax.tree.map(lambda x: lax.stop_gradient(x) if eqx.is_array(x) else x, policy)
        found = lax.cond(looks, lambda m: self._look(task, still, m, motion, looking), lambda m: m, carry)

        def gate():
            return self._gate_cost(task, policy, found, motion, fitting)

        def moving():
            return self._motion_cost(task, policy, fitting)

        # Without networks there is no motion to train, and none to compile.
        value = lax.cond(carry.update < motion, moving, gate) if motion else gate()
        plans = task.batch * (self._holds(task) * policy.heads * self._horizon(task) + _STRIDE)
        tried = jnp.where(looks, plans, 0)
        moved = jnp.where(carry.update < motion, len(policy.networks) * task.batch * self.window, tried)
        moved = moved.astype(jnp.int32)
        zero = jnp.zeros((), jnp.int32)
        return value, (found._replace(update=carry.update + 1), Seen(moved, zero, zero, jnp.zeros((), float)))

    def _motion_cost(self, task: Task, policy: ChoicePolicy, key: Key[Array, ""]) -> Float[Array, ""]:
        """The mean cost of a step by each network alone, summed over the networks."""
        first, moving = jax.random.split(key)
        states, keys = self._resets(task, first), jax.random.split(moving, task.batch)

        def alone(head):
            def act(observation, t):
                return policy.head(observation, head)

            return jnp.mean(jax.vmap(lambda s, k: _cost(task, act, s, self.window, k))(states, keys))

        return sum(map(alone, range(len(policy.networks))), jnp.zeros((), float)) / self.window

    def _gate_cost(
        self, task: Task, policy: ChoicePolicy, memory: _Memory, motion: int, key: Key[Array, ""]
    ) -> Float[Array, ""]:
        """The expected cost of the choice less the weighted entropy, in units of the mean difference between heads."""
        # Lazily: it takes as long to import as the rest of the library.
        import numpyro.distributions as dist

        rows_key, draws_key = jax.random.split(key)
        # Only rows that have been written; before the first look nobody asks.
        looks = jnp.minimum((memory.update - motion) // self.fits + 1, self.rows)
        rows = jax.random.randint(rows_key, (_MINIBATCH,), 0, jnp.maximum(looks, 1) * task.batch)
        costs = memory.costs.reshape(-1, policy.heads)
        observations = memory.observations.reshape(-1, *memory.observations.shape[2:])[rows]
        unit = jnp.sum(jnp.max(costs, 1)) / jnp.asarray(jnp.maximum(looks * task.batch, 1), float) + 1e-12
        bridge = Enumerate() if self.via is None else self.via

        def cost(policy, observation, costs, *, key):
            choice = sample(key, dist.Categorical(logits=policy.logits(observation)), via=bridge, name="choice")
            # Some bridges draw one-hot weights.
            return costs[choice] if choice.shape == () else jnp.dot(choice, costs)

        def of(o, c, k):
            return expectation(cost)(policy, o, c, key=k)

        expected = jax.vmap(of)(observations, costs[rows] / unit, jax.random.split(draws_key, _MINIBATCH))
        log = jax.nn.log_softmax(jax.vmap(policy.logits)(observations))
        first, last = self.entropy
        passed = jnp.clip(jnp.asarray(memory.update - motion, float) / self.choice, 0.0, 1.0)
        return jnp.mean(expected) + first * (last / first) ** passed * jnp.mean(jnp.sum(jnp.exp(log) * log, -1))

    def _look(self, task: Task, policy: ChoicePolicy, memory: _Memory, motion: int, key: Key[Array, ""]) -> _Memory:
        """What each head costs at the states where the chains are; and the chains moved on."""
        env, n = task.env, task.batch
        fresh, lengths, noise, drawing, exploring, random, stride = jax.random.split(key, 7)
        look, limit = (memory.update - motion) // self.fits, env.max_steps or math.inf
        # A few chains begin at each look, so that a batch has states of all ages.
        begins = memory.over | ((look + jnp.arange(n, dtype=jnp.int32)) % self.chain == 0)

        def begin(begins, reset, state):
            return where(begins, reset, state)

        states = jax.vmap(begin)(begins, self._resets(task, fresh), memory.states)
        holds, keys = self._lengths(task, lengths), jax.random.split(noise, n)
        costs = jax.vmap(lambda state, hold, key: self._costs(task, policy, state, hold, key))(states, holds, keys)
        observations = jax.vmap(env.observe)(states)
        row = look % self.rows

        drawn = jax.random.categorical(drawing, jax.vmap(policy.logits)(observations))
        other = jax.random.randint(random, (n,), 0, policy.heads)
        heads = jnp.where(jax.random.uniform(exploring, (n,)) < self.explore, other, drawn)
        strides = jax.random.randint(stride, (n,), 1, int(max(2, min(_STRIDE, limit))))
        # The noise of the motion is not that of the plans, of which the best was chosen.
        keys = jax.vmap(lambda key: jax.random.fold_in(key, 1))(keys)

        def move(*moved):
            return self._moved(task, policy, *moved)

        states = jax.vmap(move)(states, heads, holds[:, 0], strides, keys)
        ages = jnp.where(begins, 0, memory.ages) + strides
        return _Memory(
            memory.update,
            states,
            ages,
            jax.vmap(env.done)(states) | (ages >= limit),
            memory.observations.at[row].set(observations),
            memory.costs.at[row].set(costs),
        )

    def _lengths(self, task: Task, key: Key[Array, ""]) -> Int[Array, "batch holds"]:
        """How long heads are held: from 1 to `longest`, each in a part of its own of the logarithmic scale."""
        holds = self._holds(task)
        parts = (jax.random.uniform(key, (task.batch, holds)) + jnp.arange(holds, dtype=float)[None]) / holds
        return jnp.floor(jnp.exp(parts * math.log(self.longest + 1))).astype(int)

    def _costs(
        self, task: Task, policy: ChoicePolicy, state: State, holds: Int[Array, " holds"], key: Key[Array, ""]
    ) -> Float[Array, " heads"]:
        """What it costs to hold each head, by the best of some plans; less the least of them."""

        # One key: all plans meet the same noise, so that their difference is theirs.
        def plan(head, hold):
            return _cost(task, _holding(policy, head, hold), state, self._horizon(task), key)

        costs = jax.vmap(lambda head: jnp.min(jax.vmap(lambda hold: plan(head, hold))(holds)))(jnp.arange(policy.heads))
        return costs - jnp.min(costs)

    def _moved(self, task: Task, policy: ChoicePolicy, state, head, hold, stride, key) -> State:
        """The state after `stride` steps, of which the first `hold` are by the head."""
        act = _holding(policy, head, hold)

        def step(state, now):
            t, key = now
            alive = (t < stride) & jnp.logical_not(task.env.done(state))
            after = step_env(task.env, state, act(task.env.observe(state), t), key)
            return where(alive, after, state), None

        return lax.scan(step, state, (jnp.arange(_STRIDE), _keys(task, key, _STRIDE)))[0]

    def _holds(self, task: Task) -> int:
        # Where noise is drawn, the best of several plans is chosen with knowledge of it, and too good.
        return 1 if task.env.stochastic else self.holds

    def _horizon(self, task: Task) -> int:
        return min(self.horizon, task.env.max_steps or self.horizon)

    def _resets(self, task: Task, key: Key[Array, ""]) -> State:
        return jax.vmap(task.env.reset)(jax.random.split(key, task.batch))


def _holding(policy: ChoicePolicy, head: Array, hold: Array) -> Any:
    """One head for `hold` steps, then the policy."""

    def act(observation, t):
        return policy.head(observation, jnp.where(t < hold, head, jnp.argmax(policy.logits(observation))))

    return act


def _cost(task: Task, act: Any, state: State, steps: int, key: Key[Array, ""]) -> Float[Array, ""]:
    """The sum of costs of `steps` steps, which end with the episode."""
    env = task.env

    def step(state, now):
        t, key = now
        alive, action = jnp.logical_not(env.done(state)), act(env.observe(state), t)
        arrived = step_env(env, state, action, key)
        spent = task.cost(state, action, arrived, env.reward(state, action, arrived))
        return where(alive, arrived, state), jnp.where(alive, jnp.asarray(spent, float), 0)

    return jnp.sum(lax.scan(step, state, (jnp.arange(steps), _keys(task, key, steps)))[1])


def _keys(task: Task, key: Key[Array, ""], steps: int) -> Any:
    return jax.random.split(key, steps) if task.env.stochastic else None


def _between(begin: int, end: int, optimizer: Any) -> Any:
    """An optimizer that begins after some updates, and stops after some: with a gradient of 0, Adam would still move."""
    import optax

    def update(updates, state, params=None):
        count, inner = state
        change, moved = optimizer.update(updates, inner, params)
        acts = (count >= begin) & (count < end)
        change = jax.tree.map(lambda x: jnp.where(acts, x, jnp.zeros_like(x)), change)
        return change, (count + 1, jax.tree.map(lambda new, old: jnp.where(acts, new, old), moved, inner))

    return optax.GradientTransformation(lambda params: (jnp.zeros((), jnp.int32), optimizer.init(params)), update)


def _part_of(policy: ChoicePolicy) -> Any:
    """For each array of a policy: is it of the networks or of the gate?"""
    return jax.tree_util.tree_map_with_path(lambda path, _: "gate" if path[0].name == "gate" else "networks", policy)
