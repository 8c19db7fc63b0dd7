"""`disarm`: the gradient of Bernoulli draws from antithetic pairs.

ARM (Yin and Zhou 2019) estimates from one uniform number u and 1 - u. DisARM is its expectation given the pair of draws that they
make, so that it varies less (Rao and Blackwell): a pair that is the same draw twice counts 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from .._checks import check_whole
from .._errors import SpanaxError
from ._native.checks import check_float, check_generator, in_single
from ._native.first_order import along
from ._native.noise import uniform


def disarm(
    f: Callable[[Float[Tensor, "*batch d"]], Float[Tensor, "*batch"]],
    logits: Float[Tensor, "*batch d"],
    *,
    pairs: int = 1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch"]:
    """The cost f(z) of Bernoulli draws z, with DisARM's gradient with respect to their logits: call `.mean().backward()` on it.

    z = [u >= 1 - p] and z' = [1 - u > 1 - p] for one uniform u. The value is the mean of f(z) and f(z'), with f's own derivatives
    beside; the derivative with respect to the logits is (f(z) - f(z'))/2 (z - z') sigmoid(|logit|), the mean over `pairs`.
    Unbiased for the gradient of E[f(z)]. First derivatives only: a second one raises. Recommended for many binary latents.

    f is called twice for each pair, with draws of the shape of `logits`. The cost of one element of the batch may depend on its
    own draws only; f may return one cost of the whole batch instead, at the price of more variance.

    **Arguments:**

    - `f`: from draws of 0. and 1. to costs of shape `batch`, or to one cost. What it uses besides, such as a decoder's
      parameters, gets its own gradient;
    - `logits`: log p/(1 - p); infinite ones are never drawn, or always, and have the derivative 0;
    - `pairs`: how many pairs of draws;
    - `generator`: of the draws; None for torch's global one.

    **Returns:**

    Costs of shape `batch`, or one cost.

    **Raises:**

    - `SpanaxError`: for logits that are no floating-point tensor of one dimension or more, fewer than one pair, a generator of
      another device, and costs of another shape; and for a second derivative.

    Dong, Mnih and Tucker 2020 (arXiv:2006.10680), equation 6.

    >>> import torch
    >>> from spanax.torch import disarm
    >>> logits = torch.zeros(4000, 1, requires_grad=True)
    >>> def f(z):
    ...     return ((z - 0.2) ** 2).sum(-1)
    >>> disarm(f, logits, generator=torch.Generator().manual_seed(0)).mean().backward()
    >>> print(f"{logits.grad.sum():.2f}")  # 0.6 p (1 - p)
    0.15
    """
    logits = check_float("disarm(logits", logits)
    check_whole("disarm(pairs", pairs)
    check_generator("disarm(generator", generator, logits.device)
    if logits.dim() == 0:
        raise SpanaxError("disarm(logits=<shape []>)", "logits[None]: the last dimension is that of the draws")
    if not callable(f):
        raise SpanaxError(f"disarm(f={f!r})", "a function from draws to costs")
    # Pairs are independent of each other, the two draws within one are not.
    return torch.stack([_pair(f, logits, generator) for _ in range(pairs)]).mean(0)


def _pair(f: Callable, logits: Tensor, generator: torch.Generator | None) -> Tensor:
    wide = in_single(logits.detach())
    u, threshold = uniform(wide, generator), torch.sigmoid(-wide)
    # Both are Bernoulli(p), as different as such a pair can be.
    z, antithetic = ((hit).to(logits.dtype) for hit in (u >= threshold, 1 - u > threshold))
    one, other = (_checked(f(draws), logits) for draws in (z, antithetic))
    difference = in_single(one.detach()) - in_single(other.detach())
    difference = difference.reshape(difference.shape + (1,) * (wide.dim() - difference.dim()))
    # Elements whose two draws are equal have z - z' = 0: f(z) - f(z') says nothing about them. For the others z - z' is 1 or -1,
    # and sigmoid(|logit|) is the larger of p and 1 - p. A difference of infinite costs is kept from those that do not count.
    slope = torch.where(z == antithetic, 0.0, difference * (z - antithetic) * torch.sigmoid(wide.abs()) / 2)
    return along((one + other) / 2, slope, logits, "disarm(f, logits)")


def _checked(cost: Any, logits: Tensor) -> Tensor:
    cost = check_float("disarm: f(z", cost)
    if cost.shape not in ((), logits.shape[:-1]):
        raise SpanaxError(
            f"disarm: f returned costs of shape {list(cost.shape)} for draws of shape {list(logits.shape)}",
            f"shape {list(logits.shape[:-1])}: a cost for each element of the batch",
            "shape []: one cost of all",
        )
    return cost
