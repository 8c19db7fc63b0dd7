"""What `via=None` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._math.by_parts import has_derivative
from .._math.distributions import reparametrised
from .._math.parts import has_mixture, has_moving_transform, kinds
from .base import Drawing, Local
from .componentwise import Componentwise
from .pathwise import Pathwise
from .score_function import ScoreFunction

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def needs_continuity(bridge: Drawing) -> bool:
    """Is its gradient right only where the program is continuous in the draw?"""
    return isinstance(bridge, Local) or (isinstance(bridge, Componentwise) and bridge.pathwise)


def best_bridge(distribution: Distribution, *, jumps: bool = False) -> Drawing:
    """The bridge of a draw for which the user names none.

    `Pathwise` where the draw has a derivative; else `Componentwise` of a mixture, or of a hurdle before a density, where some
    component's draw has one, and of a transformation with parameters; else `ScoreFunction`.

    `jumps`: the program jumps in the draw, so that no derivative of the draw itself may be used. A bound of the support that
    moves, or an atom, then raises where it is differentiated.
    """
    if reparametrised(distribution):
        return ScoreFunction() if jumps else Pathwise()
    if has_mixture(distribution) and (has_derivative(distribution) or len(kinds(distribution)) > 1):
        return Componentwise(pathwise=not jumps)
    return Componentwise() if has_moving_transform(distribution) and not jumps else ScoreFunction()
