"""The expectation over a few scalar Normals by Gauss-Hermite quadrature."""

from __future__ import annotations

import functools
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._math.distributions import base, family, hard_draw
from ..._math.log_probs import score
from ...bridges import Branching, Facts

MOST = 3  # scalars in all draws together
ORDERS = {1: (64, 91), 2: (32, 45), 3: (14, 19)}  # scalars -> nodes along each axis, for a first and a second opinion


class GaussHermite(Branching):
    """A Normal draw as a weighted sum over fixed nodes: sum_i w_i (1 + grad log p(z_i)) rest(z_i).

    The nodes do not move with the parameters, so the gradient is right for a program that jumps, too, as far as the sum has
    converged: two orders that agree show that. Exact for polynomials of degree below 2 `nodes` in the draw.

    Abramowitz and Stegun 1964, equation 25.4.46.
    """

    nodes: int = eqx.field(static=True)

    @property
    def facts(self) -> Facts:
        return Facts("E[f], up to the error of the quadrature", True, "nodes^size", None, "Normal", "A&S 25.4.46")

    def draw(self, key, distribution):
        return hard_draw(key, distribution)

    def branches(self, distribution):
        return self.nodes ** scalars(distribution)

    def objective(self, key, distribution, rest):
        x, weights = _grid(self.nodes, scalars(distribution))
        normal, shape = base(distribution), distribution.shape()
        loc, scale = (jnp.broadcast_to(jnp.asarray(p), shape) for p in (normal.loc, normal.scale))
        # Standard nodes, moved and scaled: one grid serves all parameters.
        noise = jnp.asarray(x.reshape(-1, *shape), loc.dtype)
        # The nodes stay where they are; the parameters move the weights, by the score.
        z = jax.lax.stop_gradient(jax.vmap(lambda u: loc + scale * u)(noise))
        costs = jax.vmap(rest)(z)
        # score(z) is log p(z) less its own value: 0, with the derivative of log p.
        scores = jax.vmap(lambda z: score(distribution, z))(z).astype(costs.dtype)
        return jnp.sum(jnp.asarray(weights, costs.dtype) * (costs + jnp.expm1(scores) * costs))


def scalars(distribution: Any) -> int:
    """How many scalars a Normal draw has; raises `SpanaxError` for any other family."""
    if family(distribution) != "Normal":
        raise SpanaxError(f"no quadrature for {family(distribution)}")
    return math.prod(distribution.shape())


@functools.cache
def _grid(nodes: int, axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, (nodes^axes, axes), and weights that sum to 1, for standard Normals."""
    # Probabilists' Hermite polynomials: the weight is exp(-x^2/2), that of a standard Normal but for its constant.
    x, w = np.polynomial.hermite_e.hermegauss(nodes)
    index = np.indices((nodes,) * axes).reshape(axes, -1).T
    weights = np.prod((w / np.sum(w))[index], -1)
    return x[index], weights
