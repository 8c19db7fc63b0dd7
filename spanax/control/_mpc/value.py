"""What a state still costs, learnt from the plans of a controller: a terminal cost that makes a short horizon see further."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ..env import Env, State
from ..wrappers import where
from .starts import first_plans

HEADS, WIDTH, DEPTH = 4, 64, 2
# First plans among which states are spread.
WAVES = 64
UPDATES, BATCH, RATE = 6000, 256, 3e-3
# Errors beyond this share of the spread count linearly: close to a jump of the cost no smooth function is right.
LINEAR = 0.1


class Value(eqx.Module):
    """The learnt cost from a state on: the least of several networks' of the observation.

    Where two ways of going on are equally good the cost has a ridge, which the least of two smooth functions has as well.
    """

    network: eqx.nn.MLP
    env: Env
    # Of observations: mean and standard deviation; of costs: the least, and the standard deviation.
    seen: tuple[Float[Array, " size"], Float[Array, " size"]]
    costs: tuple[Float[Array, ""], Float[Array, ""]]

    def __call__(self, state: State) -> Float[Array, ""]:
        return self.of(self.env.observe(state))

    def of(self, observation: Float[Array, "*shape"]) -> Float[Array, ""]:
        (centre, spread), (least, deviation) = self.seen, self.costs
        # Never below what was seen: plans would go wherever the network promises too much.
        return least + deviation * jax.nn.softplus(jnp.min(self.network((observation.ravel() - centre) / spread)))


def first_value(env: Env, key: Key[Array, ""]) -> Value:
    """Nothing: 0 everywhere."""
    observation = env.observe(env.reset(key)).ravel()
    zeros, dtype = jnp.zeros_like(observation), observation.dtype
    network = eqx.nn.MLP(observation.size, HEADS, WIDTH, DEPTH, jax.nn.swish, dtype=dtype, key=key)
    return Value(network, env, (zeros, zeros + 1), (jnp.zeros((), dtype), jnp.zeros((), dtype)))


@eqx.filter_jit
def fit(value: Value, observations: Float[Array, "N size"], costs: Float[Array, " N"], key: Key[Array, ""]) -> Value:
    """The value whose network fits these costs."""
    import optax

    spread = jnp.std(observations, 0)
    # An element that is always the same tells nothing.
    seen = jnp.mean(observations, 0), jnp.where(spread > 0, spread, 1)
    deviation = jnp.std(costs)
    value = eqx.tree_at(
        lambda v: (v.seen, v.costs), value, (seen, (jnp.min(costs), jnp.where(deviation > 0, deviation, 1)))
    )
    arrays, static = eqx.partition(value.network, eqx.is_inexact_array)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(RATE, UPDATES, 0.02))
    )

    def loss(arrays, some):
        fitted = eqx.tree_at(lambda v: v.network, value, eqx.combine(arrays, static))
        errors = (jax.vmap(fitted.of)(observations[some]) - costs[some]) / fitted.costs[1]
        return jnp.mean(optax.huber_loss(errors, delta=LINEAR))

    def update(carry, key):
        arrays, memory = carry
        gradient = jax.grad(loss)(arrays, jax.random.randint(key, (BATCH,), 0, len(costs)))
        change, memory = optimizer.update(gradient, memory)
        return (optax.apply_updates(arrays, change), memory), None

    (arrays, _), _ = lax.scan(update, (arrays, optimizer.init(arrays)), jax.random.split(key, UPDATES))
    return eqx.tree_at(lambda v: v.network, value, eqx.combine(arrays, static))


@eqx.filter_jit
def costs_along(mpc: Any, value: Value, states: State) -> tuple[State, Array, Array]:
    """Of the best plan from each state: its states, their observations, and what each of them still costs."""

    def one(state):
        plan = mpc.with_terminal(value).plan(state)
        before = jax.tree.map(lambda x: x[:-1], plan.states)
        after = jax.tree.map(lambda x: x[1:], plan.states)
        costs = jax.vmap(mpc.cost)(before, plan.actions, after)
        # The last state costs what the value says; each other one a step more than the next.
        still = jnp.cumsum(costs[::-1])[::-1] + value(jax.tree.map(lambda x: x[-1], plan.states))
        return before, jax.vmap(lambda state: value.env.observe(state).ravel())(before), still

    return jax.vmap(one)(states)


@eqx.filter_jit
def wander(mpc: Any, key: Key[Array, ""], count: int) -> State:
    """So many states, each after a random time of a random first plan from a reset."""
    plans = jnp.asarray(first_plans(mpc.box, mpc.horizon, WAVES))

    def one(key):
        reset, pick, when = jax.random.split(key, 3)
        start = mpc.env.reset(reset)
        actions = plans[jax.random.randint(pick, (2,), 0, WAVES)].reshape(-1, *mpc.box.shape)
        steps = jax.random.randint(when, (), 0, len(actions))

        def step(state, at):
            t, action = at
            return where(t < steps, mpc.env.step(state, action), state), None

        return lax.scan(step, start, (jnp.arange(len(actions)), actions))[0]

    return jax.vmap(one)(jax.random.split(key, count))


def learn_value(mpc: Any, key: Key[Array, ""], sample: Any, sweeps: int, plans: int) -> Value:
    """Sweeps: plans from random states, and a fit to what their states still cost."""
    first, key = jax.random.split(key)
    value, visited = first_value(mpc.env, first), None
    for sweep in range(sweeps):
        spread, fitting = jax.random.split(jax.random.fold_in(key, sweep))
        starts = jax.vmap(sample)(jax.random.split(spread, plans)) if sample else _starts(mpc, spread, visited, plans)
        states, observations, costs = costs_along(mpc, value, starts)
        visited = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), states)
        value = fit(value, observations.reshape(-1, observations.shape[-1]), costs.ravel(), fitting)
    return value


def _starts(mpc: Any, key: Key[Array, ""], visited: State | None, plans: int) -> State:
    """States after random actions; half of them, once there are any, where plans came through."""
    if visited is None:
        return wander(mpc, key, plans)
    # There the terminal cost is asked.
    spread, choose = jax.random.split(key)
    chosen = jax.random.randint(choose, (plans - plans // 2,), 0, len(jax.tree.leaves(visited)[0]))
    return jax.tree.map(lambda new, old: jnp.concatenate([new, old[chosen]]), wander(mpc, spread, plans // 2), visited)
