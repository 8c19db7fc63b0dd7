"""Draws from torch's distributions: a value, and the log-probability that carries what the value does not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import (
    Bernoulli,
    Categorical,
    Distribution,
    Independent,
    OneHotCategorical,
    TransformedDistribution,
    constraints,
)

from ..._checks import is_number
from ..._errors import SpanaxError
from ...bridges import GumbelSoftmax, ReinMax, StraightThrough
from ..gumbel_softmax import gumbel_softmax
from ..reinmax import reinmax
from ..straight_through import straight_through
from .noise import logistic

Shape = tuple[int, ...]
Generator = torch.Generator | None


def pathwise(distribution: Distribution, shape: Shape, generator: Generator) -> tuple[Tensor, Tensor]:
    if not distribution.has_rsample:
        raise SpanaxError(
            f"Pathwise() needs a reparametrised distribution, and {type(distribution).__name__} has no rsample",
            "ScoreFunction()",
            "GumbelSoftmax(0.5), for a relaxed Bernoulli or Categorical",
        )
    value = _drawn(lambda: distribution.rsample(shape), generator)
    return value, _nothing(value, shape + distribution.batch_shape)


def scored(distribution: Distribution, shape: Shape, generator: Generator) -> tuple[Tensor, Tensor]:
    _check_support(distribution)
    value = _drawn(lambda: distribution.sample(shape), generator).detach()
    return value, distribution.log_prob(value)


def own_derivative(distribution: Distribution, via: Any, shape: Shape, generator: Generator) -> tuple[Tensor, Tensor]:
    """By `GumbelSoftmax`, `StraightThrough` or `ReinMax`."""
    base = distribution
    while isinstance(base, Independent):
        base = base.base_dist
    if isinstance(base, Bernoulli):
        value = _bernoulli(base, via, shape, generator)
    elif isinstance(base, Categorical | OneHotCategorical):
        value = _categorical(base, via, shape, generator)
    else:
        raise SpanaxError(
            f"{type(via).__name__}() is for Bernoulli and Categorical draws, not {type(base).__name__}",
            "Pathwise()" if distribution.has_rsample else "ScoreFunction()",
        )
    return value, _nothing(value, shape + distribution.batch_shape)


def _bernoulli(base: Bernoulli, via: Any, shape: Shape, generator: Generator) -> Tensor:
    if isinstance(via, StraightThrough):
        mean = _sigmoid(base.logits) if "probs" not in vars(base) else base.probs
        return straight_through(_drawn(lambda: base.sample(shape), generator), mean.expand(shape + mean.shape))
    logits, temperature = base.logits.expand(shape + base.batch_shape), _temperature(via)
    if isinstance(via, GumbelSoftmax):
        soft = _sigmoid((logits + logistic(logits, generator)) / temperature)
        return straight_through((soft > 0.5).to(soft.dtype), soft) if via.hard else soft
    # Of the two categories it is the first that has the logit: q_0 q_1 is then a product, and 1 - q_1 is nowhere rounded.
    both = torch.stack([-logits, torch.zeros_like(logits)], -1)
    return reinmax(both, temperature, generator=generator)[..., 1]


def _categorical(base: Any, via: Any, shape: Shape, generator: Generator) -> Tensor:
    if isinstance(via, StraightThrough):
        z = _drawn(lambda: base.sample(shape), generator)
        z = nn.functional.one_hot(z, base.probs.shape[-1]).to(base.probs.dtype) if isinstance(base, Categorical) else z
        return straight_through(z, base.probs.expand(z.shape))
    logits, temperature = base.logits.expand(shape + base.logits.shape), _temperature(via)
    if isinstance(via, ReinMax):
        return reinmax(logits, temperature, generator=generator)
    return gumbel_softmax(logits, temperature, hard=via.hard, generator=generator)


def _temperature(via: Any) -> float:
    # An array of JAX would be divided by in JAX.
    if not (is_number(via.temperature) and via.temperature > 0):
        raise SpanaxError(f"sample(via={via!r})", f"{type(via).__name__}(temperature=0.5), one positive number")
    return via.temperature


def _sigmoid(logits: Tensor) -> Tensor:
    # The derivative of `torch.sigmoid` is p (1 - p), and 1 - p is 0 as soon as p rounds to 1: at logits of 17 in float32.
    return torch.exp(nn.functional.logsigmoid(logits))


def _drawn(draw: Callable[[], Tensor], generator: Generator) -> Tensor:
    """The draw, from this generator where there is one: torch's distributions know the global one only."""
    if generator is None:
        return draw()
    on_host = generator.device.type == "cpu"
    of_device: Any = torch if on_host else getattr(torch, generator.device.type)
    at = () if on_host else (generator.device,)
    before = of_device.get_rng_state(*at)
    of_device.set_rng_state(generator.get_state(), *at)
    try:
        value = draw()
        generator.set_state(of_device.get_rng_state(*at))
    finally:
        of_device.set_rng_state(before, *at)
    if value.device.type != generator.device.type:
        raise SpanaxError(
            f"sample: a generator on {generator.device}, and the distribution draws on {value.device}",
            f"torch.Generator({value.device.type!r})",
        )
    return value


def _check_support(distribution: Distribution) -> None:
    """Raises `SpanaxError` if values that can be drawn change with a parameter that is differentiated."""
    # log p is then right where it is finite, and the part of the gradient that is at the moving bound is missing.
    base = distribution
    while isinstance(base, Independent):
        base = base.base_dist
    moved = [base]
    if type(base) is TransformedDistribution and base.base_dist.support is not constraints.real:
        moved = base.transforms
    else:
        moved = [_support(base)]
    if any(_is_differentiated(value) for part in moved for value in vars(part).values()):
        raise SpanaxError(
            f"ScoreFunction() of {type(base).__name__}, whose support moves with a parameter that is differentiated",
            "Pathwise(), for an f that is continuous in the draw",
            "detach() that parameter, if no derivative is meant",
        )


def _support(distribution: Distribution) -> Any:
    try:
        support = distribution.support
    except (NotImplementedError, AttributeError):
        return _Unknown()
    # Several elements, or components of a mixture, with the same bounds.
    while (inner := getattr(support, "base_constraint", None)) is not None:
        support = inner
    return support


class _Unknown:
    pass


def _is_differentiated(value: Any) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _nothing(value: Tensor, shape: Shape) -> Tensor:
    return _Nothing.apply(value, shape)  # pyright: ignore[reportReturnType]


class _Nothing(torch.autograd.Function):
    """Zeros that belong to the value's graph, to which they add nothing: a log-probability that is not needed."""

    generate_vmap_rule = True

    @staticmethod
    def forward(value, shape):
        return value.new_zeros(shape)

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        ctx.shape = inputs[1]

    @staticmethod
    def backward(ctx: Any, *grads):
        return None, None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        return tangents[0].new_zeros(ctx.shape)
