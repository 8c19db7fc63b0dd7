"""Logits that may be infinite, as differences that are not NaN."""

from __future__ import annotations

import torch
from torch import Tensor


def settled(logits: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Logits of the same distribution, finite or -inf, and where nothing is possible; there they are equal.

    Where some are +inf, those alone are possible, equally. Nothing is possible where all are -inf.
    """
    top = logits == torch.inf
    # Of two infinite logits the difference is NaN: they become 0 among -inf, without a derivative.
    logits = torch.where(top.any(dim, keepdim=True), torch.zeros_like(logits).masked_fill(~top, -torch.inf), logits)
    none = (logits == -torch.inf).all(dim, keepdim=True)
    return logits.masked_fill(none, 0.0), none


def tempered(scores: Tensor, temperature: float | Tensor, dim: int) -> Tensor:
    """softmax(scores/temperature) of scores that are finite or -inf, not all of them -inf."""
    # Less the largest, so that the division by a small temperature overflows to -inf only. What is -inf is divided as 0: the
    # derivative with respect to the temperature would be infinity times 0.
    out = scores == -torch.inf
    largest = scores.detach().amax(dim, keepdim=True)
    return torch.softmax(((scores.masked_fill(out, 0.0) - largest) / temperature).masked_fill(out, -torch.inf), dim)


def one_hot(scores: Tensor, dim: int) -> Tensor:
    """1 at the largest score along `dim`, 0 elsewhere, of the dtype of the scores; without derivative."""
    scores = scores.detach()
    return torch.zeros_like(scores).scatter(dim, scores.argmax(dim, keepdim=True), 1.0)
