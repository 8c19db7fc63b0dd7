"""The picture that is fitted, a sailing boat before two mountains, and where the fit begins."""

from __future__ import annotations

import numpy as np

from .raster import Rasteriser

BACKGROUND = (168, 205, 230)
SPREAD = {"vertices": 0.04, "colours": 0.1}  # standard deviations of the start from the target

# Far apart in units of the softness, which is 1: which of two is nearer is then never in doubt. Drawn from the back to the front:
# a triangle that is drawn behind another would be compared with a softened depth, the mean of two, at which nothing is.
DEPTHS = (50.0, 40.0, 30.0, 20.0, 10.0)
# Two mountains, the mainsail, the jib and the hull.
_VERTICES = [
    [[0.03, 0.73], [0.30, 0.22], [0.62, 0.73]],
    [[0.40, 0.73], [0.74, 0.36], [0.97, 0.73]],
    [[0.28, 0.76], [0.50, 0.10], [0.50, 0.76]],
    [[0.54, 0.76], [0.54, 0.24], [0.80, 0.76]],
    [[0.18, 0.80], [0.90, 0.80], [0.52, 0.95]],
]
_COLOURS = [[0.48, 0.50, 0.64], [0.28, 0.42, 0.36], [0.95, 0.91, 0.80], [0.84, 0.30, 0.22], [0.36, 0.22, 0.16]]


def rasteriser() -> Rasteriser:
    return Rasteriser(DEPTHS, BACKGROUND)


def target_scene() -> dict[str, np.ndarray]:
    return {"vertices": np.array(_VERTICES, np.float32), "colours": np.array(_COLOURS, np.float32)}


def start_scene(seed: int) -> dict[str, np.ndarray]:
    """The target with Gaussian noise on every number; colours stay between 0 and 1."""
    rng = np.random.default_rng(seed)
    moved = {
        name: leaf + np.float32(SPREAD[name]) * rng.standard_normal(leaf.shape, np.float32)
        for name, leaf in target_scene().items()
    }
    return {**moved, "colours": np.clip(moved["colours"], 0, 1)}
