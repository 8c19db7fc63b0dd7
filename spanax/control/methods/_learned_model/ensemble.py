"""An ensemble of networks that predict one step: the change of the observation, the reward, and whether a rule ends it.

Chua et al. 2018 (PETS, arXiv:1805.12114), without their variances: each member predicts means. Inputs and outputs are standardised by
what has been seen. A member differs from the others by its first weights and by the batches that it draws.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ...._optimizer import apply_update
from .transitions import HELD_OUT, Transitions

BATCH = 256
FIRST_RATE, LAST_RATE = 3e-3, 1e-4


class Scale(NamedTuple):
    """Means and standard deviations of what goes in and of what comes out."""

    input_mean: Float[Array, " i"]
    input_std: Float[Array, " i"]
    output_mean: Float[Array, " o"]
    output_std: Float[Array, " o"]


class Ensemble(eqx.Module):
    weights: Any  # of the networks, with a leading axis
    scale: Scale
    static: Any = eqx.field(static=True)
    members: int = eqx.field(static=True)

    @staticmethod
    def new(key: Key[Array, ""], size: int, action: int, members: int, width: int, depth: int) -> Ensemble:
        networks = eqx.filter_vmap(
            lambda k: eqx.nn.MLP(size + action, size + 2, width, depth, jax.nn.swish, key=k)
        )(jax.random.split(key, members))
        weights, static = eqx.partition(networks, eqx.is_array)
        zeros, ones = (jnp.full((n,), x, float) for x in (0.0, 1.0) for n in (size + action,)), None
        i, o = size + action, size + 1
        scale = Scale(jnp.zeros((i,), float), jnp.ones((i,), float), jnp.zeros((o,), float), jnp.ones((o,), float))
        return Ensemble(weights, scale, static, members)

    def predict(self, member: Int[Array, ""], observation: Float[Array, " d"], action: Float[Array, " a"]):
        """The next observation, the reward, and the log-odds that a rule ends the episode there, by one member."""
        weights = jax.tree.map(lambda x: x[member], self.weights)
        out, logit = self._outputs(weights, self.scale, jnp.concatenate([observation, action]))
        out = self.scale.output_mean + self.scale.output_std * out
        return observation + out[:-1], out[-1], logit

    def _outputs(self, weights, scale, x):
        network = eqx.combine(weights, self.static)
        out = network((x - scale.input_mean) / scale.input_std)
        return out[:-1], out[-1]

    def fit(self, data: Transitions, steps: int, key: Key[Array, ""]) -> Ensemble:
        import optax

        inputs, outputs = rows_of(data)
        scale = scale_of(inputs, outputs, data.is_known())
        targets = (outputs - scale.output_mean) / scale.output_std
        ended = data.ended.astype(float)
        optimizer = optax.adam(optax.cosine_decay_schedule(FIRST_RATE, steps, LAST_RATE / FIRST_RATE))

        def loss(weights, which):
            out, logit = jax.vmap(lambda x: self._outputs(weights, scale, x))(inputs[which])
            error = jnp.mean(jnp.sum((out - targets[which]) ** 2, axis=1))
            return error + jnp.mean(jax.nn.softplus(logit) - ended[which] * logit)

        # Rows that are fitted to: all but each HELD_OUT-th
        count = data.kept - data.kept // HELD_OUT

        def one(carry, key):
            weights, memory = carry
            r = jax.random.randint(key, (self.members, BATCH), 0, count)
            which = r + r // (HELD_OUT - 1)
            gradient = jax.vmap(jax.grad(loss))(weights, which)
            return apply_update(optimizer, gradient, memory, weights)[:2], None

        (weights, _), _ = lax.scan(one, (self.weights, optimizer.init(self.weights)), jax.random.split(key, steps))
        return Ensemble(weights, scale, self.static, self.members)

    def r2(self, data: Transitions, rows: Bool[Array, " rows"]):
        """The share of the variance that a member predicts, over some rows: of each change, the reward, and the end."""
        inputs, outputs = rows_of(data)

        def predicted(weights):
            out, logit = jax.vmap(lambda x: self._outputs(weights, self.scale, x))(inputs)
            return jnp.concatenate([self.scale.output_mean + self.scale.output_std * out, jax.nn.sigmoid(logit)[:, None]], 1)

        truth = jnp.concatenate([outputs, data.ended.astype(float)[:, None]], 1)
        errors = jnp.mean((jax.vmap(predicted)(self.weights) - truth) ** 2, axis=0)
        n = jnp.maximum(jnp.sum(rows, dtype=float), 1)
        mean = jnp.sum(jnp.where(rows[:, None], truth, 0), 0) / n
        variance = jnp.sum(jnp.where(rows[:, None], (truth - mean) ** 2, 0), 0) / n
        return 1 - jnp.sum(jnp.where(rows[:, None], errors, 0), 0) / n / variance


def rows_of(data: Transitions) -> tuple[Float[Array, "rows i"], Float[Array, "rows o"]]:
    inputs = jnp.concatenate([data.observations, data.actions], 1)
    return inputs, jnp.concatenate([data.arrived - data.observations, data.rewards[:, None]], 1)


def scale_of(inputs, outputs, known) -> Scale:
    def moments(x):
        n = jnp.maximum(jnp.sum(known, dtype=float), 1)
        mean = jnp.sum(jnp.where(known[:, None], x, 0), 0) / n
        std = jnp.sqrt(jnp.sum(jnp.where(known[:, None], (x - mean) ** 2, 0), 0) / n)
        # What never changes is predicted as it is
        return mean, jnp.where(std > 1e-8, std, 1)

    return Scale(*moments(inputs), *moments(outputs))
