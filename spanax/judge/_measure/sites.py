"""The draws of a program, and what bridges make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
from jaxtyping import Array, Key

from ..._errors import SpanaxError
from ..._functions import takes_key
from ..._jaxprs import aval
from ...bridges import Branching, Drawing
from ...stochastic.flow import Flow
from ...stochastic.sampling import parts, sample_p
from .arguments import Arguments
from .upstream import upstream

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
    # Traced with a key, so that f's own Python runs once and no gradient is taken.
    flow = Flow(jax.make_jaxpr(lambda key: f(*args, key=key, **kwargs))(key))
    found = []
    # Sorted by their paths in the program, which is the order in which they are drawn.
    for _, eqn in sorted(flow.sites.items()):
        site = eqn.params["site"]
        if site.estimate is not None:  # of an expectation inside f, whose bridges are its own
            continue
        distribution, own = parts(site, [aval(v) for v in eqn.invars[1:]])
        found.append(Draw(site.name, distribution, own, site.where))
    return found


def leaves_of_draws(f: Callable[..., Any], arguments: Arguments, key: Key[Array, ""]) -> list[int]:
    """The leaves that the distribution of a draw depends on, or whether it is drawn: only there bridges are not all exact."""

    def program(leaves, key):
        args, kwargs = arguments.rebuilt(leaves, arguments.arrays)
        return f(*args, key=key, **kwargs)

    # By structure, not by trying: a leaf that matters only on a rare branch is found as well.
    closed = jax.make_jaxpr(program)(arguments.leaves, key)
    return upstream(closed, len(arguments.leaves), lambda eqn: eqn.primitive is sample_p)


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
        # Each branching draw runs the rest of the program, with all later draws in it: the counts multiply.
        if isinstance(bridge, Branching):
            try:
                count *= bridge.branches(draw.distribution)
            except (SpanaxError, TypeError, AttributeError):
                return None
    return count
