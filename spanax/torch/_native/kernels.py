"""Zero-mean noise of standard deviation 1 on the input of a hard operation, and expectations of operations under it.

With e the noise: cdf(u) = P(u + e > 0) is a relaxed step, relu(u) = E max(u + e, 0) its integral, and floor(x), which is
E floor(x + softness e), the sum of a step at every whole number.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

_FAR = 1e3


def units(x: Tensor, softness: float) -> Tensor:
    """x / softness, clipped to [-1000, 1000]: no noise reaches further, and derivatives are 0 there."""
    # At the infinities too, at every order: an infinite u would give 0 times infinity. Hence the division of a selected x in
    # place of a selected quotient.
    far = x.abs() >= _FAR * softness
    return torch.where(far, _FAR * x.detach().sign(), torch.where(far, 0.0, x) / softness)


class Kernel(abc.ABC):
    """A symmetric density with mean 0 and standard deviation 1."""

    # With softness below `narrow`, no step further away than `steps` counts in `floor`.
    narrow: float = math.inf
    steps: int = 0
    terms: int = 0

    @abc.abstractmethod
    def density(self, u: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def cdf_value(self, u: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def relu_value(self, u: Tensor) -> Tensor: ...

    @abc.abstractmethod
    def characteristic(self, t: float) -> float:
        """E cos(t e)."""

    def cdf(self, u: Tensor) -> Tensor:
        """P(e < u), which is P(u + e > 0)."""
        return _with_slope(self.cdf_value, self.density, u)

    def relu(self, u: Tensor) -> Tensor:
        """E max(u + e, 0), the integral of the cdf."""
        return _with_slope(self.relu_value, self.cdf, u)

    def tail(self, x: Tensor, softness: float) -> Tensor:
        """E max(x + softness e, 0) for x <= 0."""
        return softness * self.relu(units(x, softness))

    def floor(self, x: Tensor, softness: float) -> Tensor:
        """E floor(x + softness e); x itself where it is not finite."""
        # By steps: a cdf for each step near x. By waves: the Fourier series of floor(x) - x + 1/2, each term times the
        # characteristic function of the noise, which falls fast for wide noise. Each is within 1e-9 of the whole sum.
        safe, below, finite = _split(x)
        if softness < self.narrow:
            r = safe - below
            up = sum(self.cdf(units(r - k, softness)) for k in range(1, self.steps + 1))
            mean = below + (up - sum(self.cdf(units(k - r, softness)) for k in range(1 - self.steps, 1)))
        else:
            frequencies = [2 * math.pi * m for m in range(1, self.terms + 1)]
            waves = (torch.sin(t * (safe - below)) * (2 * self.characteristic(t * softness) / t) for t in frequencies)
            mean = safe - 0.5 + sum(waves)
        return torch.where(finite, mean, x.detach())


class Logistic(Kernel):
    scale = math.sqrt(3) / math.pi
    narrow, steps, terms = 0.5, 9, 6

    def density(self, u):
        v = u / self.scale
        return torch.sigmoid(v) * torch.sigmoid(-v) / self.scale

    def cdf_value(self, u):
        return torch.sigmoid(u / self.scale)

    def relu_value(self, u):
        # softplus, whose own form in torch is linear from 20 on.
        return -self.scale * nn.functional.logsigmoid(-u / self.scale)

    def characteristic(self, t):
        z = math.pi * self.scale * t
        return 2 * z * math.exp(-z) / -math.expm1(-2 * z)


class Gaussian(Kernel):
    narrow, steps, terms = 0.4, 4, 4

    def density(self, u):
        return torch.exp(-u.square() / 2) / math.sqrt(2 * math.pi)

    def cdf_value(self, u):
        return torch.special.ndtr(u)

    def relu_value(self, u):
        return u * torch.special.ndtr(u) + self.density(u)

    def characteristic(self, t):
        return math.exp(-t * t / 2)


class Laplace(Kernel):
    scale = 1 / math.sqrt(2)

    # The derivative of |u| is 0 at 0, which is that of a symmetric peak.
    def density(self, u):
        return torch.exp(-u.abs() / self.scale) / (2 * self.scale)

    def cdf_value(self, u):
        tail = torch.exp(-u.abs() / self.scale) / 2
        return torch.where(u < 0, tail, 1 - tail)

    def relu_value(self, u):
        return u.clamp(min=0) + self.scale / 2 * torch.exp(-u.abs() / self.scale)

    def characteristic(self, t):
        return 1 / (1 + t * t / 2)

    def floor(self, x, softness):
        """The sum over all steps is geometric: floor(x) + sinh((r - 1/2)/b) / (2 sinh(1/(2b))), r = x - floor(x)."""
        safe, below, finite = _split(x)
        r, b = safe - below, self.scale * softness
        upper = r >= 0.5
        nearest, gap = torch.where(upper, 1 - r, r), torch.where(upper, 2 * r - 1, 1 - 2 * r)
        # sinh from expm1, which neither overflows for narrow noise nor cancels for wide noise.
        size = torch.exp(-nearest / b) * (torch.expm1(-gap / b) / (2 * math.expm1(-1 / b)))
        return torch.where(finite, below + torch.where(upper, size, -size), x.detach())


KERNELS: dict[str, Kernel] = {"logistic": Logistic(), "gaussian": Gaussian(), "laplace": Laplace()}


def _split(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """x, floor(x), and where x is finite; 0 stands in for what is not, so that no derivative is NaN."""
    finite = torch.isfinite(x)
    safe = torch.where(finite, x, 0.0)
    return safe, safe.detach().floor(), finite


def _with_slope(value: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
    """`value(u)` with the derivative `slope(u)`."""
    # The derivative is known in closed form; that of a formula with |u| or with a cancelled tail would be wrong at 0 or far out.
    return _WithSlope.apply(u, value, slope)  # pyright: ignore[reportReturnType]


class _WithSlope(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(u, value, slope):
        return value(u)

    @staticmethod
    def setup_context(ctx: Any, inputs, output):
        u, _, ctx.slope = inputs
        ctx.save_for_backward(u)
        ctx.save_for_forward(u)

    @staticmethod
    def backward(ctx: Any, *grads):
        return ctx.slope(*ctx.saved_tensors) * grads[0], None, None

    @staticmethod
    def jvp(ctx: Any, *tangents):
        return ctx.slope(*ctx.saved_tensors) * tangents[0]
