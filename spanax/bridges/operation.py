"""A hard operation, as a bridge sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from jaxtyping import Array, Float


@dataclasses.dataclass(frozen=True)
class Operation:
    """What a bridge may ask of one call of a hard operation, as a function of the array x that the noise is on.

    - `name`: as the user calls it; `where`: the `file:line` of the call;
    - `value`: the exact hard value at x, `hard(x)`: the same at any other point of the same shape;
    - `soft`: for each kernel that there is, the expectation (for order statistics: the quantiles) under noise of standard
      deviation `softness` on x; the first kernel is the default;
    - `identity`: the tangent that the operation would have if it were the identity; None where there is no such thing;
    - `rows`: it maps the last axis of x as a whole, and all leading axes one by one; otherwise it goes element by element.
    """

    name: str
    where: str
    value: Float[Array, "*out"]
    hard: Callable[[Float[Array, "*shape"]], Float[Array, "*out"]]
    soft: Mapping[str, Callable[[Float[Array, "*shape"], Float[Array, ""]], Float[Array, "*out"]]]
    identity: Callable[[Float[Array, "*shape"]], Float[Array, "*out"]] | None = None
    rows: bool = False
