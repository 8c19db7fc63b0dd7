"""An ensemble of networks that predict one step: the change of the observation, the reward, and whether a rule ends the episode.

Chua et al. 2018 (PETS, arXiv:1805.12114), without the variances: each member predicts means. Inputs and outputs are
standardised by what has been seen. Members differ by their first weights and by the batches that they draw.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int, Key

from ...._optimizer import apply_update
from .transitions import Rows, Transitions

BATCH = 256
FIRST_RATE, LAST_RATE = 3e-3, 1e-4  # of Adam, within one fit


class Units(NamedTuple):
    """Means and standard deviations of what goes in and of what comes out."""

    input_mean: Float[Array, " i"]
    input_std: Float[Array, " i"]
    output_mean: Float[Array, " o"]
    output_std: Float[Array, " o"]


class Predicted(NamedTuple):
    """Of one step, by one member; `log_odds`: that a rule ends the episode with it."""

    observation: Float[Array, " d"]
    reward: Float[Array, ""]
    log_odds: Float[Array, ""]


class Ensemble(eqx.Module):
    """`predict(member, observation, action)`."""

    weights: Any  # with a leading axis
    units: Units
    static: Any = eqx.field(static=True)  # the rest of a network
    members: int = eqx.field(static=True)

    @staticmethod
    def new(sizes: tuple[int, int], members: int, width: int, depth: int, key: Key[Array, ""]) -> Ensemble:
        """`sizes`: of observations and actions."""
        inputs, outputs = sum(sizes), sizes[0] + 1

        def network(key):
            return eqx.nn.MLP(inputs, outputs + 1, width, depth, jax.nn.swish, key=key)

        weights, static = eqx.partition(eqx.filter_vmap(network)(jax.random.split(key, members)), eqx.is_array)
        units = Units(*(jnp.full((n,), x, float) for n in (inputs, outputs) for x in (0.0, 1.0)))
        return Ensemble(weights, units, static, members)

    def predict(self, member: Int[Array, ""], observation: Float[Array, " d"], action: Float[Array, " a"]) -> Predicted:
        weights = jax.tree.map(lambda x: x[member], self.weights)
        change, log_odds = self._outputs(weights, self.units, jnp.concatenate([observation, action]))
        change = self.units.output_mean + self.units.output_std * change
        # A step changes little: a network that predicts the change need not learn to copy.
        return Predicted(observation + change[:-1], change[-1], log_odds)

    def _outputs(
        self, weights: Any, units: Units, x: Float[Array, " i"]
    ) -> tuple[Float[Array, " o"], Float[Array, ""]]:
        out = eqx.combine(weights, self.static)((x - units.input_mean) / units.input_std)
        return out[:-1], out[-1]

    def fit(self, data: Transitions, steps: int, key: Key[Array, ""]) -> Ensemble:
        """After so many steps of Adam for each member, from where it stands, with a rate that falls."""
        import optax

        units = _units(data)
        inputs, ended = data.rows.inputs, data.rows.ended.astype(float)
        goals = (data.rows.outputs - units.output_mean[None]) / units.output_std[None]
        optimizer = optax.adam(optax.cosine_decay_schedule(FIRST_RATE, steps, LAST_RATE / FIRST_RATE))

        def error(weights, places):
            out, log_odds = jax.vmap(lambda x: self._outputs(weights, units, x))(inputs[places])
            # The squared error of what is continuous, the log-loss of what happens or does not.
            squares = jnp.sum((out - goals[places]) ** 2, axis=1)
            return jnp.mean(squares + jax.nn.softplus(log_odds) - ended[places] * log_odds)

        def one(carry, key):
            weights, memory = carry
            drawn = jax.random.randint(key, (self.members, BATCH), 0, data.fitted_count)
            gradient = jax.vmap(jax.grad(error))(weights, data.fitted(drawn))
            return apply_update(optimizer, gradient, memory, weights), None

        (weights, _), _ = lax.scan(one, (self.weights, optimizer.init(self.weights)), jax.random.split(key, steps))
        return Ensemble(weights, units, self.static, self.members)

    def r2(self, rows: Rows, chosen: Bool[Array, " rows"]) -> Float[Array, " o+1"]:
        """The share of the variance that a member predicts, of each change, the reward, and the end; NaN where none varies."""

        def predicted(weights):
            out, log_odds = jax.vmap(lambda x: self._outputs(weights, self.units, x))(rows.inputs)
            out = self.units.output_mean[None] + self.units.output_std[None] * out
            return jnp.concatenate([out, jax.nn.sigmoid(log_odds)[:, None]], axis=1)

        truth = jnp.concatenate([rows.outputs, rows.ended.astype(float)[:, None]], axis=1)
        # One member makes an imagined episode, so its error counts, and not the smaller one of their mean.
        errors = jnp.mean((jax.vmap(predicted)(self.weights) - truth[None]) ** 2, axis=0)
        mean, variance = _moments(truth, chosen)
        error, _ = _moments(errors, chosen)
        varies = variance > 1e-10 * (mean**2 + 1e-10)
        return jnp.where(varies, 1 - error / jnp.where(varies, variance, 1), jnp.nan)


def _units(data: Transitions) -> Units:
    known = jnp.arange(data.room, dtype=jnp.int32) < data.kept
    moments = [_moments(x, known) for x in (data.rows.inputs, data.rows.outputs)]
    # What never changes is predicted as it is.
    (m, v), (n, w) = ((mean, jnp.where(variance > 1e-16, jnp.sqrt(variance), 1.0)) for mean, variance in moments)
    return Units(m, v, n, w)


def _moments(x: Float[Array, "rows k"], chosen: Bool[Array, " rows"]) -> tuple[Float[Array, " k"], Float[Array, " k"]]:
    """Mean and variance of the chosen rows."""
    n = jnp.maximum(jnp.sum(chosen, dtype=x.dtype), 1)
    mean = jnp.sum(jnp.where(chosen[:, None], x, 0), axis=0) / n
    return mean, jnp.sum(jnp.where(chosen[:, None], (x - mean[None]) ** 2, 0), axis=0) / n
