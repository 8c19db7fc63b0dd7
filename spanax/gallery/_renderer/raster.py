"""A rasteriser of flat triangles: hard edges, a z-buffer, integer pixels. Its derivative is zero wherever it has one.

A pixel shows the nearest triangle that covers its centre. It does not change until an edge passes the centre, and colours are
rounded to 256 levels: neither vertices nor colours have a derivative.

It is written once, for NumPy and for JAX: the arrays say whose functions they take (the array API standard).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8

LEVELS = 255  # of a colour: 0 to 255
FAR = (
    1000.0  # depth of the background. Not infinite: softened, a pixel's depth is a mean, which that would make infinite
)

Scene = Mapping[
    str, Any
]  # "vertices" (..., triangles, 3, 2) in sides of the picture, "colours" (..., triangles, 3) from 0 to 1


@dataclass(frozen=True)
class Rasteriser:
    """Renders a scene, or a batch of them on leading axes: `image = rasteriser(scene)`, of shape (..., 3, side, side).

    x runs to the right and y down, as rows do.

    - `depths`: of the triangles, which lie flat, each in front of those with a larger depth; all different, and below `FAR`;
    - `background`: its colour, levels of red, green and blue;
    - `side`: pixels.
    """

    depths: tuple[float, ...]
    background: tuple[int, int, int] = (0, 0, 0)
    side: int = 64

    def __call__(self, scene: Scene) -> UInt8[Any, "*batch 3 side side"]:
        centres = np.arange(self.side, dtype=np.float32) + 0.5
        return self.shade(scene, centres[None, :], centres[:, None])

    def shade(self, scene: Scene, x: Any, y: Any) -> UInt8[Any, "*batch 3 *points"]:
        """The colours at the points x, y, in pixels, which are broadcast against each other; for each scene of a batch."""
        vertices = scene["vertices"] * self.side
        xp = vertices.__array_namespace__()
        colours = _levels(xp, scene["colours"])
        axes = max(np.ndim(x), np.ndim(y))
        shape = np.broadcast_shapes(vertices.shape[:-3] + (1,) * axes, np.shape(x), np.shape(y))
        nearest = xp.full(shape, FAR, dtype=vertices.dtype)
        channels = xp.asarray(self.background, dtype=xp.uint8).reshape((3,) + (1,) * axes)
        # Channels before rows: a choice then runs along whole rows, not along three numbers.
        image = xp.broadcast_to(channels, (*shape[: len(shape) - axes], 3, *shape[len(shape) - axes :]))
        inside = covers(vertices, x, y)
        for t, depth in enumerate(self.depths):
            shown = inside[(..., t) + (slice(None),) * axes] & (depth < nearest)
            nearest = xp.where(shown, depth, nearest)
            colour = colours[..., t, :].reshape(colours.shape[:-2] + (3,) + (1,) * axes)
            image = xp.where(xp.expand_dims(shown, -1 - axes), colour, image)
        return image


def covers(triangle: Float[Any, "*batch 3 2"], x: Any, y: Any) -> Bool[Any, "*batch *points"]:
    """Which points lie inside of a triangle, of either orientation; one without an area holds none."""
    xp = triangle.__array_namespace__()
    axes = max(np.ndim(x), np.ndim(y))
    inside = True
    turn = xp.sign(signed_area(triangle))
    for i in range(3):
        start, along = triangle[..., i, :], triangle[..., (i + 1) % 3, :] - triangle[..., i, :]
        # Divided by its length: what is compared with 0 is a distance, in pixels, which softening gives its width.
        square = xp.sum(along * along, axis=-1)
        # An edge without a length belongs to a triangle without an area, whose `turn` is 0.
        scale = turn / xp.sqrt(xp.where(square > 0, square, xp.ones_like(square)))
        a, b = along[..., 1] * scale, -along[..., 0] * scale
        c = a * start[..., 0] + b * start[..., 1]
        a, b, c = (number.reshape(number.shape + (1,) * axes) for number in (a, b, c))
        # The sum of a row and a column: the products are as few as the picture has rows and columns.
        inside = (a * x + (b * y - c) < 0) & inside
    return inside


def signed_area(triangle: Float[Any, "*batch 3 2"]) -> Float[Any, "*batch"]:
    """Positive where the vertices run from the x axis towards the y axis."""
    one, other = triangle[..., 1, :] - triangle[..., 0, :], triangle[..., 2, :] - triangle[..., 0, :]
    return (one[..., 0] * other[..., 1] - one[..., 1] * other[..., 0]) / 2


def _levels(xp: Any, colours: Float[Any, "*batch"]) -> UInt8[Any, "*batch"]:
    return xp.round(LEVELS * xp.clip(colours, 0, 1)).astype(xp.uint8)
