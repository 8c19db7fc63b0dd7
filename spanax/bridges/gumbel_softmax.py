"""The Gumbel-softmax (concrete) relaxation.

argmax(logits + Gumbel noise) is a Categorical draw (Gumbel 1954); a softmax in place of the argmax has a derivative.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._errors import SpanaxError
from .._math.distributions import bernoulli_logits, categorical_logits, family, is_bernoulli, is_categorical, sigmoid
from .._math.first_order import first_order
from .base import Local
from .facts import Facts


class GumbelSoftmax(Local):
    """A relaxed draw: softmax((logits + Gumbel noise)/temperature).

    For a Bernoulli: sigmoid((logit + logistic noise)/temperature).

    Unbiased for the expectation of the RELAXED program, so biased for E[f]; as the temperature falls, the bias falls and the
    variance grows. A Bernoulli draw is in (0, 1); a Categorical draw comes as weights that sum to 1, with the categories on a
    new last axis. With `hard=True` the value is rounded to 0/1 or one-hot weights, and the derivatives, of every order, are
    those of the relaxed draw (straight-through Gumbel). Give `logits`: with `probs` of exactly 0 or 1 the derivative is NaN.

    Raises `SpanaxError` for any distribution but Bernoulli and Categorical.

    Jang, Gu and Poole 2017 (arXiv:1611.01144), equation 2; Maddison, Mnih and Teh 2017 (arXiv:1611.00712).

    >>> import jax, jax.numpy as jnp, numpyro.distributions as dist, spanax as sx
    >>> d = dist.Categorical(logits=jnp.zeros(3))
    >>> z = sx.sample(jax.random.key(0), d, via=sx.GumbelSoftmax(temperature=0.5))
    >>> z.shape, round(float(z.sum()), 3)
    ((3,), 1.0)
    >>> z = sx.sample(jax.random.key(0), d, via=sx.GumbelSoftmax(0.5, hard=True))
    >>> sorted(z.tolist())
    [0.0, 0.0, 1.0]
    """

    temperature: float | jax.Array = 1.0
    hard: bool = eqx.field(static=True, default=False)

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="the relaxed program's expectation"
            + (" at hard values: nothing exactly" if self.hard else ""),
            unbiased=False,
            evaluations="1",
            orders=None,
            distributions="Bernoulli, Categorical (as weights)",
            source="Jang, Gu and Poole 2017, eq. 2",
        )

    def draw(self, key, distribution):
        if is_bernoulli(distribution):
            logits = bernoulli_logits(distribution)
            # The difference of two Gumbel variables is logistic.
            soft = sigmoid((logits + jax.random.logistic(key, logits.shape, logits.dtype)) / self.temperature)
            return self._finish(soft, lambda: (soft > 0.5).astype(soft.dtype))
        if is_categorical(distribution):
            logits = categorical_logits(distribution)
            soft = jax.nn.softmax((logits + jax.random.gumbel(key, logits.shape, logits.dtype)) / self.temperature)
            return self._finish(soft, lambda: jax.nn.one_hot(jnp.argmax(soft, -1), soft.shape[-1], dtype=soft.dtype))
        raise SpanaxError(
            f"GumbelSoftmax() is for Bernoulli and Categorical draws, not {family(distribution)}", "ScoreFunction()"
        )

    def _finish(self, soft, rounded):
        # `at` is empty: the derivative, that of the relaxed draw, depends on nothing that a second one could miss.
        return first_order(_identity, "GumbelSoftmax(hard=True)", rounded(), (), soft) if self.hard else soft


def _identity(at, d_soft):
    return d_soft
