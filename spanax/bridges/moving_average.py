"""A baseline that remembers: the bias-corrected moving average of past costs."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


# A value and not an object that changes: under jit nothing may change in place, and the caller carries it like any other state.
class MovingAverage(eqx.Module):
    """The mean of past costs, as a baseline: `ScoreFunction(baseline=average)`.

    A small pytree that the caller passes from one training step to the next:

    >>> average = MovingAverage(decay=0.9)
    >>> average = average.update(4.0).update(2.0)
    >>> round(float(average.value), 3)
    2.947

    `update` takes the cost of the draws, a scalar or an array whose mean is taken; its gradient is stopped. Unbiased as long as
    the average was computed from earlier calls, which is not checked. The weights are those of Adam's moments (Kingma and Ba
    2015, section 3), so that the first value is the first cost.
    """

    decay: float = eqx.field(static=True, default=0.9)
    value: Float[Array, ""] | float = 0.0
    weight: Float[Array, ""] | float = 0.0

    def update(self, cost: Float[Array, ...] | float) -> MovingAverage:
        """The average after one more cost."""
        cost = jnp.mean(lax.stop_gradient(jnp.asarray(cost, jnp.result_type(float, cost))))
        # With w_t = d w_(t-1) + (1 - d), the corrected mean m_t / w_t moves by (1 - d) / w_t of the way to the new cost.
        weight = jnp.asarray(self.decay * self.weight + (1 - self.decay), cost.dtype)
        value = jnp.asarray(self.value + (1 - self.decay) / weight * (cost - self.value), cost.dtype)
        return MovingAverage(self.decay, *jax.tree.map(lax.stop_gradient, (value, weight)))
