"""Pendulum-v1: regret to the optimum of backpropagation through time, alone and with a learned choice among three heads.

A policy trained through the simulator moves well, and still loses at a few starts: whether to swing once more, or the other way
round, is a discrete choice, at whose boundary the return jumps; no derivative of the motion sees a jump. So the policy gets a
gate, which picks one of three heads at every observation (a network, full torque, full torque the other way), and the gate's
gradient is that of an expectation over its choice.
"""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
from jax import lax
from jaxtyping import Array, Float, Int

import spanax as sx
from benchmarks import _timing
from benchmarks._pendulum_optimum import OPTIMUM, STARTS
from spanax import control
from spanax.control._training.method import Method, Seen

SEEDS, TARGET_MEDIAN, TARGET_WORST, TARGET_SECONDS = 20, 5.0, 8.0, 15.0
HEADS = 3
SCALE = np.array([1.0, 1.0, 0.25])  # of the observation


class Gated(eqx.Module):
    """Torque by observation: that of the head which the gate likes best here."""

    motion: eqx.nn.MLP
    gate: eqx.nn.MLP
    torque: float = eqx.field(static=True)

    def __init__(self, env: control.Pendulum, key):
        keys = jax.random.split(key)
        self.motion = _network(1, jax.nn.swish, keys[0])
        self.gate = _network(HEADS, jax.nn.relu, keys[1])
        self.torque = env.max_torque

    def __call__(self, observation: Float[Array, " 3"]) -> Float[Array, " 1"]:
        return self.head(observation, jnp.argmax(self.logits(observation)))

    def head(self, observation: Float[Array, " 3"], which: Int[Array, ""]) -> Float[Array, " 1"]:
        full = jnp.full((1,), self.torque, observation.dtype)
        return jnp.where(which == 0, self.move(observation), jnp.where(which == 1, full, -full))

    def move(self, observation: Float[Array, " 3"]) -> Float[Array, " 1"]:
        return self.torque * jnp.tanh(self.motion(_scaled(observation)))

    def logits(self, observation: Float[Array, " 3"]) -> Float[Array, " heads"]:
        return self.gate(_scaled(observation))


def _network(outputs: int, activation, key) -> eqx.nn.MLP:
    """Weights normal with the standard deviation 1/sqrt(inputs), biases 0 (LeCun et al. 1998)."""
    network = eqx.nn.MLP(3, outputs, 64, 2, activation, key=key)
    arrays, rest = eqx.partition(network, eqx.is_array)
    leaves, tree = jax.tree.flatten(arrays)
    keys = jax.random.split(key, len(leaves))
    drawn = [
        jax.random.normal(k, x.shape) / x.shape[1] ** 0.5 if x.ndim == 2 else jnp.zeros_like(x)
        for k, x in zip(keys, leaves, strict=True)
    ]
    return eqx.combine(jax.tree.unflatten(tree, drawn), rest)


def _scaled(observation):
    return observation * SCALE.astype(observation.dtype)


class Memory(NamedTuple):
    """Where the chains are, and what was found out in the last updates."""

    update: Int[Array, ""]
    states: Any  # (batch, ...)
    observations: Float[Array, "rows batch 3"]
    costs: Float[Array, "rows batch heads"]


