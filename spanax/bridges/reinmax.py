"""ReinMax: straight-through with second-order accuracy.

Straight-through integrates f' from the mean to the draw by Euler's rule; ReinMax uses Heun's, the trapezoid (Liu et al. 2023).
"""

import jax
import jax.numpy as jnp

from .._errors import SpanaxError
from .._math.distributions import (
    bernoulli_logits,
    categorical_logits,
    family,
    hard_draw,
    is_bernoulli,
    is_categorical,
    one_hot_draw,
    sigmoid,
)
from .._math.first_order import first_order
from .base import Local
from .facts import Facts


class ReinMax(Local):
    """A hard draw with Heun's second-order estimate of the derivative.

    With pi the probabilities at temperature 1, z the one-hot draw, pi1 = (softmax(logits / temperature) + z)/2 and
    J(q) v = q (v - <q, v>), the derivative is 2 J(pi1) - J(pi)/2. At temperature 1 it is exact in expectation for f quadratic in
    the draw, and biased at the third order of f otherwise; another temperature trades bias, even for a linear f, for variance.
    A Bernoulli draw is 0. or 1.; a Categorical draw comes as one-hot weights, with the categories on a new last axis. First
    derivatives only: a second one raises. Give `logits`: with `probs` of exactly 0 or 1 the derivative is NaN. Recommended among
    the biased bridges with hard draws.

    Raises `SpanaxError` for any distribution but Bernoulli and Categorical.

    Liu et al. 2023 (arXiv:2304.08612), equation 6 and algorithm 2.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def loss(logit, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=logit), via=sx.ReinMax()) - 0.2) ** 2
    >>> print(f"{jax.grad(sx.expectation(loss, samples=5000))(0.0, key=jax.random.key(0)):.2f}")  # 0.6 p (1 - p)
    0.15
    """

    temperature: float | jax.Array = 1.0

    @property
    def facts(self) -> Facts:
        # A traced temperature is not known to be 1.
        at_one = isinstance(self.temperature, int | float) and self.temperature == 1
        exact_for = "f quadratic in one draw (otherwise second-order accurate)"
        return Facts(
            unbiased_for=exact_for if at_one else f"nothing exactly; at temperature 1: {exact_for}",
            unbiased=False,
            evaluations="1",
            orders=1,
            distributions="Bernoulli, Categorical (as one-hot weights)",
            source="Liu et al. 2023, eq. 6",
        )

    def draw(self, key, distribution):
        if is_bernoulli(distribution):
            logits, z = bernoulli_logits(distribution), hard_draw(key, distribution)
            return first_order(_boolean, "ReinMax()", z, (logits, logits / self.temperature, z), logits)
        if is_categorical(distribution):
            logits, z = categorical_logits(distribution), one_hot_draw(key, distribution)
            # The midpoint of mean and draw, pi_1 of algorithm 2.
            middle = (jax.nn.softmax(logits / self.temperature) + z) / 2
            return first_order(_categorical, "ReinMax()", z, (jax.nn.softmax(logits), middle), logits)
        raise SpanaxError(
            f"ReinMax() is for Bernoulli and Categorical draws, not {family(distribution)}", "ScoreFunction()"
        )


def _boolean(at, d_logits):
    # The two categories are 0 and 1: J(q) has the one number q (1 - q). 1 - q is computed as a sigmoid, which does not cancel.
    logits, tempered, z = at
    middle, rest = (sigmoid(tempered) + z) / 2, (sigmoid(-tempered) + (1 - z)) / 2
    return (2 * middle * rest - sigmoid(logits) * sigmoid(-logits) / 2) * d_logits


def _categorical(at, d_logits):
    p, middle = at
    return 2 * _softmax_jacobian(middle, d_logits) - _softmax_jacobian(p, d_logits) / 2


def _softmax_jacobian(q, v):
    # J(q) v without the matrix J = diag(q) - q q^T.
    return q * (v - jnp.sum(q * v, -1, keepdims=True))
