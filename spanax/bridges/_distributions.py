"""What the bridges ask of a numpyro distribution: a hard draw, log p(z), logits, means, and the pmf over a finite support.

The log-probabilities of the common discrete families are our own. NumPyro 0.22 clips probabilities and logits on the
way, which makes its derivative wrong where `logits == 0` exactly (0 and 1 for -1/2 and 1/2) and zero where a
probability is 0; ours are the textbook formulas, guarded so that no unused branch gives NaN.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import xlogy
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError
from .._jaxprs import computed_now
from .._primitives import undifferentiated, zero_valued

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def base(distribution: Distribution) -> Any:
    """The distribution without `to_event`, `expand` and `mask`, none of which changes how one element is drawn."""
    import numpyro.distributions as dist

    wrappers = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution)
    while isinstance(distribution, wrappers):
        distribution = distribution.base_dist
    return distribution


def family(distribution: Distribution) -> str:
    """The class name of the distribution as the user wrote it, such as "BernoulliLogits"."""
    return type(base(distribution)).__name__


def is_bernoulli(distribution: Distribution) -> bool:
    return family(distribution) in ("BernoulliLogits", "BernoulliProbs")


def is_categorical(distribution: Distribution) -> bool:
    return family(distribution) in ("CategoricalLogits", "CategoricalProbs")


@contextlib.contextmanager
def numpyro_promotion() -> Iterator[None]:
    """NumPyro needs implicit dtype and rank promotion, also in a program that forbids them to itself."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def numpyro_draw(distribution: Distribution, key: Key[Array, ""], method: str) -> Array:
    """`distribution.sample(key)`, or rsample; a distribution without one is an error of ours."""
    try:
        with numpyro_promotion():
            return getattr(distribution, method)(key)
    except (AssertionError, NotImplementedError) as error:
        raise SpanaxError(
            f"{family(distribution)}.{method}(key) cannot draw: {error!r}",
            "",
            "a distribution that numpyro can draw from",
        ) from error


def hard_draw(key: Key[Array, ""], distribution: Distribution) -> Array:
    """A draw without derivative. A Bernoulli draw is a float, so that every bridge at its site has one dtype."""
    z = lax.stop_gradient(jnp.asarray(numpyro_draw(distribution, key, "sample")))
    return z.astype(jnp.result_type(_parameter(distribution), float)) if is_bernoulli(distribution) else z


def _parameter(distribution: Distribution) -> Array:
    b = base(distribution)
    return jnp.asarray(b.logits if type(b).__name__.endswith("Logits") else b.probs)


def bernoulli_logits(distribution: Distribution) -> Float[Array, "*shape"]:
    """log p/(1 - p), of the draw's shape; infinite, with an infinite derivative, where `probs` is exactly 0 or 1."""
    p = _parameter(distribution)
    logits = p if family(distribution).endswith("Logits") else jnp.log(p) - jnp.log1p(-p)
    return jnp.broadcast_to(logits, distribution.shape())


def bernoulli_probs(distribution: Distribution) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """1 - p and p, of the draw's shape, each with an accurate derivative."""
    shape = distribution.shape()
    q, p = _complement_and_p(distribution)
    return jnp.broadcast_to(q, shape), jnp.broadcast_to(p, shape)


def _complement_and_p(distribution: Distribution) -> tuple[Array, Array]:
    p = _parameter(distribution)
    return (sigmoid(-p), sigmoid(p)) if family(distribution).endswith("Logits") else (1 - p, p)