class Choice(Method):
    """The choice by the expectation over it, the motion by backpropagation through time.

    Both are the derivatives of what is said here, and not of an episode's return: it is policy iteration, in which the policy
    that acts later is held fixed, and what a choice costs was found out under slightly earlier policies.

    The first `motion` updates train the network: each minimises the mean cost of `window` steps from `starts` resets. All later
    ones train the gate. Every `fits`-th of these looks at `batch` states that chains of steps meet on their way (a chain begins
    at a reset and lasts `chain` looks of up to `advance` steps; with probability `explore` it goes on with a random head). At
    each state every head is held for k steps, k uniform from 1 to `hold`, and then the policy followed, `horizon` steps in all:
    that is what a choice costs. What was found out is kept for `rows` looks. The gate minimises E[cost of the choice] - weight H,
    H the entropy of the choice, over `minibatch` of the states kept; the weight goes from `entropy[0]` to `entropy[1]`.
    """

    motion: int = 500
    choice: int = 8000
    starts: int = 32
    window: int = 40
    batch: int = 32
    horizon: int = 60
    hold: int = 8
    advance: int = 16
    chain: int = 6
    explore: float = 0.2
    rows: int = 128
    fits: int = 4
    minibatch: int = 512
    entropy: tuple[float, float] = (10.0, 2.0)

    @property
    def updates(self) -> int:
        return self.motion + self.choice

    def check(self, task, policy):
        pass

    def start(self, task, policy, key):
        states = _resets(task.env, key, self.batch)
        shape = (self.rows, self.batch)
        return Memory(jnp.zeros((), jnp.int32), states, jnp.zeros((*shape, 3)), jnp.zeros((*shape, HEADS)))

    def objective(self, task, policy, carry, key):
        moves = carry.update < self.motion
        looks = ~moves & ((carry.update - self.motion) % self.fits == 0)
        look, fit = jax.random.split(key)
        still = jax.tree.map(lambda x: lax.stop_gradient(x) if eqx.is_array(x) else x, policy)
        found = lax.cond(looks, lambda m: self._found(task.env, still, m, look), lambda m: m, carry)
        value = lax.cond(
            moves,
            lambda: self._motion(task.env, policy, fit),
            lambda: self._choice(policy, found, *jax.random.split(fit)),
        )
        steps = moves * self.starts * self.window + looks * self.batch * (HEADS * self.horizon + self.advance)
        zero = jnp.zeros((), jnp.int32)
        return value, (found._replace(update=carry.update + 1), Seen(steps, zero, zero, jnp.zeros((), float)))

    def _motion(self, env, policy, key):
        cost = jax.vmap(lambda s: _cost(env, lambda o, _: policy.move(o), s, self.window))
        return jnp.mean(cost(_resets(env, key, self.starts))) / self.window

    def _choice(self, policy, memory: Memory, rows_key, draw_key):
        def cost(policy, observation, costs, *, key):
            choice = sx.sample(key, dist.Categorical(logits=policy.logits(observation)), via=sx.Enumerate())
            return costs[choice]

        rows = jax.random.randint(rows_key, (self.minibatch,), 0, self.rows * self.batch)
        observations, costs = memory.observations.reshape(-1, 3)[rows], memory.costs.reshape(-1, HEADS)[rows]
        # Enumerate draws nothing, so one key will do for all
        expected = jax.vmap(lambda o, c: sx.expectation(cost)(policy, o, c, key=draw_key))(observations, costs)
        log = jax.nn.log_softmax(jax.vmap(policy.logits)(observations))
        first, last = self.entropy
        weight = first * (last / first) ** ((memory.update - self.motion) / self.choice)
        return jnp.mean(expected) + weight * jnp.mean(jnp.sum(jnp.exp(log) * log, -1))

    def _found(self, env, policy, memory: Memory, key):
        """What each head costs at the states where the chains are; and the chains moved on."""
        fresh, hold, pick, explore, length = jax.random.split(key, 5)
        look = (memory.update - self.motion) // self.fits
        begins = (look == 0) | ((look + jnp.arange(self.batch)) % self.chain == 0)
        states = jnp.where(begins[:, None], _resets(env, fresh, self.batch), memory.states)
        holds = jax.random.randint(hold, (self.batch,), 1, self.hold + 1)
        costs = jax.vmap(functools.partial(self._costs, env, policy))(states, holds)
        observations = jax.vmap(env.observe)(states)
        row = look % self.rows

        drawn = jax.random.categorical(pick, jax.vmap(policy.logits)(observations))
        random = jax.random.randint(pick, (self.batch,), 0, HEADS)
        held = jnp.where(jax.random.uniform(explore, (self.batch,)) < self.explore, random, drawn)
        lengths = jax.random.randint(length, (self.batch,), 1, self.advance)
        states = jax.vmap(functools.partial(self._advanced, env, policy))(states, held, holds, lengths)
        observations, costs = memory.observations.at[row].set(observations), memory.costs.at[row].set(costs)
        return Memory(memory.update, states, observations, costs)

    def _costs(self, env, policy, state, hold):
        """What it costs to hold each head, less the least of them."""
        costs = jax.vmap(lambda head: _cost(env, _holding(policy, head, hold), state, self.horizon))(jnp.arange(HEADS))
        return costs - jnp.min(costs)

    def _advanced(self, env, policy, state, head, hold, length):
        acts = _holding(policy, head, hold)

        def step(state, t):
            after = env.step(state, acts(env.observe(state), t))
            return jnp.where(t < length, after, state), None

        return lax.scan(step, state, jnp.arange(self.advance))[0]


def _holding(policy: Gated, head, hold):
    def act(observation, t):
        return policy.head(observation, jnp.where(t < hold, head, jnp.argmax(policy.logits(observation))))

    return act


def _cost(env, acts, state, steps: int):
    def step(state, t):
        action = acts(env.observe(state), t)
        after = env.step(state, action)
        return after, -env.reward(state, action, after)

    return jnp.sum(lax.scan(step, state, jnp.arange(steps))[1])


def _resets(env, key, n: int):
    return jax.vmap(env.reset)(jax.random.split(key, n))


def _adam(rate: float, updates: int):
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(rate, updates, 0.05)))


# -- the comparison ---------------------------------------------------------------------------------------------------------


class Run(NamedTuple):
    regret: float
    steps: int
    seconds: float
    compiling: float


def bptt(seed: int, updates: int) -> Run:
    env, key = control.Pendulum(), jax.random.key(seed)
    policy = control.MLPPolicy(env, key=key, activation=jax.nn.swish, scale=SCALE)
    way = control.BPTT(horizon=40, truncate=False)
    return _run(env, policy, way, jax.random.fold_in(key, 1), updates, 32, _adam(1e-2, updates))


