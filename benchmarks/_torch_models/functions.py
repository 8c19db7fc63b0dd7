"""Functions with a backward pass of their own, wrong in the ways that people get them wrong."""

from __future__ import annotations

import torch  # pyright: ignore[reportMissingImports]


class Zeros(torch.autograd.Function):
    """Its backward pass was a stub, and stayed one."""

    @staticmethod
    def forward(ctx, x):
        return torch.sin(x)

    @staticmethod
    def backward(ctx, *cotangents):
        return torch.zeros_like(cotangents[0])


class Forgets(torch.autograd.Function):
    """x * scale: the derivative by `scale` is forgotten."""

    @staticmethod
    def forward(ctx, x, scale):
        ctx.save_for_backward(scale)
        return x * scale

    @staticmethod
    def backward(ctx, *cotangents):
        (scale,) = ctx.saved_tensors
        return cotangents[0] * scale, None
