"""What bridges need from a NumPyro distribution: its family, a draw, logits and means."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._errors import SpanaxError

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def base(distribution: Distribution) -> Any:
    """The distribution inside `to_event`, `expand` and `mask`, none of which changes how one element is drawn."""
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
    """Inside it, NumPyro may promote dtypes and ranks, which it relies on, even if the program forbids promotion."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


def numpyro_draw(
    distribution: Distribution, key: Key[Array, ""], method: str, sample_shape: tuple[int, ...] = ()
) -> Array:
    """`distribution.sample(key, sample_shape)`, or rsample. Raises `SpanaxError` if NumPyro cannot draw from it."""
    from .corrected import correct

    try:
        with numpyro_promotion():
            return jnp.asarray(getattr(correct(distribution), method)(key, sample_shape))
    except (AssertionError, NotImplementedError, ImportError) as error:
        raise SpanaxError(
            f"{family(distribution)}.{method}(key) cannot draw: {error!r}",
            "a distribution that numpyro can draw from",
        ) from error


def hard_draw(key: Key[Array, ""], distribution: Distribution, sample_shape: tuple[int, ...] = ()) -> Array:
    """A draw without derivative. A Bernoulli draw is a float, so that every bridge at its site has one dtype."""
    z = lax.stop_gradient(numpyro_draw(distribution, key, "sample", sample_shape))
    return z.astype(jnp.result_type(parameter(distribution), float)) if is_bernoulli(distribution) else z


def is_reparametrised(distribution: Distribution) -> bool:
    """Does its draw have a derivative with respect to all of its parameters?"""
    # Asked of the corrected one: NumPyro does not list all families that it draws by their quantile function.
    from .corrected import correct

    return correct(distribution).has_rsample


def parameter(distribution: Distribution) -> Array:
    b = base(distribution)
    return jnp.asarray(b.logits if type(b).__name__.endswith("Logits") else b.probs)


def bernoulli_logits(distribution: Distribution) -> Float[Array, "*shape"]:
    """log p/(1 - p), of the draw's shape; infinite, with an infinite derivative, where `probs` is exactly 0 or 1."""
    p = parameter(distribution)
    logits = p if family(distribution).endswith("Logits") else jnp.log(p) - jnp.log1p(-p)
    return jnp.broadcast_to(logits, distribution.shape())


def bernoulli_probs(distribution: Distribution) -> tuple[Float[Array, "*shape"], Float[Array, "*shape"]]:
    """1 - p and p, of the draw's shape, each with an accurate derivative."""
    shape = distribution.shape()
    q, p = complement_and_p(distribution)
    return jnp.broadcast_to(q, shape), jnp.broadcast_to(p, shape)


def complement_and_p(distribution: Distribution) -> tuple[Array, Array]:
    p = parameter(distribution)
    return (sigmoid(-p), sigmoid(p)) if family(distribution).endswith("Logits") else (1 - p, p)


def sigmoid(logits: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """1/(1 + exp(-logits)), with a derivative that does not round to 0 where p is near 1."""
    # The derivative of `jax.nn.sigmoid` is p (1 - p), and 1 - p is 0 as soon as p rounds to 1: at logits of 17 in float32.
    return jnp.exp(jax.nn.log_sigmoid(logits))


def categorical_logits(distribution: Distribution) -> Float[Array, "*shape k"]:
    """log p up to a constant; the draw's shape and an axis of categories. -inf where a probability is 0."""
    p = parameter(distribution)
    logits = p if family(distribution).endswith("Logits") else jnp.log(p)
    return jnp.broadcast_to(logits, distribution.shape() + logits.shape[-1:])


def categorical_mean(distribution: Distribution) -> Float[Array, "*shape k"]:
    """The probabilities; the draw's shape and an axis of categories."""
    p = parameter(distribution)
    mean = jax.nn.softmax(p) if family(distribution).endswith("Logits") else p / jnp.sum(p, -1, keepdims=True)
    return jnp.broadcast_to(mean, distribution.shape() + mean.shape[-1:])


def one_hot_draw(key: Key[Array, ""], distribution: Distribution) -> Float[Array, "*shape k"]:
    """A Categorical draw as one-hot weights, without derivative."""
    p = parameter(distribution)
    return jax.nn.one_hot(hard_draw(key, distribution), p.shape[-1], dtype=jnp.result_type(p, float))
