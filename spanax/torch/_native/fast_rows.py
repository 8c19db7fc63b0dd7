"""Soft ranks and sorts on a CPU: the formulas of `rows.py` as one operation, a few rows at a time.

What is taken here are rows of finite numbers that span at most 1,200 units of the noise, and their first derivative. Other rows,
and a derivative that is itself to be differentiated, are taken through the operations of `rows.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import rows
from .checks import in_single
from .laplace import FAR, solved, transposed_mean
from .sorting import order_of_rows

# Numbers that are worked on together: what belongs to them stays in the cache.
_TOGETHER = 1 << 14

Formula = Callable[[Tensor], Tensor]  # the same by the operations of `rows.py`


def soft_rank(x: Tensor, softness: float | Tensor) -> Tensor:
    def formula(x):
        return rows.soft_rank(x, softness)

    return _apply(_Rank, formula, x, softness)


def soft_sort(x: Tensor, softness: float | Tensor, count: int) -> Tensor:
    def formula(x):
        return rows.soft_sort(x, softness, count)

    return _apply(_Sort, formula, x, softness, count)


def _apply(operation: Any, formula: Formula, x: Tensor, softness: float | Tensor, *static: Any) -> Tensor:
    if isinstance(softness, Tensor) or not rows.is_plain(x) or forward_ad.unpack_dual(x).tangent is not None:
        return formula(x)
    return operation.apply(x, formula, softness, *static)


class _Block:
    """A few sorted rows: `u` in units of the noise, their order `by`, exp(u), exp(-u) and the two sums of these."""

    t: Tensor  # the quantiles, where they were asked for
    below: Tensor

    def __init__(self, x: Tensor, softness: float):
        self.by = torch.from_numpy(order_of_rows(in_single(x).numpy()))
        u = x.gather(-1, self.by).double()
        # NumPy, whose small operations cost less.
        ends = u.numpy()[:, [0, -1]]
        self.scale = rows.SCALE * softness
        # Sorted, what is not finite stands at an end, and makes this false.
        self.is_quick = bool(np.ptp(ends, 1).max() < 2 * FAR * self.scale)
        if self.is_quick:
            self.centre = torch.from_numpy(ends.mean(1, keepdims=True))
            self.u = u.sub_(self.centre).mul_(1 / self.scale)
            self.up = torch.exp(u)
            self.down = self.up.reciprocal()
            # The sums of `laplace.Decays`, and 1 more for each entry itself.
            self.a, self.b = self.before(self.up), self.after(self.down)

    def before(self, terms: Tensor) -> Tensor:
        return terms.cumsum(-1).mul_(self.down)

    def after(self, terms: Tensor) -> Tensor:
        return terms.flip(-1).cumsum(-1).flip(-1).mul_(self.up)

    def left(self, _: Tensor, w: Tensor) -> Tensor:
        return self.before(self.up * w).sub_(w)

    def right(self, _: Tensor, w: Tensor) -> Tensor:
        return self.after(self.down * w).sub_(w)

    def to_original_order(self, x: Tensor, like: Tensor) -> Tensor:
        return torch.empty_like(like, memory_format=torch.contiguous_format).scatter_(-1, self.by, x.to(like.dtype))


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _blocks(x: Tensor) -> Iterator[slice]:
    together = max(1, _TOGETHER // x.shape[-1])
    return (slice(start, start + together) for start in range(0, len(x), together))  # the last one may end beyond x


def _values(
    ctx: Any, x: Tensor, formula: Formula, softness: float, of_block: Callable[[_Block, Tensor], Tensor]
) -> Tensor:
    ctx.save_for_backward(x)
    flat, parts = _flat(x), []
    ctx.blocks, ctx.formula = [], formula
    for block in _blocks(flat):
        part = flat[block]
        known = _Block(part, softness)
        ctx.blocks.append(known)
        parts.append(of_block(known, part) if known.is_quick else formula(part))
    return _joined(parts, x)


def _slopes(ctx: Any, g: Tensor, of_block: Callable[[_Block, Tensor], Tensor]) -> Tensor:
    (x,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return _derivative(ctx.formula, x, g, create_graph=True)
    flat, g, parts = _flat(x), _flat(g), []
    for block, known in zip(_blocks(flat), ctx.blocks, strict=True):
        if known.is_quick:
            parts.append(known.to_original_order(of_block(known, g[block]), flat[block]))
        else:
            parts.append(_derivative(ctx.formula, flat[block].detach().requires_grad_(), g[block]))
    return _joined(parts, x)


def _derivative(f: Formula, x: Tensor, g: Tensor, create_graph: bool = False) -> Tensor:
    with torch.enable_grad():
        return torch.autograd.grad(f(x), x, g, create_graph=create_graph)[0]


def _joined(parts: list[Tensor], like: Tensor) -> Tensor:
    return (parts[0] if len(parts) == 1 else torch.cat(parts)).reshape(*like.shape[:-1], -1)


class _Rank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, formula, softness):
        return _values(ctx, x, formula, softness, _ranks)

    @staticmethod
    def backward(ctx: Any, *grads):
        return _slopes(ctx, grads[0], _rank_slopes), None, None


@functools.lru_cache(maxsize=4)
def _places(n: int) -> Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)


def _ranks(known: _Block, x: Tensor) -> Tensor:
    # 1/2 + sum over j of F(u_i - u_j), as in `laplace.at_entries`.
    out = (known.b - known.a).mul_(0.5).add_(_places(x.shape[-1]))
    return known.to_original_order(out, x)


def _rank_slopes(known: _Block, g: Tensor) -> Tensor:
    # Of each pair, d F(u_i - u_j) = exp(-|u_i - u_j|)/2 (du_i - du_j). The entry itself is in all sums, and cancels.
    w = g.gather(-1, known.by).double()
    out = (known.a + known.b).mul_(w).sub_(known.before(known.up * w)).sub_(known.after(known.down * w))
    return out.mul_(0.5 / known.scale)


class _Sort(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, formula, softness, count):
        return _values(ctx, x, formula, softness, lambda known, x: _quantiles(known, x, count))

    @staticmethod
    def backward(ctx: Any, *grads):
        return _slopes(ctx, grads[0], _sort_slopes), None, None, None


def _quantiles(known: _Block, x: Tensor, count: int) -> Tensor:
    known.a.sub_(1)
    known.b.sub_(1)
    known.t, known.below = solved(known.u, known.a, known.b, 0.5, count)
    return (known.t * known.scale).add_(known.centre).to(x.dtype)


def _sort_slopes(known: _Block, g: Tensor) -> Tensor:
    # t is in units of the noise as u is: its derivative has no unit.
    return transposed_mean(known.u, known.a, known.b, known.t, known.below, g.double(), known.left, known.right)
