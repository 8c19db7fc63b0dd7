"""No row of a batch lies outside of the bounds: x itself, and the points of a bridge that does not keep to them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .._errors import SpanaxError
from ._request import Request


def check_inside(name: str, request: Request, leaves: Sequence[np.ndarray]) -> None:
    """Raises `SpanaxError` with the first number that is outside; `name`: of the black box."""
    for k, (leaf, bound) in enumerate(zip(leaves, request.bounds or (), strict=False)):
        outside = bound.outside(leaf)
        if not outside.any():
            continue
        row, *at = (int(i) for i in np.argwhere(outside)[0])
        is_x = request.with_value and row % request.lane == 0
        number, low, high = leaf[(row, *at)], bound.lower[tuple(at)], bound.upper[tuple(at)]
        own = ("jnp.clip(x, lower, upper), before the call", "wider bounds")
        raise SpanaxError(
            f"black box {name!r}: {'x' if is_x else 'a point of its derivative'} lies outside of its bounds: "
            f"{request.places()[k]}{at or ''} = {number:.9g}, between {low:.9g} and {high:.9g}",
            *(own if is_x else ("a bridge whose `within` keeps all points inside",)),
            where=request.where,
        )