def sigmoid(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1/(1 + exp(-logits)); unlike that of `jax.nn.sigmoid`, its derivative does not round to 0 where p is near 1."""
    return jnp.exp(jax.nn.log_sigmoid(logits))


def categorical_logits(distribution: Distribution) -> Float[Array, "*shape k"]:
    """log p up to a constant; the draw's shape and an axis of categories. -inf where a probability is 0."""
    p = _parameter(distribution)
    logits = p if family(distribution).endswith("Logits") else jnp.log(p)
    return jnp.broadcast_to(logits, distribution.shape() + logits.shape[-1:])


def categorical_mean(distribution: Distribution) -> Float[Array, "*shape k"]:
    """The probabilities; the draw's shape and an axis of categories."""
    p = _parameter(distribution)
    mean = jax.nn.softmax(p) if family(distribution).endswith("Logits") else p / jnp.sum(p, -1, keepdims=True)
    return jnp.broadcast_to(mean, distribution.shape() + mean.shape[-1:])


def one_hot_draw(key: Key[Array, ""], distribution: Distribution) -> Float[Array, "*shape k"]:
    """A Categorical draw as one-hot weights, without derivative."""
    p = _parameter(distribution)
    return jax.nn.one_hot(hard_draw(key, distribution), p.shape[-1], dtype=jnp.result_type(p, float))


# -- log p(z) -------------------------------------------------------------------------------------------------------


def log_prob(distribution: Distribution, z: Array) -> Float[Array, ""]:
    """log p(z) summed over all elements of the draw, up to a constant that does not depend on the parameters.

    z is a hard draw: its derivative is not used. Where a continuous distribution's support moves with a parameter
    (Uniform, Pareto, truncated families) log p misses the boundary's term, so differentiating with respect to
    that parameter raises `SpanaxError`.
    """
    b = base(distribution)
    own = _LOG_PROBS.get(type(b).__name__)
    if own is not None:
        return jnp.sum(own(b, z))
    with numpyro_promotion():
        log_p = jnp.sum(b.log_prob(z))
    return log_p + _moving_support(b)


def score(distribution: Distribution, z: Array) -> Float[Array, ""]:
    """log p(z) - stop_gradient(log p(z)): 0 in value, with the derivatives, of every order, of `log_prob`.

    For the families whose log p is our own the value is the constant 0, so that a compiled program need not compute
    log p at all. For the others it is NaN where log p is not finite: their derivative cannot be trusted there.
    """
    log_p = log_prob(distribution, z)
    return zero_valued(log_p) if family(distribution) in _LOG_PROBS else log_p - lax.stop_gradient(log_p)


def _moving_support(b: Any) -> Float[Array, ""] | float:
    if b.is_discrete and family(b) != "Delta":
        return 0.0
    support = b.v if family(b) == "Delta" else _support(b)
    bounds = [jnp.asarray(x) for x in jax.tree.leaves(support) if isinstance(x, jax.Array)]
    guarded = undifferentiated(
        bounds,
        f"the score function of {type(b).__name__} with respect to a bound of its support: log p misses the boundary's term",
        "Pathwise(), where the distribution has rsample",
        "rewrite the draw as a transformation of one with a fixed support",
    )
    return sum((0.0 * jnp.sum(x) for x in guarded if jnp.issubdtype(x.dtype, jnp.floating)), 0.0)


def _support(b: Any) -> Any:
    """The support, with the transforms of a distribution whose untransformed support is bounded."""
    import numpyro.distributions as dist

    if isinstance(b, dist.TransformedDistribution):
        inner = base(b.base_dist)
        if inner.support in (dist.constraints.real, dist.constraints.real_vector):
            return ()
        positive = inner.support is dist.constraints.positive  # and powers of that are, too
        return _support(inner), [
            t for t in b.transforms if not (positive and isinstance(t, dist.transforms.PowerTransform))
        ]
    return b.support


def _log_where(use: Array, p: Array) -> Array:
    """log p where `use`, else 0, with no NaN in the derivative of the unused branch."""
    return jnp.log(jnp.where(use, p, 1.0))


def _times_log(k: Array, p: Array) -> Array:
    """k log p, 0 where k is 0."""
    return k * _log_where(k > 0, p)


# Whatever does not depend on z is computed without it: vmapped over draws, it is computed once for all of them.
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
    return jnp.take_along_axis(table, z[..., None], -1)[..., 0]


def _categorical_logits(b, z):
    return _pick(jax.nn.log_softmax(b.logits), z)


def _categorical_probs(b, z):
    # Normalised, so that E[grad log p] is 0 in every direction, not only along the simplex.
    return jnp.log(_pick(b.probs, z)) - jnp.log(jnp.sum(b.probs, -1))


def _poisson(b, z):
    rate = jnp.asarray(b.rate)
    return _times_log(z.astype(rate.dtype), rate) - rate


def _geometric_probs(b, z):
    probs = jnp.asarray(b.probs)
    return _times_log(z.astype(probs.dtype), 1 - probs) + jnp.log(probs)


def _geometric_logits(b, z):
    logits = jnp.asarray(b.logits)
    return z.astype(logits.dtype) * jax.nn.log_sigmoid(-logits) + jax.nn.log_sigmoid(logits)


_LOG_PROBS: dict[str, Callable[[Any, Array], Array]] = {
    "BernoulliLogits": _bernoulli_logits,
    "BernoulliProbs": _bernoulli_probs,
    "BinomialLogits": _binomial_logits,
    "BinomialProbs": _binomial_probs,
    "CategoricalLogits": _categorical_logits,
    "CategoricalProbs": _categorical_probs,
    "Poisson": _poisson,
    "GeometricProbs": _geometric_probs,
    "GeometricLogits": _geometric_logits,
}


# -- the pmf over a finite support --------------------------------------------------------------------------------


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
    index = jnp.asarray(np.indices((len(values),) * m).reshape(m, n).T)  # (n, m): which value each element takes
    table = jnp.broadcast_to(_weights(distribution, values), (*shape, len(values))).reshape(m, len(values))
    weights = jnp.prod(table[jnp.arange(m), index], -1)
    z = jnp.asarray(values)[index].reshape((n, *shape))
    return z.astype(jnp.result_type(_parameter(distribution), float)) if is_bernoulli(distribution) else z, weights


def _values(distribution: Distribution) -> np.ndarray:
    """The support of one element, as concrete numbers."""
    b = base(distribution)
    if not b.has_enumerate_support or b.event_shape:
        raise SpanaxError(
            f"{family(distribution)} has no finite support to enumerate",
            "",
            "ScoreFunction() with samples >= 2, or LeaveOneOut()",
            "truncate it to a Categorical",
        )
    try:
        with computed_now(), numpyro_promotion():
            return np.asarray(b.enumerate_support(expand=False)).reshape(-1)
    except (jax.errors.ConcretizationTypeError, TypeError, NotImplementedError) as error:
        raise SpanaxError(
            f"the support of {family(distribution)} is not known when the program is traced",
            "",
            "give total_count, low and high as Python integers, the same for all elements",
            "ScoreFunction() with samples >= 2, or LeaveOneOut()",
        ) from error


def _weights(distribution: Distribution, values: np.ndarray) -> Float[Array, "*batch values"]:
    """p(value) of each element; the last axis runs over the values."""
    b = base(distribution)
    if is_bernoulli(b):
        return jnp.stack(_complement_and_p(b), -1)
    if is_categorical(b):
        return categorical_mean(b)
    if family(b) in ("BinomialProbs", "BinomialLogits"):
        return _binomial_weights(b, values)
    with numpyro_promotion():
        log_p = jax.vmap(b.log_prob)(values.reshape((-1,) + (1,) * len(b.batch_shape)))
    return jnp.moveaxis(jnp.exp(log_p), 0, -1)


def _binomial_weights(b: Any, values: np.ndarray) -> Float[Array, "*batch values"]:
    q, p = _complement_and_p(b)
    return _binomial_pmf(int(values[-1]), p, q)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _binomial_pmf(n: int, p: Array, q: Array) -> Float[Array, "*batch values"]:
    """C(n, k) p^k q^(n-k) for k = 0..n, where q = 1 - p is given for accuracy; no overflow, right at 0 and 1 too."""
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
