"""Draws of mixtures, hurdles and transformations, part by part: which component by its score, its draw by its own derivative.

For a mixture with component c and draw z = g(noise, theta) of that component,

    d/dtheta E[f(z)] = E[f(z) d log p(c; theta)] + E[f'(z) dz/dtheta]

(Schulman et al. 2015, arXiv:1506.05254, theorem 1). A component whose draw has no derivative adds its own score to that of c.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Key

from .._primitives import undifferentiated
from .distributions import numpyro_promotion
from .parts import DENSITY, components, has_mixture, is_hurdle, is_mixture, kinds
from .scored import Draw, apply_transforms, scored_draw, through_wrapper


def by_parts(key: Key[Array, ""], distribution: Any, pathwise: bool) -> tuple[Array, Float[Array, ""]]:
    """A draw, with its derivative, and its score: E[f(z)] has the derivative E[f(z) score'] + E[f'(z) z'].

    `pathwise=False`: the draw has no derivative, and every part is scored.
    """
    from .corrected import correct

    z, score = _draw_parts(key, correct(distribution), (), pathwise)
    return (z if pathwise else lax.stop_gradient(z)), jnp.sum(score)


def _draw_parts(key: Key[Array, ""], d: Any, shape: tuple[int, ...], pathwise: bool) -> Draw:
    """Of a corrected distribution: shapes (*shape, *d.shape()) and (*shape, *d.batch_shape)."""

    def inside(key, d, shape):
        return _draw_parts(key, d, shape, pathwise)

    # The order matters: a derivative of the whole draw is the best there is, and only what is left is taken apart.
    if pathwise and d.has_rsample:
        return _draw_pathwise(key, d, shape)
    if (from_wrapper := through_wrapper(inside, key, d, shape)) is not None:
        return from_wrapper
    if _is_transformation(d) and (pathwise or has_mixture(d)):
        return _transform_draw(inside(key, d.base_dist, shape), d, pathwise)
    if is_mixture(d) and not _is_scored_as_a_whole(d, pathwise):
        return _draw_mixture(inside, key, d, shape)
    if is_hurdle(d) and DENSITY in kinds(d):
        return _draw_hurdle(inside, key, d, shape)
    return scored_draw(key, d, shape)


def _draw_pathwise(key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    """A reparametrised draw: its derivative is all there is, and its score is 0."""
    with numpyro_promotion():
        z = jnp.asarray(d.rsample(key, shape))
    return z, jnp.zeros((*shape, *d.batch_shape), jnp.result_type(float, z))


def _is_transformation(d: Any) -> bool:
    import numpyro.distributions as dist

    return isinstance(d, dist.TransformedDistribution)


def _is_scored_as_a_whole(d: Any, pathwise: bool) -> bool:
    """Is log p of the mixture itself the better score?"""
    # By Rao and Blackwell it varies less than log p of the component and its draw, and gives up nothing if no component has a
    # derivative. With atoms beside densities there is no such log p.
    return len(kinds(d)) == 1 and not (pathwise and any(map(has_derivative, components(d))))


def has_derivative(d: Any) -> bool:
    """Does a draw of it, or a part of one, have a derivative?"""
    import numpyro.distributions as dist

    if isinstance(d, dist.Independent | dist.ExpandedDistribution):
        return has_derivative(d.base_dist)
    if is_mixture(d):
        return any(map(has_derivative, components(d)))
    return d.has_rsample or _is_transformation(d) or (is_hurdle(d) and has_derivative(d.base_dist))


def _transform_draw(drawn: Draw, d: Any, pathwise: bool) -> Draw:
    y, score = drawn
    if not pathwise:
        # z = t(y; theta) moves with theta, which no score of y sees, and whose derivative may not be used.
        d = undifferentiated(
            d,
            "Componentwise(pathwise=False) of a transformed mixture with respect to its transformation",
            "transform what sx.sample draws from the base_dist",
            "Componentwise(), if the program does not jump in the draw",
        )
    with numpyro_promotion():
        return apply_transforms(d, y), score


def _draw_mixture(inside: Any, key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    # The keys are split as numpyro splits them: the same key gives the same draw as `d.sample`.
    for_components, for_choice = jax.random.split(key)
    batch = (*shape, *d.batch_shape)
    with numpyro_promotion():
        mixing = d.mixing_distribution.expand(batch)
        choice, score = scored_draw(for_choice, mixing)
        z, scores = _all_components(inside, for_components, d, batch)
        z = _take_component(z, choice, d.event_dim)
        return z, score + _take_component(scores, choice, 0)


def _all_components(inside: Any, key: Key[Array, ""], d: Any, batch: tuple[int, ...]) -> Draw:
    """A draw of each component, on an axis after the batch."""
    # All are drawn and one is taken: under jit the choice is not known, and the derivative of the others is 0 by the selection.
    import numpyro.distributions as dist

    if isinstance(d, dist.MixtureSameFamily):
        return inside(key, d.component_distribution.expand((*batch, d.mixture_size)), ())
    keys = jax.random.split(key, d.mixture_size)
    drawn = [inside(k, c.expand(batch), ()) for k, c in zip(keys, d.component_distributions, strict=True)]
    z, scores = zip(*drawn, strict=True)
    return jnp.stack(z, len(batch)), jnp.stack(scores, len(batch))


def _take_component(x: Array, choice: Array, event_dim: int) -> Array:
    """The chosen entry of the axis before the event's."""
    axis = choice.ndim
    return jnp.take_along_axis(x, choice.reshape((*choice.shape, *(1,) * (1 + event_dim))), axis).squeeze(axis)


def _draw_hurdle(inside: Any, key: Key[Array, ""], d: Any, shape: tuple[int, ...]) -> Draw:
    """0 with the gate's probability, else a draw of what the hurdle is before: an atom and a density."""
    import numpyro.distributions as dist

    # Split as numpyro splits them, as for mixtures.
    for_gate, for_base = jax.random.split(key)
    logits = getattr(d, "gate_logits", None)
    gate = dist.Bernoulli(probs=d.gate) if logits is None else dist.Bernoulli(logits=logits)
    with numpyro_promotion():
        zero, score = scored_draw(for_gate, gate.expand((*shape, *d.batch_shape)))
        z, scores = inside(for_base, d.base_dist, shape)
        return jnp.where(zero > 0, 0, z), score + jnp.where(zero > 0, 0, scores)
