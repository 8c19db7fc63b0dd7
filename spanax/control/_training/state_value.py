"""A learned value of a state, as it is observed: the discounted cost that is still to come under the policy.

A network is fitted to TD(lambda) targets, which bootstrap from a slowly moving copy of it, the target network (Mnih et al. 2015;
TD(lambda): Sutton 1988). It predicts in units of the costs' own size. When these units move, the last layers are rescaled so
that no prediction changes (van Hasselt et al. 2016, arXiv:1602.07714).
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from ..._optimizer import apply_update
from ..env import Env
from .windows import Steps

WIDTH, DEPTH = 64, 2
MOVES = 0.1  # share of a new batch in the units


class Fitting(eqx.Module):
    """How a value is fitted. `kept`: the share of the target network that is kept at each fit."""

    discount: float
    trace: float
    rate: float
    iterations: int = eqx.field(static=True)
    kept: float = 0.2

    def optimizer(self) -> Any:
        import optax

        return optax.adam(self.rate)


class StateValue(eqx.Module):
    """`value(observation)`: by the target network, which may be differentiated. 0 before it has seen anything."""

    weights: Any  # of the network
    target: Any
    memory: Any  # the optimizer's
    middle: Float[Array, ""]
    spread: Float[Array, ""]
    seen: Float[Array, ""]  # batches
    static: Any = eqx.field(static=True)  # the rest of the network

    @staticmethod
    def new(env: Env, how: Fitting, key: Key[Array, ""]) -> StateValue:
        (size,) = env.observation_space.shape or (1,)
        network = eqx.nn.MLP(size, "scalar", WIDTH, DEPTH, jax.nn.swish, key=key)
        # Held apart: the carry of a compiled loop has arrays only.
        weights, static = eqx.partition(network, eqx.is_array)
        zero, one = jnp.zeros((), float), jnp.ones((), float)
        return StateValue(weights, weights, how.optimizer().init(weights), zero, one, zero, static)

    def __call__(self, observation: Float[Array, "*shape"]) -> Float[Array, ""]:
        # An untrained network would steer the policy somewhere.
        return jnp.where(self.seen > 0, self.middle + self.spread * self._normalised(self.target, observation), 0)

    def _normalised(self, weights: Any, observation: Array) -> Float[Array, ""]:
        return eqx.combine(weights, self.static)(jnp.asarray(jnp.reshape(observation, (-1,)), float))

    def fit(self, steps: Steps, how: Fitting) -> StateValue:
        """After some iterations on a batch of windows, each array of `steps` (batch, steps, ...)."""
        arrived = jax.vmap(jax.vmap(self))(steps.arrived)
        goals = targets(steps, arrived, how)
        value = self._in_units_of(goals, steps.alive)
        counted = jnp.maximum(jnp.sum(steps.alive, dtype=goals.dtype), 1)
        normed = jax.vmap(jax.vmap(value._normalised, (None, 0)), (None, 0))

        def error(weights):
            residual = normed(weights, steps.observations) - (goals - value.middle) / value.spread
            return jnp.sum(jnp.where(steps.alive, residual**2, 0)) / counted

        def one(carry, _):
            weights, memory = carry
            return apply_update(how.optimizer(), jax.grad(error)(weights), memory, weights), None

        (weights, memory), _ = lax.scan(one, (value.weights, value.memory), None, how.iterations)
        # Where nothing was fitted yet, the target network is a first guess of nothing.
        kept = jnp.where(self.seen > 0, how.kept, 0.0)
        target = jax.tree.map(lambda old, new: kept * old + (1 - kept) * new, value.target, weights)
        return StateValue(weights, target, memory, value.middle, value.spread, self.seen + 1, self.static)

    def _in_units_of(self, goals: Array, alive: Array) -> StateValue:
        """With units moved towards these goals' mean and spread; it predicts the same."""
        counted = jnp.maximum(jnp.sum(alive, dtype=goals.dtype), 1)
        middle = jnp.sum(jnp.where(alive, goals, 0)) / counted
        spread = jnp.sqrt(jnp.sum(jnp.where(alive, (goals - middle) ** 2, 0)) / counted)
        share = jnp.where(self.seen > 0, MOVES, 1.0)
        middle = self.middle + share * (middle - self.middle)
        # Costs that are all the same have no spread.
        spread = jnp.maximum(self.spread + share * (spread - self.spread), 1e-6)

        def rescaled(weights):
            last = weights.layers[-1]
            bias = (self.spread * last.bias + self.middle - middle) / spread
            moved = eqx.tree_at(
                lambda layer: (layer.weight, layer.bias), last, (self.spread / spread * last.weight, bias)
            )
            # The first units are those of nothing.
            moved = jax.tree.map(lambda new, old: jnp.where(self.seen > 0, new, old), moved, last)
            return eqx.tree_at(lambda w: w.layers[-1], weights, moved)

        return StateValue(
            rescaled(self.weights), rescaled(self.target), self.memory, middle, spread, self.seen, self.static
        )


def targets(steps: Steps, arrived: Float[Array, "batch steps"], how: Fitting) -> Float[Array, "batch steps"]:
    """TD(lambda): G_t = c_t + discount ((1 - lambda) V(s_t+1) + lambda G_t+1).

    It is V(s_t+1) alone behind the last step of a window or an episode, and nothing where a rule ended it. `arrived`: V of the
    states after each step.
    """

    # Backwards in time: the target of the step before.
    def before(later, now):
        spent, ahead, last, terminated = now
        beyond = jnp.where(last, ahead, (1 - how.trace) * ahead + how.trace * later)
        goal = spent + how.discount * jnp.where(terminated, 0, beyond)
        return goal, goal

    rows = (steps.costs.T, arrived.T, steps.last.T, steps.terminated.T)
    _, goals = lax.scan(before, arrived[:, -1], rows, reverse=True)
    return goals.T
