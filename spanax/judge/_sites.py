"""The draws of a program, and what bridges make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jaxtyping import Array, Key

from .._errors import SpanaxError
from .._functions import takes_key
from .._jaxprs import aval
from ..bridges import Branching, Drawing
from ..stochastic.flow import Flow
from ..stochastic.sampling import parts

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


class Draw(NamedTuple):
    """One `sample` site: its name, its distribution (its arrays are shapes), its own bridge, and its place."""

    name: str | None
    distribution: Distribution
    own: Drawing
    where: str


def draws_of(f: Callable[..., Any], args: tuple, kwargs: dict, key: Key[Array, ""]) -> list[Draw]:
    """The `sample` sites of f in program order; none where it takes no key."""
    if not takes_key(f, args, kwargs):
        return []
    flow = Flow(jax.make_jaxpr(lambda key: f(*args, key=key, **kwargs))(key))
    found = []
    for _, eqn in sorted(flow.sites.items()):
        site = eqn.params["site"]
        distribution, own = parts(site, [aval(v) for v in eqn.invars[1:]])
        found.append(Draw(site.name, distribution, own, site.where))
    return found


def bridge_at(draw: Draw, via: Mapping[str, Drawing]) -> Drawing:
    """The bridge of a site, or the one that `via` puts there."""
    return via.get(draw.name, draw.own) if draw.name else draw.own


def evaluations(draws: Sequence[Draw], via: Mapping[str, Drawing]) -> float | None:
    """How many times the program runs, counted at its last draw, for one gradient of `expectation(f, via=via)`.

    Branching draws multiply. None where a bridge cannot say it from shapes alone.
    """
    count = 1.0
    for draw in draws:
        bridge = bridge_at(draw, via)
        if isinstance(bridge, Branching):
            try:
                count *= bridge.branches(draw.distribution)
            except (SpanaxError, TypeError, AttributeError):
                return None
    return count
