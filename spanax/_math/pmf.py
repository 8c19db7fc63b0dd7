"""The probability mass function over a finite support, as polynomials of p where there are such.

A derivative through exp(log p) is 0 times infinity at p = 0. p itself, 1 - p, and the binomial polynomials
C(n, k) p^k (1 - p)^(n-k) have right derivatives there too.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._jaxprs import computed_now
from .distributions import (
    base,
    categorical_mean,
    complement_and_p,
    family,
    is_bernoulli,
    is_categorical,
    numpyro_promotion,
    parameter,
)

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def support_size(distribution: Distribution) -> int:
    """How many values the whole draw can take: the support of one element to the power of their number."""
    return len(_values(distribution)) ** math.prod(distribution.shape())


def pmf(distribution: Distribution) -> tuple[Array, Float[Array, " n"]]:
    """All n values of the draw, of shape (n, *draw), and their probabilities.

    The probabilities are polynomials in p itself where the family is Bernoulli, Binomial or Categorical, so their
    derivative is right where p is exactly 0 or 1.
    """
    values, shape = _values(distribution), distribution.shape()
    m = math.prod(shape)
    n = len(values) ** m
    # The product over the elements: exponential in their number, which `support_size` lets a bridge refuse.
    index = jnp.asarray(np.indices((len(values),) * m).reshape(m, n).T)  # (n, m): which value each element takes
    table = jnp.broadcast_to(_weights(distribution, values), (*shape, len(values))).reshape(m, len(values))
    weights = jnp.prod(table[jnp.arange(m), index], -1)
    z = jnp.asarray(values)[index].reshape((n, *shape))
    return z.astype(jnp.result_type(parameter(distribution), float)) if is_bernoulli(distribution) else z, weights


def _values(distribution: Distribution) -> np.ndarray:
    """The support of one element, as concrete numbers."""
    b = base(distribution)
    if not b.has_enumerate_support or b.event_shape:
        raise SpanaxError(
            f"{family(distribution)} has no finite support to enumerate",
            "ScoreFunction() with samples >= 2, or LeaveOneOut()",
            "Componentwise() for a mixture",
            "truncate it to a Categorical",
        )
    try:
        with computed_now(), numpyro_promotion():
            return np.asarray(b.enumerate_support(expand=False)).reshape(-1)
    except (jax.errors.ConcretizationTypeError, TypeError, NotImplementedError) as error:
        raise SpanaxError(
            f"the support of {family(distribution)} is not known when the program is traced",
            "give total_count, low and high as Python integers, the same for all elements",
            "ScoreFunction() with samples >= 2, or LeaveOneOut()",
        ) from error


def _weights(distribution: Distribution, values: np.ndarray) -> Float[Array, "*batch values"]:
    """p(value) of each element; the last axis runs over the values."""
    from .corrected import correct

    b = correct(base(distribution))
    if is_bernoulli(b):
        return jnp.stack(complement_and_p(b), -1)
    if is_categorical(b):
        return categorical_mean(b)
    if family(b) in ("BinomialProbs", "BinomialLogits"):
        return _binomial_weights(b, values)
    with numpyro_promotion():
        log_p = jax.vmap(b.log_prob)(values.reshape((-1,) + (1,) * len(b.batch_shape)))
    return jnp.moveaxis(jnp.exp(log_p), 0, -1)


def _binomial_weights(b: Any, values: np.ndarray) -> Float[Array, "*batch values"]:
    q, p = complement_and_p(b)
    return _binomial_pmf(int(values[-1]), p, q)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _binomial_pmf(n: int, p: Array, q: Array) -> Float[Array, "*batch values"]:
    """C(n, k) p^k q^(n-k) for k = 0..n, where q = 1 - p is given for accuracy; right at 0 and 1 too."""
    # By logarithms: C(n, k) overflows for large n. xlogy is 0 where k is 0, whatever p is.
    k = np.arange(n + 1)
    log_count = [math.lgamma(n + 1) - math.lgamma(i + 1) - math.lgamma(n - i + 1) for i in k]
    log_count, k = (jnp.expand_dims(jnp.asarray(x, p.dtype), range(p.ndim)) for x in (log_count, k))
    return jnp.exp(log_count + xlogy(k, p[..., None]) + xlogy(n - k, q[..., None]))


@_binomial_pmf.defjvp
def _binomial_pmf_jvp(n, primals, tangents):
    """d pmf(k; n)/dp = n (pmf(k - 1; n - 1) - pmf(k; n - 1)): polynomials again, so right at 0 and 1 at every order."""
    pmf, (dp, _) = _binomial_pmf(n, *primals), tangents
    if n == 0:
        return pmf, jnp.zeros_like(pmf)
    fewer, none = _binomial_pmf(n - 1, *primals), jnp.zeros_like(pmf[..., :1])
    slope = n * (jnp.concatenate([none, fewer], -1) - jnp.concatenate([fewer, none], -1))
    return pmf, slope * dp[..., None]
