"""The score function with several draws at one site, each with the mean of the others as its baseline.

The others are independent of a draw, so that their mean is a baseline that leaves the gradient unbiased, and is near E[f].
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._errors import SpanaxError
from .._math.scored import draw_with_score
from .base import Branching
from .facts import Facts


class LeaveOneOut(Branching):
    """K draws at this site, the rest of the program run for each, and the mean of the other K - 1 as the baseline.

    (1/K) sum_k grad log p(z_k) (f(z_k) - mean of f over the others). What comes before the site runs once, so it is cheaper than
    K replicates of the whole program if the site comes late. Unbiased for E[f] at every derivative order, with the limits of
    `ScoreFunction` (a moving support raises; the share of a value that is never drawn is missing if `probs` is exactly 0 or 1,
    a Poisson rate 0 or a Geometric probability 1). Recommended for one site whose support is too large for `Enumerate`.

    Raises `SpanaxError` for fewer than 2 samples.

    Kool, van Hoof and Welling 2019 (Buy 4 REINFORCE samples, get a baseline for free), equation 8.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def loss(logit, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=logit), via=sx.LeaveOneOut(samples=1000)) - 0.2) ** 2
    >>> print(f"{jax.grad(sx.expectation(loss))(0.0, key=jax.random.key(0)):.2f}")  # 0.6 p (1 - p)
    0.15
    """

    samples: int = eqx.field(static=True, default=2)

    def __check_init__(self):
        if self.samples < 2:
            raise SpanaxError(
                f"LeaveOneOut(samples={self.samples}): leaving one out needs at least 2 draws", "samples=2"
            )

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[f]",
            unbiased=True,
            evaluations=f"{self.samples}",
            orders=None,
            distributions="any whose support is fixed",
            source="Kool et al. 2019, eq. 8",
        )

    def draw(self, key, distribution):
        return draw_with_score(key, distribution)[0]

    def branches(self, distribution):
        return self.samples

    def objective(self, key, distribution, rest):
        # `rest` is vmapped: JAX computes once what does not depend on the draw.
        draws, scores = jax.vmap(lambda k: draw_with_score(k, distribution))(jax.random.split(key, self.samples))
        costs = jax.vmap(rest)(draws)
        scores = scores.astype(costs.dtype)
        others = (jnp.sum(costs) - costs) / (self.samples - 1)
        # expm1(score) is 0 in value; its first derivative is grad log p, and its higher ones those of p / stop_gradient(p).
        return jnp.mean(costs + jnp.expm1(scores) * (costs - others))
