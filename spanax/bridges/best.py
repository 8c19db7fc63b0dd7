"""Which bridge `via=None` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._math.by_parts import has_derivative
from .._math.distributions import is_reparametrised
from .._math.parts import has_mixture, has_moving_transform, kinds
from .base import Drawing, Local
from .componentwise import Componentwise
from .pathwise import Pathwise
from .score_function import ScoreFunction

if TYPE_CHECKING:
    from numpyro.distributions import Distribution


def needs_continuity(bridge: Drawing) -> bool:
    """Is its gradient right only if the program is continuous in the draw?"""
    return isinstance(bridge, Local) or (isinstance(bridge, Componentwise) and bridge.pathwise)


def best_bridge(distribution: Distribution, *, jumps: bool = False) -> Drawing:
    """The bridge of a draw for which the user names none.

    `Pathwise` if the draw has a derivative; else `Componentwise` for a mixture, or a hurdle before a density, if some component's
    draw has one, and for a transformation with parameters; else `ScoreFunction`.

    `jumps`: the program jumps in the draw, so that no derivative of the draw itself may be used. Differentiating with respect
    to a bound of the support or an atom then raises.
    """
    # Pathwise first: its variance is lowest as a rule. The score function needs nothing of the program, and comes last.
    if is_reparametrised(distribution):
        return ScoreFunction() if jumps else Pathwise()
    # A mixture of densities only, none with a derivative, has an ordinary log p. With atoms beside densities it has none.
    if has_mixture(distribution) and (has_derivative(distribution) or len(kinds(distribution)) > 1):
        return Componentwise(pathwise=not jumps)
    # z = t(y; theta) of a y that has no derivative: the score of y alone would miss that of theta in t.
    return Componentwise() if has_moving_transform(distribution) and not jumps else ScoreFunction()
