"""Real handwritten digits as tensors, and the two tasks that are made of them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from .._shared.digits import DIGIT as DIGIT, load as load_arrays

SIDE, PIECE = 24, 3  # pixels: of a scene, and of a piece of another digit in it
PIECES = 2


class Labelled(NamedTuple):
    """Images with values from 0 to 1, and the digits that they show."""

    images: Tensor
    labels: Tensor

    def batch(self, size: int) -> Labelled:
        """So many of them, drawn with replacement."""
        chosen = torch.randint(len(self.labels), (size,))
        return Labelled(self.images[chosen], self.labels[chosen])


def load(seed: int) -> tuple[Labelled, Labelled]:
    """1,500 digits of 8 by 8 pixels to train on and 297 held out, shuffled by `seed`."""
    train, held_out = (
        Labelled(torch.from_numpy(images), torch.from_numpy(labels).long()) for images, labels in load_arrays(seed)
    )
    return train, held_out


def turned(digits: Labelled) -> Labelled:
    """Every fourth of them as it is, the others turned by one, two and three quarters."""
    quarters = torch.arange(len(digits.labels)) % 4
    every = torch.stack([torch.rot90(digits.images, k, (1, 2)) for k in range(4)])
    return Labelled(every[quarters, torch.arange(len(quarters))], digits.labels)


def scattered(digits: Labelled) -> Labelled:
    """Each digit somewhere in a scene of 24 by 24 pixels, with two pieces of other digits that mean nothing."""
    scenes = torch.zeros(len(digits.labels), SIDE, SIDE)
    _paste(scenes, digits.images)
    for _ in range(PIECES):
        others = digits.images[torch.randperm(len(scenes))]
        _paste(scenes, windows(others, _corners(len(scenes), DIGIT, PIECE), PIECE))
    return Labelled(scenes, digits.labels)


def windows(images: Tensor, corners: Tensor, side: int) -> Tensor:
    """Of each image the square of `side` pixels whose upper left corner (row, column) is given."""
    return images[_index(corners, side)]


def _paste(scenes: Tensor, squares: Tensor) -> None:
    """Where two things lie over each other, the brighter pixel is seen."""
    at = _index(_corners(len(scenes), SIDE, squares.shape[-1]), squares.shape[-1])
    scenes[at] = torch.maximum(scenes[at], squares)


def _corners(count: int, side: int, of: int) -> Tensor:
    return torch.randint(side - of + 1, (count, 2))


def _index(corners: Tensor, side: int) -> tuple[Tensor, Tensor, Tensor]:
    steps = torch.arange(side)
    rows, columns = corners[:, 0, None, None] + steps[:, None], corners[:, 1, None, None] + steps
    return torch.arange(len(corners))[:, None, None], rows, columns
