"""Draws without derivative, each with its score log p(z) - stop_gradient(log p(z)), even if z has lost digits that log p needs.

A Gamma draw of concentration .01 is below the smallest float32 four times in ten, and Beta and Dirichlet draws are made of those;
a relaxed Bernoulli of a low temperature rounds to 0 or 1. Their log p is computed from the logarithm of the draw, or from the
number before the transformation, and is right even if the draw that the program sees has underflowed.
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
    """Is the score a function of the draw alone, so that no number from before a transformation is needed?"""
    return family(distribution) in FORMULAS


Draw = tuple[Array, Float[Array, "*batch"]]  # z, of shape (*shape, *d.shape()), and its score, (*shape, *d.batch_shape)


def draw_with_score(key: Key[Array, ""], distribution: Any) -> tuple[Array, Float[Array, ""]]:
    """A hard draw, and log p - stop_gradient(log p), summed over its elements: 0 in value, with the derivatives of log p."""
    from .corrected import correct

    z, score = scored_draw(key, correct(distribution))
    return z, jnp.sum(score)


def scored_draw(key: Key[Array, ""], d: Any, shape: tuple[int, ...] = ()) -> Draw:
    """A draw of a corrected distribution, and its score."""
    import numpyro.distributions as dist

    if (from_wrapper := through_wrapper(scored_draw, key, d, shape)) is not None:
        return from_wrapper
    for cls, draw in ((dist.Gamma, _gamma), (dist.Beta, _beta), (dist.Dirichlet, _dirichlet)):
        if isinstance(d, cls):
            with numpyro_promotion():
                z, log_p = draw(key, d, (*shape, *d.batch_shape))
            return z, score_of(d, log_p)
    if isinstance(d, dist.TransformedDistribution) and _is_scored_by_its_base(d):
        y, score = scored_draw(key, d.base_dist, shape)
        with numpyro_promotion():
            return apply_transforms(d, y), score
    z = hard_draw(key, d, shape)
    return z, over_batch(d, z, score_of(d, log_prob_of_elements(d, z)), shape)


def _is_scored_by_its_base(d: Any) -> bool:
    """Is the score of z = t(y) that of y?"""
    # It is if t has no parameters: log p(z) is log p(y) less a Jacobian that no parameter is in. A mixture below it would be
    # scored by its components, which `by_parts` does.
    import numpyro.distributions as dist

    # The power of an InverseGamma is a field, and the constant -1.
    has_own = has_parameters(d.transforms) and not isinstance(d, dist.InverseGamma)
    return not has_own and kinds(d) == {DENSITY} and not has_mixture(d)


def over_batch(d: Any, z: Array, score: Array, shape: tuple[int, ...]) -> Float[Array, "*batch"]:
    """The scores of elements, summed over those that form one event."""
    batch = (*shape, *d.batch_shape)
    score = jnp.broadcast_to(
        score, np.broadcast_shapes(score.shape, batch if score.ndim <= len(batch) else score.shape)
    )
    return jnp.sum(score, range(len(batch), score.ndim))


def apply_transforms(d: Any, y: Array) -> Array:
    for transform in d.transforms:
        y = transform(y)
    return y


def through_wrapper(draw: Callable[..., Draw], key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw | None:
    """A draw of d made from one of the distribution inside `to_event`, `expand` or `mask`; None if d is none of these."""
    import numpyro.distributions as dist

    if isinstance(d, dist.MaskedDistribution):
        return draw(key, d.base_dist, shape)
    if isinstance(d, dist.Independent):
        z, score = draw(key, d.base_dist, shape)
        return z, jnp.sum(score, range(score.ndim - d.reinterpreted_batch_ndims, score.ndim))
    if isinstance(d, dist.ExpandedDistribution):
        return _draw_expanded(draw, key, d, shape)
    return None


def _draw_expanded(draw: Callable[..., Draw], key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    """A draw of a broadcast batch, of which each element is a draw of its own."""
    # The inner distribution draws the new elements on leading axes; these then move to where the broadcast put them.
    inside, axes = d.base_dist, range(len(d.batch_shape))
    sizes = (1,) * (len(axes) - len(inside.batch_shape)) + tuple(inside.batch_shape)
    new = [i for i in axes if sizes[i] != d.batch_shape[i]]
    first, rest = len(shape), len(shape) + len(new)

    def put_in_place(x: Array) -> Array:
        events = x.shape[rest + len(inside.batch_shape) :]
        x = x.reshape((*x.shape[:rest], *sizes, *events))
        order = [first + new.index(i) if i in new else rest + i for i in axes]
        x = jnp.transpose(x, (*range(first), *order, *(rest + i for i in new), *range(rest + len(axes), x.ndim)))
        return x.reshape((*shape, *d.batch_shape, *events))

    z, score = draw(key, inside, (*shape, *(d.batch_shape[i] for i in new)))
    return put_in_place(z), put_in_place(score)


def _gamma(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """A draw, and its log p from the draw's logarithm."""
    # `loggamma` draws the logarithm itself, which does not underflow.
    a, rate = jnp.asarray(d.concentration), jnp.asarray(d.rate)
    log_z = lax.stop_gradient(jax.random.loggamma(key, a, shape) - jnp.log(rate))
    z = jnp.exp(log_z)
    return z, (a - 1) * log_z - rate * z + a * jnp.log(rate) - gammaln(a)


def _dirichlet(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    a = jnp.asarray(d.concentration)
    log_z = lax.stop_gradient(jax.nn.log_softmax(jax.random.loggamma(key, a, (*shape, a.shape[-1]))))
    info = jnp.finfo(log_z.dtype)
    # Clipped as NumPyro clips it: the same key gives the same draw.
    z = jnp.clip(jnp.exp(log_z), info.tiny, 1 - info.eps)
    return z, jnp.sum((a - 1) * log_z - gammaln(a), -1) + gammaln(jnp.sum(a, -1))


def _beta(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> tuple[Array, Array]:
    z, log_p = _dirichlet(key, d._dirichlet, shape)
    return z[..., 0], log_p
