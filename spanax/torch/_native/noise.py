"""Uniform, Gumbel and logistic noise that is always finite, in float32 or float64."""

from __future__ import annotations

import torch


def uniform(like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """Strictly between 0 and 1, of the shape and dtype of `like`."""
    # By `torch.rand`, which draws anew for each lane under vmap, where filling in place cannot. It gives 0 once in 16 million
    # numbers of float32, and then an infinite logarithm.
    u = torch.rand(like.shape, dtype=like.dtype, device=like.device, generator=generator)
    limits = torch.finfo(like.dtype)
    return u.clamp(limits.tiny, 1 - limits.eps / 2)


def gumbel(like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    return -torch.log(-torch.log(uniform(like, generator)))


def logistic(like: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """The difference of two Gumbel variables."""
    u = uniform(like, generator)
    return torch.log(u) - torch.log1p(-u)
