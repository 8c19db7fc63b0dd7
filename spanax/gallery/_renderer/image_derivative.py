"""The derivative of a rendered image by its vertices and colours: what `Manual` needs, in NumPy.

A pixel stands for the mean over its square of the continuous picture I. With ct the cotangent of the image, constant on each
square, <ct, image> is the integral of ct . I, and I jumps along edges alone. So a vertex adds, along the edges that it moves,

    int ct(p) . (I just inside - I just outside) (dp/dv . n) ds,

the boundary term of `edges.py` with that product as its weight. Where something nearer hides the edge both sides look the same,
and the weight is 0: no edge has to be clipped. A colour adds ct over the pixels that show it.

Li, Aittala, Durand and Lehtinen 2018 (ACM TOG 37, article 222), section 3.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from .edges import boundary_term, edge_points, strata
from .raster import LEVELS, Rasteriser, Scene

GAP = 1e-4  # pixels: how far from an edge its two sides are looked at


@dataclass(frozen=True)
class ImageDerivative:
    """`Manual(vjp=ImageDerivative(rasteriser))`: the derivative of the picture's means over pixels, of infinitely many samples.

    The rasteriser takes one sample a pixel, and has no derivative of its own. On the edges of each triangle lie `samples` points,
    each in the middle of its piece: the same scene has the same derivative.
    """

    rasteriser: Rasteriser
    samples: int = 768

    def __call__(self, scene: Scene, image: Any, ct: Float[np.ndarray, "3 side side"]) -> dict[str, np.ndarray]:
        """The derivative of <ct, image> by the scene, of the scene's form."""
        exact = {name: np.asarray(leaf, np.float64) for name, leaf in scene.items()}
        slope = {"vertices": self._by_vertices(exact, ct), "colours": self._by_colours(exact, ct)}
        return {name: slope[name].astype(scene[name].dtype) for name in scene}

    def _by_vertices(self, scene: Scene, ct: Float[np.ndarray, "3 side side"]) -> Float[np.ndarray, "triangles 3 2"]:
        side = self.rasteriser.side
        points = edge_points(scene["vertices"] * side, strata(self.samples), np.full(self.samples, 0.5))
        length = np.linalg.norm(points.normal, axis=-1, keepdims=True)
        step = GAP * points.normal / np.where(length > 0, length, 1)
        jump = self._colours(scene, points.at - step) - self._colours(scene, points.at + step)
        weights = np.sum(self._cotangents(ct, points.at) * jump, axis=0)
        # The vertices are in sides of the picture, the points in pixels.
        return side * boundary_term(points, weights)

    def _colours(
        self, scene: Scene, at: Float[np.ndarray, "triangles samples 2"]
    ) -> Float[np.ndarray, "3 triangles samples"]:
        """What the picture shows at these points, whichever triangle it belongs to: what hides an edge is seen to hide it."""
        return self.rasteriser.shade(scene, at[..., 0], at[..., 1]).astype(np.float64)

    def _cotangents(
        self, ct: Float[np.ndarray, "3 side side"], at: Float[np.ndarray, "triangles samples 2"]
    ) -> Float[np.ndarray, "3 triangles samples"]:
        """That of the pixel around each point; 0 outside of the picture."""
        side = self.rasteriser.side
        column, row = np.moveaxis(np.floor(at), -1, 0)
        inside = (column >= 0) & (column < side) & (row >= 0) & (row < side)
        column, row = (np.where(inside, index, 0).astype(int) for index in (column, row))
        return np.where(inside, ct[:, row, column], 0.0)

    def _by_colours(self, scene: Scene, ct: Float[np.ndarray, "3 side side"]) -> Float[np.ndarray, "triangles 3"]:
        # Rendered in place of its colour, the number of the triangle tells which one each pixel shows.
        numbers = np.arange(1, len(scene["colours"]) + 1)
        numbered = {"vertices": scene["vertices"], "colours": np.tile(numbers[:, None] / LEVELS, 3)}
        shown = replace(self.rasteriser, background=(0, 0, 0))(numbered)
        return LEVELS * np.stack([np.sum(ct * (shown == number), axis=(1, 2)) for number in numbers])
