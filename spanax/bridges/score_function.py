"""The score function (REINFORCE, likelihood-ratio) gradient.

d/dtheta E[f(z)] = E[f(z) d log p(z; theta)]: an interchange of integral and derivative, for which only p has to be smooth.
"""

from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float

from .._math.scored import draw_with_score
from ._baselines import as_baseline, less_baseline
from .base import Scored
from .facts import Facts
from .moving_average import MovingAverage


class ScoreFunction(Scored):
    """The gradient as E[(cost - baseline) grad log p(z)]: needs only that log p can be differentiated.

    `baseline` is subtracted from the costs that depend on the draw. It changes the variance, never the mean:

    - `"auto"`: with `expectation(samples=K)`, K >= 2, the mean over the other K - 1 replicates (leave-one-out); with
      one sample, none. Recommended;
    - `None`: none. Not recommended: in `spanax gallery vae` the variance is 16 times that of leave-one-out;
    - a scalar array: any number that does not depend on this draw, such as the output of a learned critic;
    - a `MovingAverage` of earlier costs.

    Unbiased for E[f], at every derivative order, for every distribution whose support does not move with its
    parameters (a moving bound raises, also in a component of a mixture, and so does a mixture of atoms and densities:
    `Componentwise` is for those). A Bernoulli, Binomial or Categorical probability of exactly 0 or 1, given as
    `probs`, is out of reach, and so are a Poisson rate of 0 and a Geometric probability of 1: a value that is never drawn
    is never seen, and its share of the derivative is missing. Use `logits`, or `Enumerate`, there.
    The derivative with respect to `probs` of a Categorical is that of the normalised probabilities. Differentiating outside
    `expectation` raises.

    Williams 1992; all orders: Foerster et al. 2018 (arXiv:1802.05098); leave-one-out: Kool et al. 2019.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def loss(logit, *, key):
    ...     return (sx.sample(key, dist.Bernoulli(logits=logit), via=sx.ScoreFunction()) - 0.2) ** 2
    >>> print(f"{jax.grad(sx.expectation(loss, samples=1000))(0.0, key=jax.random.key(0)):.2f}")  # 0.6 p (1 - p)
    0.15
    """

    baseline: Any = eqx.field(converter=as_baseline)

    # Written out for its signature: the field itself is of whatever type the converter makes.
    def __init__(self, baseline: Literal["auto"] | float | Float[Array, ""] | MovingAverage | None = "auto"):
        self.baseline = baseline

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[f]",
            unbiased=True,
            evaluations="samples",
            orders=None,
            distributions="any whose support is fixed",
            source="Williams 1992; Foerster et al. 2018, eq. 4",
        )

    def draw(self, key, distribution):
        return draw_with_score(key, distribution)[0]

    # The score is made with the draw, from the same key: log p of a draw that was rounded to 0 would be infinite.
    def draw_with_score(self, key, distribution):
        return draw_with_score(key, distribution)

    def advantage(self, togo, others):
        return less_baseline(self.baseline, togo, others)