def gated(seed: int, choice: int) -> Run:
    env, key, way = control.Pendulum(), jax.random.key(seed), Choice(choice=choice)
    policy = Gated(env, key)
    each: dict[Any, Any] = {"motion": _adam(1e-2, way.motion), "gate": _after(way.motion, _adam(1e-2, choice))}
    optimizer = optax.multi_transform(each, _labels)
    return _run(env, policy, way, jax.random.fold_in(key, 1), way.updates, way.batch, optimizer)


def _labels(policy):
    return jax.tree_util.tree_map_with_path(lambda path, _: str(path[0].name), policy)


def _after(wait: int, optimizer):
    """An optimizer that begins after some updates."""

    def update(updates, state, params=None):
        count, inner = state
        change, moved = optimizer.update(updates, inner, params)
        begun = count >= wait
        change = jax.tree.map(lambda x: jnp.where(begun, x, jnp.zeros_like(x)), change)
        return change, (count + 1, jax.tree.map(lambda new, old: jnp.where(begun, new, old), moved, inner))

    return optax.GradientTransformation(lambda params: (jnp.zeros((), jnp.int32), optimizer.init(params)), update)


def _run(env, policy, way, key, updates: int, batch: int, optimizer) -> Run:
    start = time.perf_counter()
    result = control.train(
        env, policy, via=way, key=key, updates=updates, batch=batch, optimizer=optimizer, progress=False
    )
    seconds = time.perf_counter() - start
    return Run(regret(result.policy), int(result.env_steps), seconds, result.compile_seconds)


def regret(policy) -> float:
    """The optimum's mean return over the fixed starts, less the policy's; in float64."""
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64) if eqx.is_array(x) else x, policy)
        return OPTIMUM - float(np.mean(control.evaluate(control.Pendulum(), exact, jnp.asarray(STARTS))))


WAYS = {
    f"{name}, {updates}": functools.partial(way, updates=updates)
    if way is bptt
    else functools.partial(way, choice=updates)
    for name, way, counts in (
        ("BPTT", bptt, (100, 200, 500, 1500, 4000)),
        ("and a choice", gated, (1000, 2000, 4000, 8000)),
    )
    for updates in counts
}
HEADLINE = "and a choice, 8000"


def _draw(runs: dict[str, list[Run]], path: str) -> None:
    """Regret against steps of the simulator: medians, and all seeds as dots."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    ax = figure.add_subplot()
    for label, prefix, style in (
        ("backpropagation through time", "BPTT", "o--"),
        ("and a choice", "and a choice", "s-"),
    ):
        points = [some for name, some in runs.items() if name.startswith(prefix)]
        steps = [some[0].steps for some in points]
        ax.plot(steps, [np.median([r.regret for r in some]) for some in points], style, color="black", label=label)
        for x, some in zip(steps, points, strict=True):
            ax.plot([x] * len(some), [r.regret for r in some], ".", color="0.6", markersize=4)
    ax.axhline(TARGET_MEDIAN, color="0.4", linewidth=0.8, linestyle=":")
    ax.set(xscale="log", yscale="log", xlabel="steps of the simulator", ylabel="regret to the optimum")
    ax.set_title(
        "Pendulum-v1, 100 fixed starts: a jump that no derivative sees, and a choice that crosses it", fontsize=10
    )
    ax.grid(alpha=0.3, which="both")
    ax.legend(frameon=False)
    figure.savefig(path, dpi=150)


def main():
    options = _timing.parser(__doc__, repeats=1)
    options.add_argument("--seeds", type=int, default=SEEDS, help="(default: %(default)s)")
    options.add_argument("--headline", action="store_true", help="only the recipe that the figures are for")
    options.add_argument("--plot", help="draw both curves into this file")
    args = options.parse_args()
    _timing.limit_cores(args.cores)
    _timing.versions("spanax", "jax", "equinox", "optax")
    rows, runs = [], {name: [] for name in WAYS if name == HEADLINE or not args.headline}
    for seed in range(args.seeds):
        for name in runs:
            runs[name].append(WAYS[name](seed))
            _timing.stage(f"seed {seed}, {name}: {runs[name][-1]}")
    for name, some in runs.items():
        regrets = np.array([r.regret for r in some])
        steps = [f"{np.median(regrets):.2f}", f"{regrets.max():.2f}", f"{some[0].steps / 1e6:.2f}"]
        seconds = [f"{np.median([r.seconds for r in some]):.1f}", f"{np.median([r.compiling for r in some]):.1f}"]
        rows.append([name, *steps, *seconds])
    _timing.table(["updates", "regret, median", "worst", "10^6 steps", "s with compile", "s compile"], rows)
    if args.plot:
        _draw(runs, args.plot)
    last = runs[HEADLINE]
    _timing.verdict("regret, median", float(np.median([r.regret for r in last])), TARGET_MEDIAN)
    _timing.verdict("regret, worst", max(r.regret for r in last), TARGET_WORST)
    _timing.verdict("seconds with compile", float(np.median([r.seconds for r in last])), TARGET_SECONDS)


if __name__ == "__main__":
    main()
