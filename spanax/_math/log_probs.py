"""log p(z) of a draw, for bridges to differentiate; an error where log p does not hold the whole derivative.

The score function rests on d/dtheta int f p = int f dp/dtheta, which is right only if the support stays where it is. If a bound
b(theta) moves, Leibniz' rule adds f(b) p(b) db/dtheta, which no log p knows: such derivatives raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from .._primitives import undifferentiated, zero_valued
from .distributions import base, family, numpyro_promotion
from .formulas import FORMULAS
from .parts import ATOMS, DENSITY, check_kinds, inner, kinds

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def log_prob(distribution: Distribution, z: Array) -> Float[Array, ""]:
    """log p(z) summed over all elements of the draw, up to a constant that does not depend on the parameters.

    z is a hard draw: its derivative is not used. If the support of a continuous distribution moves with a parameter (Uniform,
    Pareto, truncated families, and these as components of a mixture), differentiating with respect to that parameter raises
    `SpanaxError`. So does a mixture of atoms and densities.
    """
    return jnp.sum(log_prob_of_elements(distribution, z))


def log_prob_of_elements(distribution: Distribution, z: Array) -> Float[Array, "*elements"]:
    """The same before the sum, for each element inside `to_event` and `expand`."""
    from .corrected import correct

    b = correct(base(distribution))
    check_kinds(b)
    with numpyro_promotion():
        own = FORMULAS.get(type(b).__name__)
        return own(b, z) if own is not None else b.log_prob(z) + moving_support(b)


def score(distribution: Distribution, z: Array) -> Float[Array, ""]:
    """log p(z) - stop_gradient(log p(z)): 0 in value, with the derivatives, of every order, of `log_prob`."""
    return score_of(distribution, log_prob(distribution, z))


def score_of(distribution: Distribution, log_p: Float[Array, "*any"]) -> Float[Array, "*any"]:
    """log_p - stop_gradient(log_p): the constant 0 in value for families whose log p is our own."""
    # A compiled program then need not compute log p at all for its value. Of the other families it is NaN where log p is not
    # finite: their derivative cannot be trusted there.
    return zero_valued(log_p) if family(distribution) in FORMULAS else log_p - lax.stop_gradient(log_p)


# -- supports that move


def moving_support(b: Any) -> Float[Array, ""] | float:
    """0, whose derivative with respect to a bound of the support of b, or of a distribution inside b, raises."""
    # Added to log p: a bound that is never differentiated costs nothing and raises nothing.
    bounds = [
        x for x in jax.tree.leaves(_bounds(b)) if isinstance(x, jax.Array) and jnp.issubdtype(x.dtype, jnp.floating)
    ]
    guarded = undifferentiated(
        bounds,
        f"the score function of {type(b).__name__} with respect to a bound of its support: log p misses the boundary's term",
        "Pathwise(), if the distribution has rsample and the program is continuous in the draw",
        "Componentwise(), if it is a mixture, or a transformation of draws that are not continuous",
        "rewrite the draw as a transformation of one with a fixed support",
        "if the program jumps in it: the event itself as a draw, sx.sample(key, dist.Bernoulli(probs=its probability))",
    )
    return sum((0.0 * jnp.sum(x) for x in guarded), 0.0)


def _bounds(b: Any) -> Any:
    """What the support of b, or of a distribution inside b, depends on."""
    import numpyro.distributions as dist

    if isinstance(b, dist.Delta):
        return b.v
    if isinstance(b, dist.TransformedDistribution):
        return _bounds(b.base_dist), _bounds_of_transforms(b)
    # Atoms sit at whole numbers: only their probabilities move.
    own = () if kinds(b) == {ATOMS} else b.support
    return own, [_bounds(d) for d in inner(b)]


def _bounds_of_transforms(b: Any) -> list[Any]:
    """The transforms that map something with an edge: the edge moves with their parameters."""
    # The real line has no edge, and neither scaling nor shifting gives it one. The edge 0 of the positive numbers stays at 0
    # under a power. `at` is the support of what has been transformed so far; None is one with an edge that may move.
    import numpyro.distributions as dist

    c = dist.constraints
    whole, positive = (c.real, c.real_vector, c.real_matrix, c.complex), c.positive
    at, moving = _bare(b.base_dist.support), []
    if kinds(b.base_dist) != {DENSITY}:
        at = None
    for transform in _flat(b.transforms):
        if at not in whole and not (at is positive and isinstance(transform, dist.transforms.PowerTransform)):
            moving.append(transform)
        if at not in whole or _bare(transform.codomain) not in whole:
            at = positive if _bare(transform.codomain) is positive and at in (*whole, positive) else None
    return moving


def _bare(support: Any) -> Any:
    """The constraint on one element."""
    while hasattr(support, "base_constraint"):
        support = support.base_constraint
    return support


def _flat(transforms: Any) -> list[Any]:
    import numpyro.distributions as dist

    if isinstance(transforms, dist.transforms.ComposeTransform):
        return _flat(transforms.parts)
    return [t for x in transforms for t in _flat(x)] if isinstance(transforms, list | tuple) else [transforms]
