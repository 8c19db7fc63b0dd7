"""`straight_through`: a hard value with the derivative of something smooth."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpanaxError
from ._native.checks import check_float


def straight_through(hard: Float[Tensor, "*s"], soft: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """The value of `hard`, bit by bit, with the derivatives of `soft`, of every order and in every mode.

    `hard + soft - soft.detach()`, which is usually written, rounds: one-hot weights are then not 0 and 1. `hard` itself gets
    no derivative. Biased for the program with `hard`, unless the rest of the program is linear in it.

    **Arguments:**

    - `hard`: what is used, a tensor of floats, such as one-hot weights;
    - `soft`: what is differentiated, of the same shape, dtype and device.

    **Returns:**

    A new tensor.

    **Raises:**

    - `SpanaxError`: unless both are floating-point tensors of one shape, one dtype and one device.

    Bengio, Leonard and Courville 2013 (arXiv:1308.3432), section 4.

    >>> import torch
    >>> from spanax.torch import straight_through
    >>> x = torch.tensor([0.2, 0.7], requires_grad=True)
    >>> z = straight_through((x > 0.5).float(), torch.sigmoid(x))
    >>> z.sum().backward()
    >>> z.tolist(), [round(g, 3) for g in x.grad.tolist()]
    ([0.0, 1.0], [0.248, 0.222])
    """
    if isinstance(hard, Tensor) and isinstance(soft, Tensor) and not hard.is_floating_point():
        raise SpanaxError(f"straight_through(hard={hard.dtype})", f"hard.to({soft.dtype})")
    hard, soft = check_float("straight_through(hard", hard), check_float("straight_through(soft", soft)
    # Broadcasting would give `soft` a derivative that is summed over what it was spread over: hardly ever what is meant.
    for what in ("shape", "dtype", "device"):
        one, other = getattr(hard, what), getattr(soft, what)
        if one != other:
            one, other = (list(one), list(other)) if what == "shape" else (one, other)
            raise SpanaxError(
                f"straight_through: hard has {what} {one}, soft has {other}",
                "torch.broadcast_tensors(hard, soft)" if what == "shape" else "hard.to(soft)",
            )
    return _StraightThrough.apply(hard, soft)  # pyright: ignore[reportReturnType]


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    # A copy: autograd would take a returned input for a view of it, and a later write into one would reach the other.
    @staticmethod
    def forward(hard, soft):
        return hard.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        pass

    @staticmethod
    def backward(ctx: Any, *grads):
        return None, grads[0]

    # Linear in both, so that derivatives of every order are those of `soft`. The tangent is a copy as well.
    @staticmethod
    def jvp(ctx: Any, *tangents):
        d_hard, d_soft = tangents
        return torch.zeros_like(d_hard) if d_soft is None else d_soft.clone()
