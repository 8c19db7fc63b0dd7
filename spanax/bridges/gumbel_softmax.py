"""The Gumbel-softmax (concrete) relaxation."""

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

    Unbiased for the expectation of the RELAXED program, so biased for E[f]; the bias falls and the variance grows as
    the temperature falls. A Bernoulli draw lies in (0, 1); a Categorical draw comes as weights that sum to 1, with
    the categories on a new last axis. With `hard=True` the value is rounded to 0/1 or one-hot weights and the
    derivatives, of every order, are those of the relaxed draw (straight-through Gumbel). Give `logits`: with `probs` of
    exactly 0 or 1 the derivative is NaN.

    Raises `SpanaxError` for any distribution but Bernoulli and Categorical.

    Jang, Gu and Poole 2017 (arXiv:1611.01144), equation 2; Maddison, Mnih and Teh 2017 (arXiv:1611.00712).
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
        return first_order(_identity, "GumbelSoftmax(hard=True)", rounded(), (), soft) if self.hard else soft


def _identity(at, d_soft):
    return d_soft
