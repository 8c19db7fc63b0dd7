"""The gradient without noise, where a program's draws allow it: by enumeration, or by quadrature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import numpy as np

from ..._errors import SpanaxError
from ..._math.distributions import family
from ...bridges import Drawing, Enumerate
from ...stochastic.expectation import expectation
from .._measure.arguments import Arguments
from .._measure.gradients import Gradient
from .._measure.sites import Draw
from .._numbers import share
from .quadrature import MOST, ORDERS, GaussHermite, scalars

AGREE = {4: 1e-4, 8: 1e-7}  # relative difference of two orders, by the bytes of a float
_MARGIN = 2.0  # at a kink two orders may be nearer to each other than to the truth


class Exact(NamedTuple):
    """`gradient` is None where there is none, and `how` says why. `off`: what a quadrature may be off by."""

    kind: Literal["enumeration", "quadrature"]
    how: str
    gradient: Gradient | None
    off: float = 0.0


def exact(f: Callable[..., Any], arguments: Arguments, sites: Sequence[Draw]) -> Exact:
    """The gradient with every draw summed over all its values, or over the nodes of a quadrature for a few Normals."""
    # Bridges are put in by name, so a draw without one keeps its own.
    unnamed = [draw for draw in sites if not draw.name and not isinstance(draw.own, Enumerate)]
    if unnamed:
        return Exact("enumeration", f"a draw without a name at {unnamed[0].where} cannot be enumerated", None)
    # Quadrature where a Normal needs it, enumeration for all else: a product of the two grids.
    normal = [draw for draw in sites if family(draw.distribution) == "Normal"]
    try:
        if not normal:
            return Exact("enumeration", "every draw enumerated", _run_once(f, arguments, sites, 0))
        return _by_quadrature(f, arguments, sites, sum(scalars(draw.distribution) for draw in normal))
    except SpanaxError as error:
        return Exact("enumeration", f"there is no exact one: {error.problem}", None)


def _by_quadrature(f: Callable, arguments: Arguments, sites: Sequence[Draw], count: int) -> Exact:
    if count > MOST:
        return Exact("quadrature", f"{count} Normals are too many for quadrature", None)
    first, second = (_run_once(f, arguments, sites, nodes) for nodes in ORDERS[count])
    # Two orders that agree show convergence; of a program that jumps in a Normal draw they do not.
    a, b = (gradient.rows(jax.random.key(0), 0, 1)[0] for gradient in (first, second))
    # Single precision agrees to fewer digits, whatever the quadrature.
    tolerance = AGREE[min(np.dtype(leaf.dtype).itemsize for leaf in arguments.leaves)]
    size = float(np.linalg.norm(b))
    if not np.linalg.norm(a - b) <= tolerance * size:
        return Exact("quadrature", "quadrature does not converge: the program may jump in a Normal draw", None)
    how = f"Gauss-Hermite quadrature, {ORDERS[count]} nodes an axis agree to {share(tolerance, 1.0)}"
    return Exact("quadrature", how, second, _MARGIN * tolerance * size)


def _run_once(f: Callable, arguments: Arguments, sites: Sequence[Draw], nodes: int) -> Gradient:
    """Compiled and run once, so that what does not fit raises here."""
    via: dict[str, Drawing] = {}
    for draw in sites:
        if draw.name:
            # All draws at once: a sum over values and nodes of every draw.
            via[draw.name] = GaussHermite(nodes) if family(draw.distribution) == "Normal" else Enumerate()
    gradient = Gradient(expectation(f, via=via), arguments)
    # Some refusals come only when values are there, such as a support that is too large.
    gradient(jax.random.key(0), 0)
    return gradient
