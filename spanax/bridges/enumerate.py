"""The exact expectation over a finite support."""

import jax
import jax.numpy as jnp

from .._math.distributions import hard_draw
from .._math.pmf import pmf, support_size
from .base import Branching
from .facts import Facts


class Enumerate(Branching):
    """Sums over every value of the draw: sum_z p(z) rest(z). Exact, so its variance is that of the rest.

    The support is the product over the elements of the draw: 10 Bernoullis have 1,024 values, and several sites multiply. More
    than 10,000 paths raise an error with their number. Right where a probability is exactly 0 or 1: the weights are p itself.
    For Bernoulli, Binomial, Categorical (with respect to `probs`: of the normalised ones), and any NumPyro distribution with
    `enumerate_support`. Recommended for small supports.

    Raises `SpanaxError` for a support that is infinite or not known when the program is traced.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> loss = sx.expectation(lambda p, *, key: 5 * sx.sample(key, dist.Bernoulli(probs=p), via=sx.Enumerate()))
    >>> jax.value_and_grad(loss)(0.25, key=jax.random.key(0))
    (Array(1.25, dtype=float32), Array(5., dtype=float32))
    """

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[f], without noise",
            unbiased=True,
            evaluations="size of the support",
            orders=None,
            distributions="finite support",
            source="the definition of the expectation",
        )

    def draw(self, key, distribution):
        return hard_draw(key, distribution)

    def branches(self, distribution):
        return support_size(distribution)

    def objective(self, key, distribution, rest):
        # The weights carry the derivative: p itself, not p grad log p, which is 0 times infinity where p is 0.
        values, weights = pmf(distribution)
        costs = jax.vmap(rest)(values)
        # Other derivatives go through `rest`, of which each value has its own.
        return jnp.sum(weights.astype(costs.dtype) * costs)
