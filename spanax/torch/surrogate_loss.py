"""`surrogate_loss`: a scalar whose gradient is the score-function gradient, with reward-to-go and a baseline."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch.autograd import forward_ad

from .._checks import is_number
from .._errors import SpanaxError
from ._native.checks import check_float, in_single

LEAVE_ONE_OUT = "leave-one-out"


def surrogate_loss(
    cost: Float[Tensor, "*shape"],
    log_probs: Float[Tensor, "*shape"],
    baseline: str | float | Float[Tensor, "*b"] | None = LEAVE_ONE_OUT,
    mask: Bool[Tensor, "S T"] | None = None,
) -> Float[Tensor, ""]:
    """The mean over samples of the summed cost, with an unbiased gradient of its expectation: call `.backward()` on it.

    The gradient has two parts. What changes the cost directly is differentiated as it stands, the cost's own slope. What changes
    which values are drawn gets the score function: each draw's `log_prob` times the costs that come with it or later
    (reward-to-go), less a baseline. Unbiased for the gradient of E[sum_t cost_t] if `log_probs` are the logarithms of the
    probabilities that the samples were drawn with, the samples are independent of each other, and the cost at t depends on no
    draw after t. With "leave-one-out" or None, derivatives of every order are unbiased.

    With S samples and T steps:

    - cost [S, T], log_probs [S, T]: a cost at each step. A draw pays for the costs at its step and later;
    - cost [S], log_probs [S, T]: one cost at the end, for which every draw pays;
    - cost [S, T], log_probs [S]: one draw at the beginning pays for all costs;
    - cost [S], log_probs [S]: one draw, one cost.

    For a batch of B independent problems with S samples each, `torch.vmap(surrogate_loss, in_dims=1)(cost, log_probs).mean()`
    for [S, B]: as T, the draws of one problem would pay for the costs of others, which is unbiased and noisy.

    `baseline`:

    - "leave-one-out" (recommended): the mean cost-to-go over the other samples. Where a mask ends sequences early, the mean is
      over those that are still running at the step, and 0 if none is; a cost of shape [S] is averaged over all others;
    - None: none. Not recommended: the variance is many times larger;
    - a number or a tensor of shape [], [T] or [S, T], such as a critic's values. It is detached. At step t it may depend on the
      draws before t, and not on the sample's draws at t or later: that cannot be checked, and makes the gradient biased.

    **Arguments:**

    - `cost`: the costs, with or without a derivative of their own; integers are converted;
    - `log_probs`: the log-probabilities of the draws, summed over what is drawn in one step;
    - `baseline`: as above;
    - `mask`: True where a step is real. What is False is not counted, in value and gradient, whatever it holds, NaN too. Whether
      a step is real must not depend on its own draw: the draw that ends a sequence is a real step. Of the shape of `log_probs`,
      or of `cost` if only that has steps.

    **Returns:**

    A scalar, in float32 or float64. Its value is the mean over samples of the sum of the costs, nothing else.

    **Raises:**

    - `SpanaxError`: for shapes, dtypes or devices that do not fit each other; for a baseline that is not known, and leave-one-out
      of fewer than 2 samples; for log-probabilities without a derivative, unless gradients are switched off.

    Williams 1992; leave-one-out: Kool, van Hoof and Welling 2019; all orders: Foerster et al. 2018 (arXiv:1802.05098).

    >>> import torch
    >>> from spanax.torch import surrogate_loss
    >>> logit = torch.tensor(0.0, requires_grad=True)
    >>> policy = torch.distributions.Bernoulli(logits=logit)
    >>> z = policy.sample((100_000,))
    >>> surrogate_loss((z - 0.2) ** 2, policy.log_prob(z)).backward()
    >>> print(f"{logit.grad:.2f}")  # 0.6 p (1 - p)
    0.15
    """
    cost, log_probs = _check_pair(cost, log_probs)
    alive = _check_mask(mask, cost, log_probs)
    if alive is not None:
        # By selection, not by multiplication: 0 times NaN is NaN.
        cost = torch.where(alive, cost, 0.0) if alive.shape == cost.shape else cost
        log_probs = torch.where(alive, log_probs, 0.0) if alive.shape == log_probs.shape else log_probs
    togo = _cost_to_go(cost, log_probs)
    # Where draws have no steps of their own, none of them is padding.
    advantage = togo - _baseline(baseline, togo, alive if log_probs.dim() == 2 else None, log_probs)
    # log p - detach(log p) is 0 in value. exp of its sum over earlier draws, and expm1, are 1 and 0, with the derivatives of
    # probability ratios: this and a cost-to-go that is not detached make the second derivative right as well.
    score = _steps(log_probs - log_probs.detach())
    earlier = score.cumsum(1) - score
    total = cost if cost.dim() == 1 else cost.sum(1)
    return (total + (torch.exp(earlier) * torch.expm1(score) * advantage).sum(1)).mean()


def _steps(x: Tensor) -> Tensor:
    """With an axis of steps."""
    return x if x.dim() == 2 else x[:, None]


def _cost_to_go(cost: Tensor, log_probs: Tensor) -> Tensor:
    """[S, T], or [S, 1] where it is the same at every step."""
    if cost.dim() == 1:
        return cost[:, None]
    return cost.flip(1).cumsum(1).flip(1) if log_probs.dim() == 2 else cost.sum(1, keepdim=True)


def _baseline(baseline: Any, togo: Tensor, alive: Tensor | None, log_probs: Tensor) -> Tensor | float:
    if baseline is None:
        return 0.0
    if isinstance(baseline, str) and baseline == LEAVE_ONE_OUT:
        return _mean_of_others(togo, alive if togo.shape == log_probs.shape else None)
    if is_number(baseline):
        return float(baseline)
    if not isinstance(baseline, Tensor):
        raise SpanaxError(
            f"surrogate_loss(baseline={baseline!r})",
            '"leave-one-out"',
            "None, for none",
            "a number, or a tensor of values",
        )
    values = _check_values(baseline, log_probs).detach().to(togo.dtype)
    # Padded steps have the score 0, which does not make NaN harmless.
    return values if alive is None else torch.where(alive, values, 0.0)


def _check_values(values: Tensor, log_probs: Tensor) -> Tensor:
    """A tensor for baseline, with an axis of steps."""
    fits = [(), log_probs.shape, log_probs.shape[1:]]
    if values.shape not in fits or values.device != log_probs.device:
        raise SpanaxError(
            f"surrogate_loss: a baseline of shape {list(values.shape)} on {values.device}, and log_probs have shape "
            f"{list(log_probs.shape)} on {log_probs.device}",
            *(f"shape {list(shape)}" for shape in dict.fromkeys(fits)),
        )
    return values[:, None] if log_probs.dim() == 1 and values.dim() == 1 else values


def _mean_of_others(togo: Tensor, alive: Tensor | None) -> Tensor:
    samples = togo.shape[0]
    if samples < 2:
        raise SpanaxError(
            'surrogate_loss(baseline="leave-one-out") of one sample: there is no other one',
            "2 samples or more",
            "baseline=None, or a tensor of values that do not depend on the draws",
        )
    # What has ended has the cost-to-go 0: it adds nothing to the sum, and is not counted in the mean.
    count = samples - 1 if alive is None else (alive.sum(0) - alive.to(torch.long)).clamp(min=1)
    return (togo.sum(0) - togo) / count


def _check_pair(cost: Any, log_probs: Any) -> tuple[Tensor, Tensor]:
    """Both of one dtype, of shapes [S] or [S, T] that fit each other."""
    log_probs = in_single(check_float("surrogate_loss(log_probs", log_probs))
    if isinstance(cost, Tensor) and not cost.is_floating_point() and not cost.is_complex():
        cost = cost.to(log_probs.dtype)
    cost = in_single(check_float("surrogate_loss(cost", cost))
    if not _fit(cost.shape, log_probs.shape):
        raise SpanaxError(
            f"surrogate_loss: cost of shape {list(cost.shape)} and log_probs of shape {list(log_probs.shape)}",
            "[S] or [S, T] for each, with the same S samples and T steps",
            "log_probs.sum(-1), over what is drawn in one step",
        )
    if cost.device != log_probs.device:
        raise SpanaxError(f"surrogate_loss: cost on {cost.device}, log_probs on {log_probs.device}", "cost.to(...)")
    if torch.is_grad_enabled() and not _may_have_derivative(log_probs):
        raise SpanaxError(
            "surrogate_loss: log_probs have no derivative, so that the draws would have none",
            "distribution.log_prob(draws) outside of torch.no_grad(), of a distribution whose parameters require one",
            "with torch.no_grad(): around this call, for the value alone",
        )
    dtype = torch.promote_types(cost.dtype, log_probs.dtype)
    return cost.to(dtype), log_probs.to(dtype)


def _fit(cost: torch.Size, log_probs: torch.Size) -> bool:
    if not {len(cost), len(log_probs)} <= {1, 2} or not cost[0] == log_probs[0] > 0:
        return False
    return cost == log_probs or len(cost) != len(log_probs)


def _may_have_derivative(x: Tensor) -> bool:
    # A tensor inside torch.func's transformations does not show all of them, and a compiler does not look.
    if x.requires_grad or torch.compiler.is_compiling() or is_functorch_wrapped_tensor(x):
        return True
    return forward_ad.unpack_dual(x).tangent is not None


def _check_mask(mask: Any, cost: Tensor, log_probs: Tensor) -> Tensor | None:
    if mask is None:
        return None
    steps = log_probs if log_probs.dim() >= cost.dim() else cost
    if not isinstance(mask, Tensor) or mask.is_floating_point() or mask.is_complex():
        got = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise SpanaxError(f"surrogate_loss(mask={got}), which is no tensor of booleans", "mask.bool()")
    if mask.shape != steps.shape or mask.dim() != 2 or mask.device != steps.device:
        raise SpanaxError(
            f"surrogate_loss: a mask of shape {list(mask.shape)} on {mask.device}, for steps of shape {list(steps.shape)} "
            f"on {steps.device}",
            f"shape {list(steps.shape)}: True where a step is real",
        )
    return mask.bool()
