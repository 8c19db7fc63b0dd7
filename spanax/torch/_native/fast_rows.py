"""Soft ranks and sorts on a CPU: the formulas of `rows.py` as one operation, a few rows at a time.

What is taken here are rows of finite numbers that span at most 1,200 units of the noise, and their first derivative. Other rows,
and a derivative that is itself to be differentiated, are taken through the operations of `rows.py`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from . import rows
from .checks import in_single
from .laplace import FAR, solved, transposed_mean
from .sorting import order_of_rows

# Numbers that are worked on together: what belongs to them stays in the cache.
_TOGETHER = 1 << 15

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
    """A few sorted rows: `u` in units of the noise, their order `by`, and exp(u); little is kept, as memory takes time."""

    both: Tensor  # of ranks: left + right + 2
    sums: tuple[Tensor, Tensor]  # of sorted values: left and right
    quantiles: tuple[Tensor, Tensor]

    def __init__(self, x: Tensor, softness: float, keeps_u: bool):
        self.by = torch.from_numpy(order_of_rows(in_single(x).numpy()))
        values = x.gather(-1, self.by)
        # Float64 by NumPy, whose small operations cost less.
        low, high = (in_single(values[:, end]).numpy().astype(float)[:, None] for end in (0, -1))
        self.scale = rows.SCALE * softness
        # Sorted, what is not finite stands at an end, and makes this false.
        self.is_quick = bool((high < low + 2 * FAR * self.scale).all())
        if self.is_quick:
            self.centre = torch.from_numpy((low + high) * 0.5)
            self.u = values.double().sub_(self.centre).mul_(1 / self.scale)
            self.up = self.u.exp() if keeps_u else self.u.exp_()

    # The sums of `laplace.Decays` with the entry itself, but for a last factor of exp(-u) and exp(u). In place where that can be:
    # what fits into the cache counts for more than the arithmetic.
    def before(self, w: Tensor | None) -> Tensor:
        return self.up.cumsum(-1) if w is None else (self.up * w).cumsum_(-1)

    def after(self, w: Tensor | None) -> Tensor:
        terms = self.up.flip(-1).reciprocal_() if w is None else (w / self.up).flip(-1)
        return terms.cumsum_(-1).flip(-1)


def _flat(x: Tensor) -> Tensor:
    return x.reshape(-1, x.shape[-1])


def _blocks(x: Tensor) -> Iterator[slice]:
    together = max(1, _TOGETHER // x.shape[-1])
    return (slice(start, start + together) for start in range(0, len(x), together))  # the last one may end beyond x


def _values(
    ctx: Any,
    x: Tensor,
    formula: Formula,
    softness: float,
    count: int,
    of_block: Callable[[_Block, Tensor], None],
) -> Tensor:
    """`of_block` writes the values of a few rows."""
    flat = _flat(x)
    out, ctx.blocks, ctx.formula = flat.new_empty(len(flat), count), [], formula
    ctx.save_for_backward(x)
    for block in _blocks(flat):
        known = _Block(flat[block], softness, of_block is _quantiles)
        if known.is_quick:
            of_block(known, out[block])
        else:
            out[block] = formula(flat[block])
        # What only a derivative needs goes at once if there will be none.
        ctx.blocks.append(known if ctx.needs_input_grad[0] else None)
    return out.reshape(*x.shape[:-1], count)


def _slopes(ctx: Any, g: Tensor, of_block: Callable[[_Block, Tensor], Tensor]) -> Tensor:
    (x,) = ctx.saved_tensors
    if torch.is_grad_enabled():
        return _derivative(ctx.formula, x, g, create_graph=True)
    flat, g = _flat(x), _flat(g)
    out = torch.empty(flat.shape, dtype=x.dtype)
    for block, known in zip(_blocks(flat), ctx.blocks, strict=True):
        if known.is_quick:
            out[block].scatter_(-1, known.by, of_block(known, g[block]).to(x.dtype))
        else:
            out[block] = _derivative(ctx.formula, flat[block].detach().requires_grad_(), g[block])
    return out.reshape(x.shape)


def _derivative(f: Formula, x: Tensor, g: Tensor, create_graph: bool = False) -> Tensor:
    with torch.enable_grad():
        return torch.autograd.grad(f(x), x, g, create_graph=create_graph)[0]


class _Rank(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, formula, softness):
        return _values(ctx, x, formula, softness, x.shape[-1], _ranks)

    @staticmethod
    def backward(ctx: Any, *grads):
        return _slopes(ctx, grads[0], _rank_slopes), None, None


@functools.lru_cache(maxsize=4)
def _places(n: int) -> Tensor:
    return torch.arange(1, n + 1, dtype=torch.float64)


def _ranks(known: _Block, out: Tensor) -> None:
    # 1/2 + sum over j of F(u_i - u_j), as in `laplace.at_entries`.
    a, b = known.before(None).div_(known.up), known.after(None).mul_(known.up)
    known.both = a + b
    out.scatter_(-1, known.by, b.sub_(a).mul_(0.5).add_(_places(out.shape[-1])).to(out.dtype))


def _rank_slopes(known: _Block, g: Tensor) -> Tensor:
    # Of each pair, d F(u_i - u_j) = exp(-|u_i - u_j|)/2 (du_i - du_j). The entry itself is in all sums, and cancels.
    w = g.gather(-1, known.by).double().mul_(0.5 / known.scale)
    out = (known.both * w).addcdiv_(known.before(w), known.up, value=-1)
    return out.addcmul_(known.after(w), known.up, value=-1)


class _Sort(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x, formula, softness, count):
        return _values(ctx, x, formula, softness, count, _quantiles)

    @staticmethod
    def backward(ctx: Any, *grads):
        return _slopes(ctx, grads[0], _sort_slopes), None, None, None


def _quantiles(known: _Block, out: Tensor) -> None:
    known.sums = known.before(None).div_(known.up).sub_(1), known.after(None).mul_(known.up).sub_(1)
    known.quantiles = t, _ = solved(known.u, *known.sums, 0.5, out.shape[-1])
    out.copy_((t * known.scale).add_(known.centre))


def _sort_slopes(known: _Block, g: Tensor) -> Tensor:
    def left(_, w):
        return known.before(w).div_(known.up).sub_(w)

    def right(_, w):
        return known.after(w).mul_(known.up).sub_(w)

    # t is in units of the noise as u is: its derivative has no unit.
    return transposed_mean(known.u, *known.sums, *known.quantiles, g.double(), left, right)
