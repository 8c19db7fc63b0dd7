"""Draws without derivative, each with its score: d log p(z), where z itself may have lost the digits that log p needs.

A Gamma draw of concentration .01 is below the smallest float32 four times in ten, and Beta and Dirichlet draws are made of those;
a relaxed Bernoulli of a low temperature rounds to 0 or 1. Their log p is taken from the logarithm of the draw, or from the number
that was transformed, and is right where the draw that the program sees has underflowed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln
from jaxtyping import Array, Float, Key

from .distributions import family, hard_draw, numpyro_promotion
from .formulas import FORMULAS
from .log_probs import log_prob_of_elements, score_of
from .parts import DENSITY, has_mixture, has_parameters, kinds


def is_told_by_the_draw(distribution: Any) -> bool:
    """Is the score a function of the draw alone, so that the number that it was made of need not be known?"""
    return family(distribution) in FORMULAS


Draw = tuple[Array, Float[Array, "*batch"]]  # z, of shape (*shape, *d.shape()), and its score, (*shape, *d.batch_shape)


def draw_with_score(key: Key[Array, ""], distribution: Any) -> tuple[Array, Float[Array, ""]]:
    """A hard draw, and log p - stop_gradient(log p), summed over its elements: 0 in value, with the derivatives of log p."""
    from .corrected import corrected

    z, score = scored_draw(key, corrected(distribution))
    return z, jnp.sum(score)


def scored_draw(key: Key[Array, ""], d: Any, shape: tuple[int, ...] = ()) -> Draw:
    """Of a corrected distribution."""
    import numpyro.distributions as dist

    if (wrapped := through_wrapper(scored_draw, key, d, shape)) is not None:
        return wrapped
    for cls, draw in ((dist.Gamma, _gamma), (dist.Beta, _beta), (dist.Dirichlet, _dirichlet)):
        if isinstance(d, cls):
            with numpyro_promotion():
                z, log_p = draw(key, d, (*shape, *d.batch_shape))
            return z, score_of(d, log_p)
    if (
        isinstance(d, dist.TransformedDistribution)
        and not _has_own_parameters(d)
        and kinds(d) == {DENSITY}
        and not has_mixture(d)
    ):
        y, score = scored_draw(key, d.base_dist, shape)
        with numpyro_promotion():
            return transformed(d, y), score
    z = hard_draw(key, d, shape)
    return z, over_batch(d, z, score_of(d, log_prob_of_elements(d, z)), shape)


def _has_own_parameters(d: Any) -> bool:
    import numpyro.distributions as dist

    return has_parameters(d.transforms) and not isinstance(d, dist.InverseGamma)  # its power is the constant -1


def over_batch(d: Any, z: Array, score: Array, shape: tuple[int, ...]) -> Float[Array, "*batch"]:
    """The elements' scores summed over those that are one event."""
    batch = (*shape, *d.batch_shape)
    score = jnp.broadcast_to(
        score, np.broadcast_shapes(score.shape, batch if score.ndim <= len(batch) else score.shape)
    )
    return jnp.sum(score, range(len(batch), score.ndim))


def transformed(d: Any, y: Array) -> Array:
    for transform in d.transforms:
        y = transform(y)
    return y


def through_wrapper(draw: Callable[..., Draw], key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw | None:
    """The draw of what `to_event`, `expand` or `mask` is around, as one of d; None where d is none of these."""
    import numpyro.distributions as dist

    if isinstance(d, dist.MaskedDistribution):
        return draw(key, d.base_dist, shape)
    if isinstance(d, dist.Independent):
        z, score = draw(key, d.base_dist, shape)
        return z, jnp.sum(score, range(score.ndim - d.reinterpreted_batch_ndims, score.ndim))
    if isinstance(d, dist.ExpandedDistribution):
        return _expanded(draw, key, d, shape)
    return None


def _expanded(draw: Callable[..., Draw], key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    """Of a broadcast batch each element is a draw of its own; those that are new come as leading axes, and are put in place."""
    inside, axes = d.base_dist, range(len(d.batch_shape))
    sizes = (1,) * (len(axes) - len(inside.batch_shape)) + tuple(inside.batch_shape)
    new = [i for i in axes if sizes[i] != d.batch_shape[i]]
    first, rest = len(shape), len(shape) + len(new)

    def placed(x: Array) -> Array:
        events = x.shape[rest + len(inside.batch_shape) :]
        x = x.reshape((*x.shape[:rest], *sizes, *events))
        order = [first + new.index(i) if i in new else rest + i for i in axes]
        x = jnp.transpose(x, (*range(first), *order, *(rest + i for i in new), *range(rest + len(axes), x.ndim)))
        return x.reshape((*shape, *d.batch_shape, *events))

    z, score = draw(key, inside, (*shape, *(d.batch_shape[i] for i in new)))
    return placed(z), placed(score)


def _gamma(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A draw, and its log p from the draw's logarithm."""
    a, rate = jnp.asarray(d.concentration), jnp.asarray(d.rate)
    log_z = lax.stop_gradient(jax.random.loggamma(key, a, shape) - jnp.log(rate))
    z = jnp.exp(log_z)
    return z, (a - 1) * log_z - rate * z + a * jnp.log(rate) - gammaln(a)


def _dirichlet(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    a = jnp.asarray(d.concentration)
    log_z = lax.stop_gradient(jax.nn.log_softmax(jax.random.loggamma(key, a, (*shape, a.shape[-1]))))
    info = jnp.finfo(log_z.dtype)
    z = jnp.clip(jnp.exp(log_z), info.tiny, 1 - info.eps)  # as numpyro does
    return z, jnp.sum((a - 1) * log_z - gammaln(a), -1) + gammaln(jnp.sum(a, -1))


def _beta(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    z, log_p = _dirichlet(key, d._dirichlet, shape)
    return z[..., 0], log_p
