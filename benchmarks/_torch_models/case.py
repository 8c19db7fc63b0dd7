"""What a builder of a model returns: the model in train mode, its arguments, and the loss that people train it with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch  # pyright: ignore[reportMissingImports]
from torch.nn import functional  # pyright: ignore[reportMissingImports]


class Case(NamedTuple):
    model: torch.nn.Module
    args: tuple = ()
    keywords: dict[str, Any] = {}  # noqa: RUF012
    loss: Callable[[Any], torch.Tensor] = lambda output: output.loss

    def training_loss(self) -> torch.Tensor:
        return self.loss(self.model(*self.args, **self.keywords))


Builder = Callable[[], Case]


def images(count: int, size: int) -> torch.Tensor:
    return torch.randn(count, 3, size, size)


def cross_entropy(logits: torch.Tensor) -> torch.Tensor:
    """With labels 0, 1, 2, ..., one a row."""
    return functional.cross_entropy(logits, torch.arange(len(logits)) % logits.shape[1])


def built(builder: Builder, seed: int = 0) -> Case:
    """The same weights and inputs for the same seed; in train mode."""
    torch.manual_seed(seed)
    case = builder()
    case.model.train()
    return case
