"""Soft order statistics in n log n, by sums of exponentials over sorted numbers.

With F the cdf of Laplace noise of scale 1, and u sorted along its last axis, the sums over all pairs that ranks and quantiles
need consist of

    left_i(w) = sum over j < i of w_j exp(-(u_i - u_j)),      right_i(w) = sum over j > i of w_j exp(-(u_j - u_i)),

and their derivatives are sums of the same kind, so that every order is right. Struski et al. 2025 (LapSum, arXiv:2503.06242).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

# exp of it is a number of float64, with room for the sum of many.
FAR = 600.0


class Decays:
    """The two sums for one sorted u, as plain numbers, without derivatives."""

    def __init__(self, u: Tensor):
        self.u = u
        self.up = self.down = None
        # To look at a value waits for a GPU, and a value of a vmap cannot be looked at.
        self.on_host = u.device.type == "cpu" and not is_functorch_wrapped_tensor(u)
        if self.on_host and u.dtype == torch.float64 and bool((u[..., [0, -1]].abs() < FAR).all()):
            # exp(-(u_i - u_j)) = exp(-u_i) exp(u_j): running sums, of terms that ascend to the last one, so that nothing is lost.
            self.up = torch.exp(u)
            self.down = self.up.reciprocal()

    def left(self, w: Tensor | None = None) -> Tensor:
        """With the weights w; None for ones."""
        if self.up is None or self.down is None:
            return self._recurrence(self.u, torch.ones_like(self.u) if w is None else w)
        return _less(self.down * (self.up if w is None else self.up * w).cumsum(-1), w)

    def right(self, w: Tensor | None = None) -> Tensor:
        if self.up is None or self.down is None:
            ones = torch.ones_like(self.u) if w is None else w
            return self._recurrence(-self.u.flip(-1), ones.flip(-1)).flip(-1)
        return _less(self.up * (self.down if w is None else self.down * w).flip(-1).cumsum(-1).flip(-1), w)

    def _recurrence(self, u: Tensor, w: Tensor) -> Tensor:
        """For any u: y_i = decay_i (y_(i-1) + w_(i-1)), and y_0 = 0."""
        nothing = torch.zeros_like(u[..., :1])
        # 0 in place of what is too small to count, since the processor is slow with denormal numbers, and in place of NaN, whose
        # rows are marked elsewhere.
        decay = torch.exp(u[..., :-1] - u[..., 1:])
        decay = torch.cat([nothing, torch.where(decay > 1e-30, decay, 0.0)], -1)
        terms = decay * torch.cat([torch.zeros_like(w[..., :1]), w[..., :-1]], -1)
        # LAPACK takes all rows as one: what is not finite in one would spread to the others.
        if self.on_host and terms.dtype == torch.float64 and terms.numel() > 2 and bool(torch.isfinite(terms).all()):
            return _one_by_one(decay, terms)
        return _by_doubling(decay, terms)


def _one_by_one(decay: Tensor, terms: Tensor) -> Tensor:
    """y_i = decay_i y_(i-1) + terms_i, as the triangular part of a factored tridiagonal system: a compiled loop of one pass."""
    from scipy.linalg.lapack import dgttrs  # pyright: ignore[reportAttributeAccessIssue]

    n = terms.numel()
    below, none = -decay.reshape(-1)[1:].numpy(), np.zeros(n - 1)
    y, _ = dgttrs(below, np.ones(n), none, none[1:], np.arange(1, n + 1, dtype=np.int32), terms.reshape(-1).numpy())
    return torch.from_numpy(y).reshape(terms.shape)


def _by_doubling(decay: Tensor, terms: Tensor) -> Tensor:
    """The same by composing 1, 2, 4, ... of these maps."""
    y, reach = terms, 1
    while reach < terms.shape[-1]:
        y = torch.cat([y[..., :reach], torch.addcmul(y[..., reach:], decay[..., reach:], y[..., :-reach])], -1)
        decay = torch.cat([torch.zeros_like(decay[..., :reach]), decay[..., reach:] * decay[..., :-reach]], -1)
        reach *= 2
    return y


def _less(total: Tensor, own: Tensor | None) -> Tensor:
    return total - (1 if own is None else own)


def left(u: Tensor, w: Tensor) -> Tensor:
    """The sum over what comes before, with derivatives of every order."""
    return _Sum.apply(u, w, False)  # pyright: ignore[reportReturnType]


def right(u: Tensor, w: Tensor) -> Tensor:
    return _Sum.apply(u, w, True)  # pyright: ignore[reportReturnType]


class _Sum(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u, w, from_right):
        return Decays(u).right(w) if from_right else Decays(u).left(w)

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        u, w, ctx.from_right = inputs
        ctx.save_for_backward(u, w, output)
        ctx.save_for_forward(u, w, output)

    # d exp(-(u_i - u_j)) = -exp(-(u_i - u_j)) (du_i - du_j): a sum with other weights, and a multiple of the sum itself.
    @staticmethod
    def backward(ctx: Any, *grads):
        (u, w, y), (g,) = ctx.saved_tensors, grads
        transposed = _Sum.apply(u, g, not ctx.from_right)
        du = g * y - w * transposed if ctx.from_right else w * transposed - g * y
        return du, transposed, None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        (u, w, y), (du, dw, _) = ctx.saved_tensors, tangents
        du = torch.zeros_like(u) if du is None else du
        dw = torch.zeros_like(w) if dw is None else dw
        if ctx.from_right:
            return _Sum.apply(u, dw - w * du, True) + y * du
        return _Sum.apply(u, dw + w * du, False) - y * du


def at_entries(a: Tensor, b: Tensor) -> Tensor:
    """The sum over all j of F(u_i - u_j), from the two sums with weights 1."""
    # F(v) = 1 - exp(-v)/2 for v > 0 and exp(v)/2 for v < 0: entries below count 1 less their share of a, those above theirs of b,
    # and the entry itself 1/2.
    places = torch.arange(a.shape[-1], dtype=a.dtype, device=a.device)
    return places + (0.5 + (b - a) / 2)


def ranks(u: Tensor) -> Tensor:
    """1/2 + the sum over all j of F(u_i - u_j): from 1 to n, and 1/2 for each tie."""
    ones = torch.ones_like(u)
    return 0.5 + at_entries(left(u, ones), right(u, ones))


def quantiles(u: Tensor, first: float, count: int) -> Tensor:
    """For the levels l = first, first + 1, ..., strictly between 0 and n, the t with sum over j of F(t - u_j) = l."""
    ones = torch.ones_like(u)
    return _Solve.apply(u, left(u, ones), right(u, ones), first, count)[0]  # pyright: ignore[reportOptionalSubscript]


def solved(u: Tensor, a: Tensor, b: Tensor, first: float, count: int) -> tuple[Tensor, Tensor]:
    """The quantiles, and how many of the u are below each, from the two sums with weights 1."""
    n = u.shape[-1]
    levels = torch.arange(count, dtype=u.dtype, device=u.device) + first
    below = _below(at_entries(a, b), first, count)
    (u_left, u_right), (a, b) = neighbours(u, u, below), neighbours(a + 1, b + 1, below)
    a, b = a.masked_fill(below == 0, 0.0), b.masked_fill(below == n, 0.0)
    # Between two neighbours the sum is below - a exp(-(t - u_left))/2 + b exp(-(u_right - t))/2: a quadratic in exp(t). It is
    # solved from the neighbour on whose side the root is, so that nothing cancels.
    c = levels - below
    root = torch.sqrt(c.square() + a * b * torch.exp(u_left - u_right))
    # A sum that counts its own entry is 1 or more, and 0 only if there is none: its logarithm is then not used.
    log_a, log_b = torch.log(a.clamp(min=1)), torch.log(b.clamp(min=1))
    side = torch.log(torch.where(c == 0, 1.0, root + c.abs()))
    t = torch.where(c < 0, u_left + (log_a - side), u_right - (log_b - side))
    return torch.where(c == 0, (u_left + u_right + (log_a - log_b)) / 2, t), below


def _below(at: Tensor, first: float, count: int) -> Tensor:
    """At how many entries the sum is at most each level."""
    # The sums ascend with the entries, and the levels by 1: counted by one scatter and a running sum.
    at = torch.ceil(at - first).nan_to_num(count).clamp(0, count).long()
    counts = torch.zeros((*at.shape[:-1], count + 1), dtype=torch.long, device=at.device)
    return counts.scatter_add(-1, at, torch.ones_like(at)).cumsum(-1)[..., :count]


def neighbours(left: Tensor, right: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """The last entry of `left` below, and the first entry of `right` above, where `below` entries are."""
    return left.gather(-1, (below - 1).clamp(min=0)), right.gather(-1, below.clamp(max=left.shape[-1] - 1))


def shares(u: Tensor, t: Tensor, below: Tensor) -> tuple[Tensor, Tensor]:
    """exp(-(t - u_left)) and exp(-(u_right - t)), but for a common factor against underflow in a wide gap."""
    u_left, u_right = neighbours(u, u, below)
    to_left = torch.where(below > 0, t - u_left, torch.inf)
    to_right = torch.where(below < u.shape[-1], u_right - t, torch.inf)
    nearest = torch.minimum(to_left, to_right).detach()
    return torch.exp(nearest - to_left), torch.exp(nearest - to_right)


class _Solve(torch.autograd.Function):
    """By the implicit function theorem, dt is a mean of du, weighted by the density of the noise at t - u_j."""

    generate_vmap_rule = True

    @staticmethod
    def forward(u, a, b, first, count):
        return solved(u, a, b, first, count)

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        u, a, b, _, _ = inputs
        t, below = output
        ctx.mark_non_differentiable(below)
        ctx.save_for_backward(u, a, b, t, below)
        ctx.save_for_forward(u, a, b, t, below)

    # The sums a and b follow from u: their part of the derivative is in that of u.
    @staticmethod
    def backward(ctx: Any, *grads):
        u, a, b, t, below = ctx.saved_tensors
        return transposed_mean(u, a, b, t, below, grads[0], left, right), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        u, a, b, t, below = ctx.saved_tensors
        du = tangents[0]
        by_left, by_right = shares(u, t, below)

        def total(a, b):
            a, b = neighbours(a, b, below)
            return by_left * a + by_right * b

        return total(left(u, du) + du, right(u, du) + du) / total(a + 1, b + 1), None


def transposed_mean(u, a, b, t, below, g, left, right) -> Tensor:
    """The derivative with respect to u of the sum of g t. `left` and `right` are functions of u and weights."""
    by_left, by_right = shares(u, t, below)
    at_left, at_right = neighbours(a + 1, b + 1, below)
    each = g / (by_left * at_left + by_right * at_right)
    none = torch.zeros_like(u)
    to_left = none.scatter_add(-1, (below - 1).clamp(min=0), each * by_left)
    to_right = none.scatter_add(-1, below.clamp(max=u.shape[-1] - 1), each * by_right)
    return (right(u, to_left) + to_left) + (left(u, to_right) + to_right)
