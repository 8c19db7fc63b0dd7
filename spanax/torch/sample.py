"""`sample`: a draw from a torch distribution, with the log-probability that its gradient needs."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import Distribution

from .._checks import check_whole
from .._errors import SpanaxError
from ..bridges import Drawing, GumbelSoftmax, LeaveOneOut, Pathwise, ReinMax, ScoreFunction, StraightThrough
from ._native.checks import check_generator
from ._native.draws import own_derivative, pathwise, scored


class Sample(NamedTuple):
    """What was drawn, and what its gradient goes through.

    - `value`: of shape `batch_shape + event_shape`, with the samples in front. Relaxed and one-hot draws of a Categorical are
      weights, with the categories on a new last axis;
    - `log_prob`: for `surrogate_loss`, of shape `batch_shape`, with the samples in front. Of a draw that has its own derivative
      it is 0, and so is its derivative: the gradient goes through `value`.

    >>> import torch
    >>> from spanax.torch import sample
    >>> z, log_prob = sample(torch.distributions.Bernoulli(torch.full((3,), 0.5)), samples=4)
    >>> z.shape, log_prob.shape
    (torch.Size([4, 3]), torch.Size([4, 3]))
    """

    value: Tensor
    log_prob: Tensor


SUPPORTED = (
    "ScoreFunction(): any distribution whose support is fixed; the baseline is chosen in surrogate_loss",
    "LeaveOneOut(samples=8): the same, with samples=8",
    "Pathwise(): distributions with has_rsample",
    "GumbelSoftmax(0.5), StraightThrough(), ReinMax(): Bernoulli, Categorical, OneHotCategorical",
)


def sample(
    distribution: Distribution,
    *,
    via: Drawing | None = None,
    samples: int | None = None,
    generator: torch.Generator | None = None,
) -> Sample:
    """A draw that a gradient crosses: its value, and its log-probability for `surrogate_loss`.

    An unbiased gradient of E[f(z)] takes three lines, and the same three for every bridge:

        z, log_prob = sample(policy, samples=8)
        loss = surrogate_loss(f(z), log_prob)
        loss.backward()

    f takes all samples and returns a cost for each, of shape [samples]. Of a policy with several independent elements, take
    `Independent(policy, 1)`, or `log_prob.sum(-1)`. Of a sequence, stack the `log_prob` of the steps to [samples, T].

    The bridges are those of `spanax.bridges`, and say there what they are unbiased for:

    - `ScoreFunction()` and `LeaveOneOut(samples=8)`: the value has no derivative; unbiased for E[f], whatever f is;
    - `Pathwise()`: the value has one; unbiased for E[f] if f is continuous in it;
    - `GumbelSoftmax(0.5)`, `StraightThrough()`, `ReinMax()`: the value has one, and the gradient is biased. Give the
      distribution `logits`: torch's `probs` of exactly 0 or 1 have the derivative 0.

    **Arguments:**

    - `distribution`: of `torch.distributions`; what is differentiated is its parameters;
    - `via`: the bridge; None for `Pathwise()` where the distribution has `rsample`, else `ScoreFunction()`;
    - `samples`: how many, on a new first axis; None for one, without that axis;
    - `generator`: of the draws; None for torch's global one.

    **Returns:**

    A `Sample`: (value, log_prob).

    **Raises:**

    - `SpanaxError`: for what is no torch distribution; a bridge that is not among these, or does not fit the distribution; a
      distribution whose support moves with a parameter that is differentiated, with the score function; a number of samples
      below 1, or another one than the bridge says; a generator of another device.

    >>> import torch
    >>> from spanax.bridges import GumbelSoftmax
    >>> from spanax.torch import sample, surrogate_loss
    >>> logit = torch.tensor(0.0, requires_grad=True)
    >>> g = torch.Generator().manual_seed(0)
    >>> for via in [None, GumbelSoftmax(0.1)]:
    ...     z, log_prob = sample(torch.distributions.Bernoulli(logits=logit), via=via, samples=20_000, generator=g)
    ...     (slope,) = torch.autograd.grad(surrogate_loss((z - 0.2) ** 2, log_prob), logit)
    ...     print(f"{slope:.2f}")  # 0.6 p (1 - p)
    0.15
    0.15
    """
    if not isinstance(distribution, Distribution):
        raise SpanaxError(f"sample(distribution={type(distribution).__name__})", "one of torch.distributions")
    if samples is not None:
        check_whole("sample(samples", samples)
    via = _chosen(via, distribution)
    shape = _sample_shape(via, samples)
    # On which device the distribution draws is known after the draw.
    check_generator("sample(generator", generator, None)
    if isinstance(via, Pathwise):
        return Sample(*pathwise(distribution, shape, generator))
    if isinstance(via, ScoreFunction | LeaveOneOut):
        return Sample(*scored(distribution, shape, generator))
    return Sample(*own_derivative(distribution, via, shape, generator))


def _chosen(via: Any, distribution: Distribution) -> Drawing:
    if via is None:
        return Pathwise() if distribution.has_rsample else ScoreFunction()
    if not isinstance(via, ScoreFunction | LeaveOneOut | Pathwise | GumbelSoftmax | StraightThrough | ReinMax):
        raise SpanaxError(f"sample(via={via!r})", *SUPPORTED)
    if isinstance(via, ScoreFunction) and via != ScoreFunction():
        raise SpanaxError(f"sample(via={via!r})", "ScoreFunction(), and surrogate_loss(..., baseline=...)")
    if isinstance(via, StraightThrough) and via.of is not None:
        raise SpanaxError(f"sample(via={via!r}), which is for hard operations", "StraightThrough()")
    return via


def _sample_shape(via: Drawing, samples: int | None) -> tuple[int, ...]:
    if isinstance(via, LeaveOneOut):
        if samples not in (None, via.samples):
            raise SpanaxError(
                f"sample(via={via!r}, samples={samples})", f"samples={via.samples}", "via=ScoreFunction()"
            )
        samples = via.samples
    return () if samples is None else (samples,)
