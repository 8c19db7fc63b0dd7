"""A hard operation, as a bridge sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from jaxtyping import Array, Float


# Functions of x and not only values: a bridge decides where, and how often, the operation is evaluated.
@dataclasses.dataclass(frozen=True)
class Operation:
    """What a bridge may use of one call of a hard operation, as a function of the array x that the noise is on.

    - `name`: as the user calls it; `where`: the `file:line` of the call;
    - `value`: the exact hard value at x; `hard(x)`: the same at any other point of the same shape;
    - `soft`: for each kernel that the operation knows, the expectation (for order statistics: the quantiles) under noise of
      standard deviation `softness` on x; the first kernel is the default;
    - `identity`: what the operation would be if it were the identity of its input; None if there is no such thing;
    - `rows`: it maps the last axis of x as a whole, for each index of the leading axes; otherwise it maps each element.

    >>> import jax.numpy as jnp, spanax as sx
    >>> class Names(sx.bridges.Step):
    ...     facts = sx.bridges.Facts("nothing", False, "1", None, "hard operations", "none")
    ...     def step(self, operation, x, key):
    ...         print(operation.name, sorted(operation.soft), operation.rows)
    ...         return operation.value
    >>> _ = sx.hard.argmax(jnp.array([0.1, 0.7]), via=Names())
    argmax ['gaussian', 'logistic'] True
    """

    name: str
    where: str
    value: Float[Array, "*out"]
    hard: Callable[[Float[Array, "*shape"]], Float[Array, "*out"]]
    soft: Mapping[str, Callable[[Float[Array, "*shape"], Float[Array, ""]], Float[Array, "*out"]]]
    identity: Callable[[Float[Array, "*shape"]], Float[Array, "*out"]] | None = None
    rows: bool = False
