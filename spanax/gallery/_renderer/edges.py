"""How an integral over a triangle changes with its vertices: a line integral along its edges.

It is what automatic differentiation of a rasteriser leaves out. The integrand does not change; the domain does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Key

from ..._checks import check_key, check_whole
from ..._errors import SpanaxError
from .raster import signed_area


class Strata(NamedTuple):
    """The edges of a triangle cut into pieces, on each edge of the same length: of which edge, from where, and how much of it."""

    edge: Int[np.ndarray, " samples"]
    start: Float[np.ndarray, " samples"]
    width: Float[np.ndarray, " samples"]


def strata(samples: int) -> Strata:
    """About as many pieces of one edge as of another; `samples` is 3 or more."""
    # None reaches over a vertex: the integrand jumps there, with the direction of the normal.
    counts = [(samples + spare) // 3 for spare in range(3)]
    edge = np.repeat(np.arange(3), counts)
    start = np.concatenate([np.arange(count) / count for count in counts])
    return Strata(edge, start, 1 / np.repeat(counts, counts))


class EdgePoints(NamedTuple):
    """Points on the edges of a triangle, or of several on leading axes, one for each piece.

    - `at`: where they are;
    - `normal`: outwards, as long as the piece;
    - `shares`: how far each point moves with each vertex, of a unit that the vertex moves.
    """

    at: Float[Any, "... samples 2"]
    normal: Float[Any, "... samples 2"]
    shares: Float[Any, "samples 3"]


def edge_points(triangle: Float[Any, "... 3 2"], pieces: Strata, within: Float[Any, " samples"]) -> EdgePoints:
    """Of each piece the point that is `within`, from 0 to 1, of the way along it.

    For NumPy and for JAX: the arrays say whose functions they take.
    """
    xp = triangle.__array_namespace__()
    first, last = pieces.edge, (pieces.edge + 1) % 3
    begin, width = (xp.asarray(x, dtype=triangle.dtype)[:, None] for x in (pieces.start, pieces.width))
    share = begin + within[:, None] * width
    start, whole = triangle[..., first, :], triangle[..., last, :] - triangle[..., first, :]
    outward = xp.stack([whole[..., 1], -whole[..., 0]], axis=-1) * width
    turn = xp.sign(signed_area(triangle))[..., None, None]
    on_first, on_last = (xp.asarray(np.eye(3)[ends], dtype=triangle.dtype) for ends in (first, last))
    return EdgePoints(start + share * whole, outward * turn, (1 - share) * on_first + share * on_last)


def boundary_term(points: EdgePoints, weights: Float[Any, "... samples"]) -> Float[Any, "... 3 2"]:
    """The derivative by the vertices from the weights at the points: the sum of weight times normal times share."""
    return points.shares.T @ (weights[..., None] * points.normal)


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

    On the edge from a to b, p = (1 - t) a + t b with t from 0 to 1. So dp/da = (1 - t) I and dp/db = t I; and n ds is
    +-R(b - a) dt, R(x, y) = (y, -x), with the sign that makes it point outwards: + where the vertices run from the x axis to the
    y axis, - where they run the other way. The edge adds

        to a:  +-R(b - a) int_0^1 (1 - t) w(p(t)) dt,        to b:  +-R(b - a) int_0^1 t w(p(t)) dt.

    Each edge is cut into pieces of one length, and each piece has one random point (stratified sampling). No division by a length
    occurs, so short edges are harmless. Unbiased for the derivative; for a smooth weight the standard error falls as
    samples^-1.5, and where the weight jumps at a few points as 1/samples.

    The integral is that over a set of points: it is positive for a positive weight, whichever way the vertices run. A
    triangle without an area lies between the two orientations, where the integral has a kink: the estimate is 0 there.

    Li, Aittala, Durand and Lehtinen 2018, Differentiable Monte Carlo ray tracing through edge sampling (ACM TOG 37, article 222),
    section 3.1, eq. 4 and 5.

    **Arguments:**

    - `vertices`: x and y of the three vertices.
    - `weight`: a JAX function of one point, x and y, that returns a number. It may jump, but not along an edge.
    - `key`: a PRNG key, for the points.
    - `samples`: how many points, on all three edges together; 3 or more.

    **Returns:**

    The derivative, of the vertices' shape: in units of the weight times those of the vertices.

    **Raises:**

    - `SpanaxError`: vertices that are not 3 points of the plane or not floats, a weight that is not one number, a key that
      is not one, samples below 3.

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
    check_whole("edge_derivative(samples", samples, 3)
    vertices = jnp.asarray(vertices)
    if vertices.shape != (3, 2) or not jnp.issubdtype(vertices.dtype, jnp.floating):
        problem = f"edge_derivative(vertices) of the shape {vertices.shape} and the type {vertices.dtype}"
        raise SpanaxError(problem, "3 points of the plane, as floats: an array of the shape (3, 2)")
    points = edge_points(vertices, strata(samples), jax.random.uniform(key, (samples,), vertices.dtype))
    weights = jax.vmap(lambda p: jnp.asarray(weight(p), vertices.dtype))(points.at)
    if weights.shape != (samples,):
        problem = f"edge_derivative(weight): the weight at one point has the shape {weights.shape[1:]}"
        raise SpanaxError(
            problem, "a function that returns one number", "jax.vmap over the numbers, one integral for each"
        )
    return boundary_term(points, weights)
