"""A value with a stated first derivative, and an error for a second one, about which nothing is stated."""

from __future__ import annotations

import functools
from typing import Any

import torch

from ..._errors import SpanaxError
from .raising import raising


def told_once(value: torch.Tensor, at: torch.Tensor, name: str) -> torch.Tensor:
    """`value`, a first derivative: one with respect to `at` would be a second, and raises."""
    return raising(value, at, functools.partial(_second, name))


def _second(name: str) -> SpanaxError:
    # The line that is run now is autograd's, not the user's.
    return SpanaxError(
        f"a second derivative through {name}, which has only a first one",
        'sample(distribution) and surrogate_loss(cost, log_probs): right at every order with baseline="leave-one-out"',
        "gumbel_softmax(logits), whose relaxed draw has derivatives of every order",
        where="",
    )


def along(value: torch.Tensor, slope: torch.Tensor, x: torch.Tensor, name: str) -> torch.Tensor:
    """`value`, whose derivative with respect to x is `slope`, of the shape of x; a second one raises.

    The shape of the value is that of the leading dimensions of x: element i depends on x[i]. Its own derivative goes on.
    """
    return _Along.apply(value, slope.detach(), x, name)  # pyright: ignore[reportReturnType]


class _Along(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(value, slope, x, name):
        return value.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        value, slope, x, ctx.name = inputs
        ctx.own = range(value.dim(), x.dim())  # the dimensions of x that one value depends on
        ctx.save_for_backward(slope, x)
        ctx.save_for_forward(slope, x)

    @staticmethod
    def backward(ctx: Any, *grads):
        slope, x = ctx.saved_tensors
        (g,) = grads
        d_x = g.reshape(g.shape + (1,) * len(ctx.own)) * told_once(slope, x, ctx.name)
        return g, None, d_x.to(x.dtype), None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        slope, x = ctx.saved_tensors
        d_value, _, d_x, _ = tangents
        moved = told_once(slope, x, ctx.name) * d_x
        return d_value + (moved.sum(tuple(ctx.own)) if ctx.own else moved).to(d_value.dtype)
