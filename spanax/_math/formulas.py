"""log p(z) of the discrete families, as textbook formulas, guarded so that no unused branch gives NaN.

NumPyro 0.22 clips probabilities and logits on the way, which makes its derivative wrong at `logits == 0` exactly (0 and 1 instead
of -1/2 and 1/2) and zero where a probability is 0; and it takes the raw `probs` of a Multinomial as normalised, so that the mean
of their score is not zero. Each function is log p up to a term that does not depend on the parameters: `CONSTANTS` has those.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import gammaln
from jaxtyping import Array


def _log_where(use: Array, p: Array) -> Array:
    """log p where `use`, else 0, with no NaN in the derivative of the unused branch."""
    # Selecting after the logarithm is not enough: the derivative of log 0 is infinite, and 0 times infinity is NaN.
    return jnp.log(jnp.where(use, p, 1.0))


def _times_log(k: Array, p: Array) -> Array:
    """k log p, 0 where k is 0."""
    return k * _log_where(k > 0, p)


# What does not depend on z is computed without z: vmapped over draws, it is then computed once for all of them.
def _bernoulli_logits(b, z):
    logits = jnp.asarray(b.logits)
    return jnp.where(z > 0, jax.nn.log_sigmoid(logits), jax.nn.log_sigmoid(-logits))


def _bernoulli_probs(b, z):
    probs = jnp.asarray(b.probs)
    return jnp.where(z > 0, _log_where(probs > 0, probs), _log_where(probs < 1, 1 - probs))


def _binomial_logits(b, z):
    logits, n = jnp.asarray(b.logits), jnp.asarray(b.total_count)
    z, n = z.astype(logits.dtype), n.astype(logits.dtype)
    return z * jax.nn.log_sigmoid(logits) + (n - z) * jax.nn.log_sigmoid(-logits)


def _binomial_probs(b, z):
    probs, n = jnp.asarray(b.probs), jnp.asarray(b.total_count)
    z, n = z.astype(probs.dtype), n.astype(probs.dtype)
    return _times_log(z, probs) + _times_log(n - z, 1 - probs)


def _pick(table: Array, z: Array) -> Array:
    table = jnp.broadcast_to(table, z.shape + table.shape[-1:])
    return jnp.take_along_axis(table, z[..., None].astype(int), -1)[..., 0]


def _categorical_logits(b, z):
    return _pick(jax.nn.log_softmax(b.logits), z)


def _categorical_probs(b, z):
    # Normalised, so that E[grad log p] is 0 in every direction, not only along the simplex.
    return jnp.log(_pick(b.probs, z)) - jnp.log(jnp.sum(b.probs, -1))


def _poisson(b, z):
    rate = jnp.asarray(b.rate)
    return _times_log(z.astype(rate.dtype), rate) - rate


def _multinomial_probs(b, z):
    probs = jnp.asarray(b.probs)
    z = z.astype(probs.dtype)
    return jnp.sum(_times_log(z, probs), -1) - jnp.sum(z, -1) * jnp.log(jnp.sum(probs, -1))


def _multinomial_logits(b, z):
    # A category that was not drawn may have the log-probability -inf: its share is 0, not 0 times -inf.
    logits = jax.nn.log_softmax(b.logits)
    return jnp.sum(jnp.where(z > 0, z.astype(logits.dtype) * jnp.where(z > 0, logits, 0.0), 0.0), -1)


def _geometric_probs(b, z):
    probs = jnp.asarray(b.probs)
    return _times_log(z.astype(probs.dtype), 1 - probs) + jnp.log(probs)


def _geometric_logits(b, z):
    logits = jnp.asarray(b.logits)
    return z.astype(logits.dtype) * jax.nn.log_sigmoid(-logits) + jax.nn.log_sigmoid(logits)


FORMULAS: dict[str, Callable[[Any, Array], Array]] = {
    "BernoulliLogits": _bernoulli_logits,
    "BernoulliProbs": _bernoulli_probs,
    "BinomialLogits": _binomial_logits,
    "BinomialProbs": _binomial_probs,
    "CategoricalLogits": _categorical_logits,
    "CategoricalProbs": _categorical_probs,
    "MultinomialProbs": _multinomial_probs,
    "MultinomialLogits": _multinomial_logits,
    "OrderedLogistic": _categorical_probs,
    "Poisson": _poisson,
    "GeometricProbs": _geometric_probs,
    "GeometricLogits": _geometric_logits,
}


def _log_choices(b, z):
    n, z = jnp.asarray(b.total_count, float), jnp.asarray(z, float)
    return gammaln(n + 1) - gammaln(z + 1) - gammaln(n - z + 1)


def _log_arrangements(b, z):
    z = jnp.asarray(z, float)
    return gammaln(jnp.sum(z, -1) + 1) - jnp.sum(gammaln(z + 1), -1)


CONSTANTS: dict[str, Callable[[Any, Array], Array]] = {
    "BinomialLogits": _log_choices,
    "BinomialProbs": _log_choices,
    "MultinomialProbs": _log_arrangements,
    "MultinomialLogits": _log_arrangements,
    "Poisson": lambda b, z: -gammaln(jnp.asarray(z, float) + 1),
}
