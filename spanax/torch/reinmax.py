"""`reinmax`: a one-hot draw with a second-order accurate derivative.

Straight-through integrates f' from the mean to the draw by Euler's rule; ReinMax uses Heun's, the trapezoid (Liu et al. 2023).
"""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpanaxError
from ._native.categories import one_hot, settled, tempered
from ._native.checks import check_dim, check_float, check_generator, check_positive, in_single
from ._native.first_order import told_once
from ._native.noise import gumbel


def reinmax(
    logits: Float[Tensor, "*s"],
    temperature: float = 1.0,
    *,
    dim: int = -1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*s"]:
    """A hard categorical draw, as one-hot weights, with Heun's second-order estimate of the derivative.

    With pi the probabilities at temperature 1, z the draw, pi1 = (softmax(logits/temperature) + z)/2 and
    J(q) v = q (v - <q, v>), the derivative is 2 J(pi1) - J(pi)/2. At temperature 1 it is exact in expectation for f quadratic in
    the draw, and biased at the third order of f otherwise; another temperature trades bias, even for a linear f, for variance.
    First derivatives only: a second one raises. Recommended among the biased bridges with hard draws.

    No value and no derivative is NaN or infinite unless a logit is NaN. A category with logit -inf is never drawn and has
    derivative 0; where all are -inf all weights are 0; where some are +inf the draw is among those. Half precision is computed in
    float32.

    **Arguments:**

    - `logits`: log-probabilities, up to a constant;
    - `temperature`: a positive number, or a tensor of shape [], which is not checked and not differentiated;
    - `dim`: the dimension of the categories;
    - `generator`: of the draw; None for torch's global one.

    **Returns:**

    Weights of 0 and 1, of the shape and dtype of `logits`.

    **Raises:**

    - `SpanaxError`: for logits that are no floating-point tensor, a temperature that is not positive or requires a gradient, a
      `dim` that does not exist, a generator of another device; and for a second derivative.

    Liu et al. 2023 (arXiv:2304.08612), equation 6 and algorithm 2.

    >>> import torch
    >>> from spanax.torch import reinmax
    >>> logits = torch.zeros(5000, 2, requires_grad=True)
    >>> z = reinmax(logits, generator=torch.Generator().manual_seed(0))
    >>> ((z[:, 1] - 0.2) ** 2).mean().backward()
    >>> print(f"{logits.grad.sum(0)[1]:.2f}")  # 0.6 p (1 - p)
    0.15
    """
    logits = check_float("reinmax(logits", logits)
    check_positive("reinmax(temperature", temperature)
    if isinstance(temperature, Tensor) and temperature.requires_grad:
        raise SpanaxError("reinmax: nothing is known of the derivative with respect to the temperature", "detach() it")
    dim = check_dim("reinmax(dim", dim, logits)
    check_generator("reinmax(generator", generator, logits.device)
    if logits.numel() == 0:
        return logits.clone()
    wide = in_single(logits.detach())
    at, none = settled(wide, dim)
    z = one_hot(at + gumbel(wide, generator), dim).masked_fill(none, 0.0).to(logits.dtype)
    return _ReinMax.apply(logits, z, temperature, dim)  # pyright: ignore[reportReturnType]


class _ReinMax(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(logits, z, temperature, dim):
        return z.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        logits, z, ctx.temperature, ctx.dim = inputs
        ctx.save_for_backward(logits, z)
        ctx.save_for_forward(logits, z)

    @staticmethod
    def backward(ctx: Any, *grads):
        return _slope(ctx, grads[0]), None, None, None

    # Both Jacobians of a softmax are symmetric: one map for both modes.
    @staticmethod
    def jvp(ctx: Any, *tangents):
        d_logits = tangents[0]
        return torch.zeros_like(tangents[1]) if d_logits is None else _slope(ctx, d_logits)


def _slope(ctx: Any, v: Tensor) -> Tensor:
    logits, z = ctx.saved_tensors
    wide = in_single(v)
    at, none = settled(in_single(logits.detach()), ctx.dim)
    p = torch.softmax(at, ctx.dim).masked_fill(none, 0.0)
    middle = (tempered(at, ctx.temperature, ctx.dim).masked_fill(none, 0.0) + z) / 2
    # The two together state what they are the Jacobians at: a second derivative through either raises.
    p, middle = (told_once(q, logits, "reinmax(logits)") for q in (p, middle))
    return (2 * _jacobian(middle, wide, ctx.dim) - _jacobian(p, wide, ctx.dim) / 2).to(v.dtype)


def _jacobian(q: Tensor, v: Tensor, dim: int) -> Tensor:
    # J(q) v without the matrix J = diag(q) - q q^T.
    return q * (v - (q * v).sum(dim, keepdim=True))
