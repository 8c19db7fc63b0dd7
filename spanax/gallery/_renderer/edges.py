"""How an integral over a triangle changes with its vertices: a line integral along its edges.

It is what automatic differentiation of a rasteriser leaves out. The integrand does not change; the domain does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from ..._checks import check_key, check_whole
from ..._errors import SpanaxError
from .raster import signed_area


class EdgePoints(NamedTuple):
    """Points on the edges of a triangle, or of several on leading axes.

    - `at`: where they are;
    - `normal`: outwards, as long as the perimeter would be if all edges were as long as the point's own;
    - `shares`: how far each point moves with each vertex, of a unit that the vertex moves.
    """

    at: Float[Any, "... samples 2"]
    normal: Float[Any, "... samples 2"]
    shares: Float[Any, "samples 3"]


def edge_points(triangle: Float[Any, "... 3 2"], along: Float[Any, " samples"]) -> EdgePoints:
    """The points `along` the edges: from 0 to 1 on the first, from 1 to 2 on the second, from 2 to 3 on the third.

    For NumPy and for JAX: the arrays say whose functions they take.
    """
    xp = triangle.__array_namespace__()
    # Rounding may carry a point to the end of the third edge: there is no fourth.
    edge = xp.minimum(xp.floor(along), 2.0)
    share = along - edge
    first = xp.astype(edge, xp.int32)
    last = (first + 1) % 3
    start, whole = triangle[..., first, :], triangle[..., last, :] - triangle[..., first, :]
    outward = xp.stack([whole[..., 1], -whole[..., 0]], axis=-1) * 3
    turn = xp.sign(signed_area(triangle))[..., None, None]
    corner = xp.arange(3, dtype=xp.int32)[None]
    on_first, on_last = (xp.astype(number[:, None] == corner, triangle.dtype) for number in (first, last))
    shares = (1 - share)[:, None] * on_first + share[:, None] * on_last
    return EdgePoints(start + share[:, None] * whole, outward * turn, shares)


def boundary_term(points: EdgePoints, weights: Float[Any, "... samples"]) -> Float[Any, "... 3 2"]:
    """The derivative by the vertices from the weights at the points: the mean of weight times normal times share."""
    xp = weights.__array_namespace__()
    return points.shares.T @ (weights[..., None] * points.normal) / xp.asarray(weights.shape[-1], dtype=weights.dtype)


def edge_derivative(
    vertices: Float[ArrayLike, "3 2"],
    weight: Callable[[Float[Array, " 2"]], Float[ArrayLike, ""]],
    *,
    key: Key[Array, ""],
    samples: int = 1024,
) -> Float[Array, "3 2"]:
    """The derivative of the integral of `weight` over a triangle by its vertices, from points on its edges.

    Let T(v) be the triangle and w the weight, which does not depend on v. Reynolds' transport theorem: where the boundary moves,
    its points p at the velocity dp/dv, the integral changes by what the boundary sweeps over,

        d/dv int_T w(p) dp  =  int_{boundary of T} w(p) (dp/dv . n(p)) ds,    n the outward normal.

    On the edge from a to b, p = (1 - t) a + t b with t from 0 to 1. So dp/da = (1 - t) I and dp/db = t I; and n ds = +-R(b - a) dt,
    R(x, y) = (y, -x), with the sign that makes it point outwards: + where the vertices run from the x axis to the y axis, - where
    they run the other way. The edge adds

        to a:  +-R(b - a) int_0^1 (1 - t) w(p(t)) dt,        to b:  +-R(b - a) int_0^1 t w(p(t)) dt.

    The integrals over the three edges are estimated together, by one random point in each of `samples` equal parts of them
    (stratified sampling). No division by a length occurs, so short edges are harmless. Unbiased for the derivative; for a smooth
    weight the standard error falls as samples^-1.5, for one that jumps at least as samples^-.5.

    The integral is that over a set of points: it is positive for a positive weight, whichever way the vertices run. A
    triangle without an area lies between the two orientations, where the integral has a kink: the estimate is 0 there.

    Li, Aittala, Durand and Lehtinen 2018, Differentiable Monte Carlo ray tracing through edge sampling (ACM TOG 37, article 222),
    section 3.1, eq. 4 and 5.

    **Arguments:**

    - `vertices`: x and y of the three vertices.
    - `weight`: a JAX function of one point, x and y, that returns a number. It may jump, but not along an edge.
    - `key`: a PRNG key, for the points.
    - `samples`: how many points, on all three edges together.

    **Returns:**

    The derivative, of the vertices' shape: in units of the weight times those of the vertices.

    **Raises:**

    - `SpanaxError`: vertices that are not 3 points of the plane or not floats, a key that is not one, samples below 1.

    >>> import jax, jax.numpy as jnp
    >>> from spanax.gallery.renderer import edge_derivative
    >>> triangle = jnp.array([[0.0, 0.0], [2.0, 0.0], [0.0, 1.0]])
    >>> area = edge_derivative(triangle, lambda p: 1.0, key=jax.random.key(0), samples=1000)
    >>> print(area.round(2) + 0.0)  # each vertex: half of the opposite edge, turned by a right angle
    [[-0.5 -1. ]
     [ 0.5  0. ]
     [ 0.   1. ]]
    """
    check_key(key)
    check_whole("edge_derivative(samples", samples)
    vertices = jnp.asarray(vertices)
    if vertices.shape != (3, 2) or not jnp.issubdtype(vertices.dtype, jnp.floating):
        problem = f"edge_derivative(vertices) of the shape {vertices.shape} and the type {vertices.dtype}"
        raise SpanaxError(problem, "3 points of the plane, as floats: an array of the shape (3, 2)")
    # One point in each stratum: their sum is as unbiased as independent points', and varies far less.
    within = jax.random.uniform(key, (samples,), vertices.dtype)
    strata = jnp.asarray(np.arange(samples), vertices.dtype)
    points = edge_points(vertices, 3 * (strata + within) / samples)
    weights = jax.vmap(lambda p: jnp.asarray(weight(p), vertices.dtype))(points.at)
    if weights.shape != (samples,):
        problem = f"edge_derivative(weight): the weight at one point has the shape {weights.shape[1:]}"
        raise SpanaxError(problem, "a function that returns one number", "jax.vmap over the numbers, one integral for each")
    return boundary_term(points, weights)
