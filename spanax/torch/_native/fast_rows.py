"""Soft ranks and sorts on a CPU: the formulas of `rows.py` as one operation, of which only the first derivative is fast.

A derivative that is itself to be differentiated is taken through the operations of `rows.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import rows
from .laplace import Decays, at_entries, solved, transposed_mean


def soft_rank(x: Tensor, softness: float | Tensor) -> Tensor:
    return _Rank.apply(x, softness) if _applies(x, softness) else rows.soft_rank(x, softness)  # pyright: ignore[reportReturnType]


def soft_sort(x: Tensor, softness: float | Tensor, count: int) -> Tensor:
    if _applies(x, softness):
        return _Sort.apply(x, softness, count)  # pyright: ignore[reportReturnType]
    return rows.soft_sort(x, softness, count)


def _applies(x: Tensor, softness: float | Tensor) -> bool:
    return not isinstance(softness, Tensor) and rows.is_plain(x) and forward_ad.unpack_dual(x).tangent is None


def _again(f: Any, x: Tensor, g: Tensor) -> Tensor:
    """The derivative of `f` at x, which can be differentiated."""
    with torch.enable_grad():
        return torch.autograd.grad(f(x), x, g, create_graph=True)[0]


class _Rank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, softness):
        order, wide = rows.order_of(x), rows.widened(x)
        values = wide.gather(-1, order.by)
        ctx.decays = Decays(rows.in_noise_units(values, rows.middle(values), softness))
        a, b = ctx.decays.left(), ctx.decays.right()
        ctx.save_for_backward(x)
        ctx.order, ctx.softness, ctx.both = order, softness, a + b
        out = 0.5 + at_entries(a, b)
        return rows.no_nan(x, out.gather(-1, order.places)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads):
        (x,), (g,) = ctx.saved_tensors, grads
        if torch.is_grad_enabled():
            return _again(lambda x: rows.soft_rank(x, ctx.softness), x, g), None
        # Of each pair, d F(u_i - u_j) = exp(-|u_i - u_j|)/2 (du_i - du_j).
        w = rows.widened(g).gather(-1, ctx.order.by)
        du = (w * ctx.both - ctx.decays.left(w) - ctx.decays.right(w)) / (2 * rows.SCALE * ctx.softness)
        return rows.no_derivative_at_infinity(x, du.gather(-1, ctx.order.places)).to(x.dtype), None


class _Sort(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, softness, count):
        order = rows.order_of(x)
        values = rows.widened(x).gather(-1, order.by)
        centre = rows.middle(values)
        ctx.decays = Decays(rows.in_noise_units(values, centre, softness))
        ctx.sums = ctx.decays.left(), ctx.decays.right()
        t, below = solved(ctx.decays.u, *ctx.sums, 0.5, count)
        ctx.save_for_backward(x)
        hard = values[..., :count]
        ctx.order, ctx.softness, ctx.count, ctx.t, ctx.below, ctx.hard = order, softness, count, t, below, hard
        return rows.no_nan(x, torch.where(torch.isinf(hard), hard, centre + t * (rows.SCALE * softness))).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads):
        (x,), (g,) = ctx.saved_tensors, grads
        if torch.is_grad_enabled():
            return _again(lambda x: rows.soft_sort(x, ctx.softness, ctx.count), x, g), None, None
        w = rows.widened(g).masked_fill(torch.isinf(ctx.hard), 0.0)
        decays = ctx.decays
        du = transposed_mean(
            decays.u, *ctx.sums, ctx.t, ctx.below, w, lambda _, w: decays.left(w), lambda _, w: decays.right(w)
        )
        return rows.no_derivative_at_infinity(x, du.gather(-1, ctx.order.places)).to(x.dtype), None, None
