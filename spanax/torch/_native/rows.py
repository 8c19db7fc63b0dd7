"""Soft order statistics of the rows of a tensor, along the last axis, with derivatives of every order and in every mode.

Each entry is replaced by Laplace noise around it; `laplace.py` has the sums over all pairs. Infinities stay where they are and
have no derivative; a NaN makes its whole row NaN.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from .checks import in_single
from .kernels import KERNELS
from .laplace import quantiles, ranks
from .sorting import order_of_rows

SCALE = math.sqrt(0.5)  # of Laplace noise of standard deviation 1


class Order(NamedTuple):
    """`by`: the indices of the sorted entries, NaN last; `places`: its inverse."""

    by: Tensor
    places: Tensor


def is_plain(x: Tensor) -> bool:
    """Is it an ordinary tensor of this process, that nobody watches or transforms?"""
    watched = torch._C._len_torch_function_stack() or torch._C._len_torch_dispatch_stack()
    usual = x.device.type == "cpu" and type(x) in (Tensor, torch.nn.Parameter) and not torch.compiler.is_compiling()
    return usual and not watched and not is_functorch_wrapped_tensor(x)


def order_of(x: Tensor) -> Order:
    """The order of the entries along the last axis; without derivative."""
    x = x.detach()
    # NumPy sorts several times as fast as torch on a CPU.
    if is_plain(x):
        flat = in_single(x).reshape(-1, x.shape[-1])
        by = torch.from_numpy(order_of_rows(flat.numpy())).reshape(x.shape)
        places = torch.empty_like(by).scatter_(-1, by, torch.arange(x.shape[-1]).expand(x.shape))
        return Order(by, places)
    by = torch.sort(x, dim=-1, stable=True).indices
    return Order(by, torch.argsort(by, dim=-1))


def permuted(x: Tensor, by: Tensor, places: Tensor) -> Tensor:
    """The entries in that order. Knowing its inverse, the derivative is a gather, where torch's own would be a scatter."""
    return _Permuted.apply(x, by, places)  # pyright: ignore[reportReturnType]


class _Permuted(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, by, places):
        return x.gather(-1, by)

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        _, by, places = inputs
        ctx.save_for_backward(by, places)
        ctx.save_for_forward(by, places)

    @staticmethod
    def backward(ctx: Any, *grads):
        by, places = ctx.saved_tensors
        return _Permuted.apply(grads[0], places, by), None, None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        return _Permuted.apply(tangents[0], *ctx.saved_tensors)


def widened(x: Tensor) -> Tensor:
    """x in the precision of the sums: float64 on a CPU, where it costs little, and at least float32 elsewhere."""
    return x.double() if x.device.type == "cpu" else x.float() if x.dtype.itemsize < 4 else x


def middle(values: Tensor) -> Tensor:
    """The middle one of sorted values; 0 if that is infinite or NaN; without derivative."""
    # Subtracted before the division by the softness: numbers far from 0 keep their digits.
    half = values.shape[-1] // 2
    return values[..., half : half + 1].detach().nan_to_num(0.0, 0.0, 0.0)


def in_noise_units(x: Tensor, centre: Tensor, softness: float | Tensor) -> Tensor:
    """x - centre in units of the noise's scale; infinities become numbers far away, without derivative."""
    # A quarter of the largest float: differences of two such numbers do not overflow.
    far = torch.finfo(x.dtype).max / 4
    infinite = torch.isinf(x)
    u = torch.where(infinite, 0.0, x - centre) / (SCALE * softness)
    return torch.where(infinite, far * x.detach().sign(), u.clamp(-far, far))


def no_nan(x: Tensor, out: Tensor) -> Tensor:
    """`out`, and NaN in the rows of x that hold one."""
    bad = torch.isnan(x).any(-1)
    return out.masked_fill(bad.reshape(bad.shape + (1,) * (out.dim() - bad.dim())), torch.nan)


def no_derivative_at_infinity(x: Tensor, slope: Tensor) -> Tensor:
    """The slope with respect to x, 0 at infinities, and NaN in the rows of x that hold one."""
    return no_nan(x, slope.masked_fill(torch.isinf(x), 0.0))


def soft_rank(x: Tensor, softness: float | Tensor) -> Tensor:
    order, wide = order_of(x), widened(x)
    values = permuted(wide, *order)
    out = ranks(in_noise_units(values, middle(values), softness))
    return no_nan(x, permuted(out, order.places, order.by)).to(x.dtype)


def soft_sort(x: Tensor, softness: float | Tensor, count: int) -> Tensor:
    """The values at the first `count` places, ascending."""
    # The k-th value of n stands for the k-th n-th part of the distribution: its quantile in the middle of that part.
    values = permuted(widened(x), *order_of(x))
    centre = middle(values)
    t = quantiles(in_noise_units(values, centre, softness), 0.5, count)
    # An infinite entry has no soft neighbourhood: its place keeps the hard value.
    hard = values[..., :count].detach()
    return no_nan(x, torch.where(torch.isinf(hard), hard, centre + t * (SCALE * softness))).to(x.dtype)


def soft_permutation(x: Tensor, softness: float | Tensor, count: int) -> Tensor:
    """Weights over the entries for the same places: P(x_j + noise lies in that n-th part of all noisy entries)."""
    n, wide = x.shape[-1], widened(x)
    values = permuted(wide, *order_of(x))
    centre = middle(values)
    u, at = (in_noise_units(each, centre, softness) for each in (wide, values))
    # Bounds between the parts; below the first part the cdf is 0, and above the last one 1. The probability of a part is the
    # difference of the cdf at its two bounds: the differences telescope, and every column sums to 1.
    inner = min(count, n - 1)
    bounds = quantiles(at, 1.0, inner) if inner else u[..., :0]
    cdf = KERNELS["laplace"].cdf((bounds[..., :, None] - u[..., None, :]) * SCALE)
    ends = [torch.zeros_like(u[..., None, :]), cdf, *([torch.ones_like(u[..., None, :])] if count == n else [])]
    return no_nan(x, torch.cat(ends, -2).diff(dim=-2)).to(x.dtype)
