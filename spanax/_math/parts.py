"""What a distribution is made of: wrappers, transforms, mixtures; and whether its draws are atoms, densities, or both."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from .._errors import SpanaxError

ATOMS, DENSITY = "atoms", "density"


def inner(d: Any) -> list[Any]:
    """The distributions in the fields of d."""
    import numpyro.distributions as dist

    fields = [x for value in vars(d).values() for x in (value if isinstance(value, list | tuple) else [value])]
    return [x for x in fields if isinstance(x, dist.Distribution)]


def is_mixture(d: Any) -> bool:
    import numpyro.distributions as dist

    return isinstance(d, dist.MixtureSameFamily | dist.MixtureGeneral)


def is_hurdle(d: Any) -> bool:
    import numpyro.distributions as dist

    return isinstance(d, dist.HurdleProbs)


def components(d: Any) -> list[Any]:
    """The component distributions of a mixture; those of one family are one distribution, with the last batch axis for them."""
    import numpyro.distributions as dist

    return [d.component_distribution] if isinstance(d, dist.MixtureSameFamily) else list(d.component_distributions)


def _base_of(d: Any) -> Any:
    """The distribution inside a wrapper or a transformation; None if d is neither."""
    import numpyro.distributions as dist

    wrappers = (dist.Independent, dist.ExpandedDistribution, dist.MaskedDistribution, dist.TransformedDistribution)
    return d.base_dist if isinstance(d, wrappers) else None


def kinds(d: Any) -> frozenset[str]:
    """Whether single values have a probability (ATOMS) or only intervals do (DENSITY), or some of each."""
    import numpyro.distributions as dist

    if (base := _base_of(d)) is not None:
        return kinds(base)
    # NumPyro counts a Delta among the continuous distributions.
    if isinstance(d, dist.Delta):
        return frozenset({ATOMS})
    if is_mixture(d):
        return frozenset().union(*map(kinds, components(d)))
    if is_hurdle(d):
        return kinds(d.base_dist) | {ATOMS}
    return frozenset({ATOMS if d.is_discrete else DENSITY})


def has_mixture(d: Any) -> bool:
    """Is it a choice between distributions: a mixture, or a hurdle before a density, under wrappers and transformations?"""
    if (base := _base_of(d)) is not None:
        return has_mixture(base)
    return is_mixture(d) or (is_hurdle(d) and DENSITY in kinds(d))


def has_parameters(transforms: Any) -> bool:
    """Do the transforms hold floats?"""
    return any(jnp.issubdtype(jnp.result_type(x), jnp.floating) for x in jax.tree.leaves(transforms))


def has_moving_transform(d: Any) -> bool:
    """Is it, inside wrappers, a transformation with parameters of its own?"""
    import numpyro.distributions as dist

    if isinstance(d, dist.TransformedDistribution):
        return has_parameters(d.transforms)
    base = _base_of(d)
    return base is not None and has_moving_transform(base)


def check_kinds(d: Any) -> None:
    """Raises `SpanaxError` if the log p of a mixture adds probabilities of values to densities."""
    # A probability and a density have different units: at an atom the density counts for nothing, and log p has no such case.
    if is_mixture(d) and len(kinds(d)) > 1:
        raise SpanaxError(
            "the score function of a mixture of atoms and densities: its log p adds the probability of a value to a density",
            "Componentwise(), which draws the component as well (the default, without via=)",
        )
    for part in inner(d):
        check_kinds(part)


def check_drawn(d: Any, where: str | None = None) -> None:
    """Raises `SpanaxError` if d, or a distribution inside it, draws from another law than its log p is that of."""
    import numpyro.distributions as dist

    censored = dist.LeftCensoredDistribution, dist.RightCensoredDistribution, dist.IntervalCensoredDistribution
    if isinstance(d, censored):
        raise SpanaxError(
            f"a draw of {type(d).__name__}: numpyro draws from its base_dist, and its log p is that of a censored observation",
            "the base_dist, and jnp.minimum or jnp.maximum of the draw where it is censored",
            where=where,
        )
    for part in inner(d):
        check_drawn(part, where)
