"""A draw part by part: which component by its score, and what a component draws by its own derivative, where it has one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._primitives import undifferentiated
from .distributions import numpyro_promotion
from .parts import DENSITY, components, has_mixture, is_hurdle, is_mixture, kinds
from .scored import Draw, scored_draw, through_wrapper, transformed


def by_parts(key: Key[Array, ""], distribution: Any, pathwise: bool) -> tuple[Array, Float[Array, ""]]:
    """A draw, with its derivative, and its score: E[f(z)] has the derivative E[f(z) score'] + E[f'(z) z'].

    `pathwise=False`: no derivative, and the score of all.
    """
    from .corrected import corrected

    z, score = _drawn(key, corrected(distribution), (), pathwise)
    return (z if pathwise else lax.stop_gradient(z)), jnp.sum(score)


def _drawn(key: Key[Array, ""], d: Any, shape: tuple[int, ...], pathwise: bool) -> Draw:
    """Of a corrected distribution, of shape (*shape, *d.shape()) and (*shape, *d.batch_shape)."""
    import numpyro.distributions as dist

    def inside(key, d, shape):
        return _drawn(key, d, shape, pathwise)

    if pathwise and d.has_rsample:
        with numpyro_promotion():
            z = jnp.asarray(d.rsample(key, shape))
        return z, jnp.zeros((*shape, *d.batch_shape), jnp.result_type(float, z))
    if (wrapped := through_wrapper(inside, key, d, shape)) is not None:
        return wrapped
    if isinstance(d, dist.TransformedDistribution) and (pathwise or has_mixture(d)):
        return _transformed(inside(key, d.base_dist, shape), d, pathwise)
    if is_mixture(d) and not _scored_as_a_whole(d, pathwise):
        return _mixture(inside, key, d, shape)
    if is_hurdle(d) and DENSITY in kinds(d):
        return _hurdle(inside, key, d, shape)
    return scored_draw(key, d, shape)


def _scored_as_a_whole(d: Any, pathwise: bool) -> bool:
    """Where no component has a derivative of its own, log p of the mixture has less variance than that of a component."""
    return len(kinds(d)) == 1 and not (pathwise and any(map(has_derivative, components(d))))


def has_derivative(d: Any) -> bool:
    """Has a draw of it, or a part of one, a derivative?"""
    import numpyro.distributions as dist

    if isinstance(d, dist.Independent | dist.ExpandedDistribution):
        return has_derivative(d.base_dist)
    if is_mixture(d):
        return any(map(has_derivative, components(d)))
    return (
        d.has_rsample or isinstance(d, dist.TransformedDistribution) or (is_hurdle(d) and has_derivative(d.base_dist))
    )


def _transformed(drawn: Draw, d: Any, pathwise: bool) -> Draw:
    y, score = drawn
    if not pathwise:
        d = undifferentiated(
            d,
            "Componentwise(pathwise=False) of a transformed mixture with respect to its transformation",
            "transform what sx.sample draws of the base_dist",
            "Componentwise(), where the program does not jump in the draw",
        )
    with numpyro_promotion():
        return transformed(d, y), score


def _mixture(inside: Any, key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    for_components, for_choice = jax.random.split(key)  # as numpyro does
    batch = (*shape, *d.batch_shape)
    with numpyro_promotion():
        mixing = d.mixing_distribution.expand(batch)
        choice, score = scored_draw(for_choice, mixing)
        z, scores = _all_components(inside, for_components, d, batch)
        z = _chosen(z, choice, d.event_dim)
        return z, score + _chosen(scores, choice, 0)


def _all_components(inside: Any, key: Key[Array, ""], d: Any, batch: tuple[int, ...]) -> Draw:
    """A draw of each component, on an axis after the batch."""
    import numpyro.distributions as dist

    if isinstance(d, dist.MixtureSameFamily):
        return inside(key, d.component_distribution.expand((*batch, d.mixture_size)), ())
    keys = jax.random.split(key, d.mixture_size)
    drawn = [inside(k, c.expand(batch), ()) for k, c in zip(keys, d.component_distributions, strict=True)]
    z, scores = zip(*drawn, strict=True)
    return jnp.stack(z, len(batch)), jnp.stack(scores, len(batch))


def _chosen(x: Array, choice: Array, event_dim: int) -> Array:
    """The chosen entry of the axis before the event's."""
    axis = choice.ndim
    return jnp.take_along_axis(x, choice.reshape((*choice.shape, *(1,) * (1 + event_dim))), axis).squeeze(axis)


def _hurdle(inside: Any, key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    import numpyro.distributions as dist

    for_gate, for_base = jax.random.split(key)  # as numpyro does
    logits = getattr(d, "gate_logits", None)
    gate = dist.Bernoulli(probs=d.gate) if logits is None else dist.Bernoulli(logits=logits)
    with numpyro_promotion():
        zero, score = scored_draw(for_gate, gate.expand((*shape, *d.batch_shape)))
        z, scores = inside(for_base, d.base_dist, shape)
        return jnp.where(zero > 0, 0, z), score + jnp.where(zero > 0, 0, scores)
