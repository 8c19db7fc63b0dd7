"""`gumbel_softmax`: the Gumbel-softmax (concrete) relaxation of a categorical draw, without NaN."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from .._errors import SpanaxError
from ._native.categories import one_hot, settled, tempered
from ._native.checks import check_dim, check_float, check_generator, check_positive, in_single
from ._native.noise import gumbel
from .straight_through import straight_through


def gumbel_softmax(
    logits: Float[Tensor, "*s"],
    temperature: float | Float[Tensor, ""] = 1.0,
    *,
    hard: bool = False,
    dim: int = -1,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*s"]:
    """A relaxed categorical draw: softmax((logits + Gumbel noise)/temperature).

    Unbiased for the expectation of the RELAXED program, so biased for E[f]; as the temperature falls, the bias falls and the
    variance grows. With `hard=True` the value is one-hot weights, exactly, and the derivatives, of every order, are those of
    the relaxed draw.

    No value and no derivative is NaN or infinite unless a logit is NaN. A category with logit -inf has weight 0 and derivative
    0; where all are -inf (a row that is masked as a whole) all weights are 0, hard ones too. Where some are +inf the draw is
    among those. Half precision is computed in float32.

    **Arguments:**

    - `logits`: log-probabilities, up to a constant;
    - `temperature`: a positive number, or a tensor of shape [], which is not checked and may be differentiated;
    - `hard`: whether the value is one-hot;
    - `dim`: the dimension of the categories;
    - `generator`: of the noise; None for torch's global one.

    **Returns:**

    Weights that sum to 1 along `dim`, of the shape and dtype of `logits`.

    **Raises:**

    - `SpanaxError`: for logits that are no floating-point tensor, a temperature that is not positive, a `dim` that does not
      exist, and a generator of another device.

    Jang, Gu and Poole 2017 (arXiv:1611.01144), equation 2; Maddison, Mnih and Teh 2017 (arXiv:1611.00712).

    >>> import torch
    >>> from spanax.torch import gumbel_softmax
    >>> g = torch.Generator().manual_seed(0)
    >>> z = gumbel_softmax(torch.tensor([0.0, 1.0, -torch.inf]), 0.5, hard=True, generator=g)
    >>> z.sum().item(), z[2].item()
    (1.0, 0.0)
    """
    logits = check_float("gumbel_softmax(logits", logits)
    temperature = check_positive("gumbel_softmax(temperature", temperature)
    if not isinstance(hard, bool):
        raise SpanaxError(f"gumbel_softmax(hard={hard!r})", "True", "False")
    dim = check_dim("gumbel_softmax(dim", dim, logits)
    check_generator("gumbel_softmax(generator", generator, logits.device)
    if logits.numel() == 0:
        return logits.clone()
    wide = in_single(logits)
    at, none = settled(wide, dim)
    scores = at + gumbel(wide, generator)
    soft = tempered(scores, temperature, dim).masked_fill(none, 0.0).to(logits.dtype)
    return straight_through(one_hot(scores, dim).masked_fill(none, 0.0).to(logits.dtype), soft) if hard else soft
