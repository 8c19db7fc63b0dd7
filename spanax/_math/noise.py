"""Zero-mean noise of standard deviation 1 on the input of a hard operation, and expectations of operations under it.

With e the noise: cdf(u) = P(u + e > 0) is a relaxed step, relu(u) = E max(u + e, 0) its integral, and floor(x), which is
E floor(x + softness e), the sum of a step at every whole number. Each takes u = `units(x, softness)`, or x and the softness, so
that derivatives with respect to the softness are right as well. One object for each kernel, looked up in `KERNELS`.
"""

from __future__ import annotations

import abc
import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import ndtr
from jaxtyping import Array, Float

_FAR = 1e3


def units(x: Float[Array, "*s"], softness: Float[Array, ""]) -> Float[Array, "*s"]:
    """x / softness, clipped to [-1000, 1000]: no noise reaches further, and derivatives are 0 there."""
    # At the infinities too, with respect to x and to the softness and at every order: an infinite u would give 0 times infinity.
    # Hence the division of a selected x instead of a selected quotient.
    far = jnp.abs(x) >= _FAR * softness
    return jnp.where(far, _FAR * jnp.sign(x), jnp.where(far, 0, x) / softness)


class Kernel(abc.ABC):
    """A symmetric density with mean 0 and standard deviation 1."""

    # With softness below `narrow`, no step further away than `steps` counts in `floor`.
    steps: int
    narrow: float

    @abc.abstractmethod
    def density(self, u: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """The density at u."""

    @abc.abstractmethod
    def _cdf(self, u: Float[Array, "*s"]) -> Float[Array, "*s"]: ...

    @abc.abstractmethod
    def _relu(self, u: Float[Array, "*s"]) -> Float[Array, "*s"]: ...

    @abc.abstractmethod
    def floor(
        self, x: Float[Array, "*s"], softness: Float[Array, ...], narrow: bool | None = None
    ) -> Float[Array, "*s"]:
        """E floor(x + softness e); x itself where it is not finite. `narrow`: is softness known to be below `self.narrow`?"""

    def cdf(self, u: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """P(e < u), which is P(u + e > 0)."""
        return _with_slope(self._cdf, self.density, u)

    def relu(self, u: Float[Array, "*s"]) -> Float[Array, "*s"]:
        """E max(u + e, 0), the integral of the cdf; 0 and u at the infinities."""
        return _with_slope(self._relu, self.cdf, u)

    def tail(self, x: Float[Array, "*s"], softness: Float[Array, ""]) -> Float[Array, "*s"]:
        """E max(x + softness e, 0) for x <= 0."""
        return softness * self.relu(units(x, softness))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _with_slope(value: Callable[[Array], Array], slope: Callable[[Array], Array], u: Array) -> Array:
    """`value(u)` with the derivative `slope(u)`."""
    # The derivative is known in closed form; that of a formula with |u| or with a cancelled tail would be wrong at 0 or far out.
    return value(u)


@_with_slope.defjvp
def _with_slope_jvp(value, slope, primals, tangents):
    (u,), (du,) = primals, tangents
    return _with_slope(value, slope, u), slope(u) * du


class Logistic(Kernel):
    scale = math.sqrt(3) / math.pi
    narrow, steps = 0.5, 9

    def density(self, u):
        v = u / self.scale
        return jax.nn.sigmoid(v) * jax.nn.sigmoid(-v) / self.scale

    def _cdf(self, u):
        return jax.nn.sigmoid(u / self.scale)

    def _relu(self, u):
        return self.scale * jax.nn.softplus(u / self.scale)

    def floor(self, x, softness, narrow=None):
        return _floor(self, x, softness, narrow, lambda t: _over_sinh(math.pi * self.scale * t), terms=6)


class Gaussian(Kernel):
    narrow, steps = 0.4, 4

    def density(self, u):
        return jnp.exp(-jnp.square(u) / 2) / math.sqrt(2 * math.pi)

    def _cdf(self, u):
        return ndtr(u)

    def _relu(self, u):
        # Beyond 1000 the tail is 0 in every precision, and u times 0 is NaN for an infinite u.
        finite = jnp.where(jnp.abs(u) < 1e3, u, 0)
        return jnp.where(finite == u, u * ndtr(finite) + self.density(finite), jnp.maximum(u, 0))

    def floor(self, x, softness, narrow=None):
        return _floor(self, x, softness, narrow, lambda t: jnp.exp(-jnp.square(t) / 2), terms=4)


class Laplace(Kernel):
    scale = 1 / math.sqrt(2)

    def density(self, u):
        # |u| with the derivative 0 at 0, which is that of a symmetric peak.
        size = u * jnp.sign(u)
        return jnp.exp(-size / self.scale) / (2 * self.scale)

    def _cdf(self, u):
        tail = jnp.exp(-jnp.abs(u) / self.scale) / 2
        return jnp.where(u < 0, tail, 1 - tail)

    def _relu(self, u):
        return jnp.maximum(u, 0) + self.scale / 2 * jnp.exp(-jnp.abs(u) / self.scale)

    def floor(self, x, softness, narrow=None):
        """The sum over all steps is geometric: floor(x) + sinh((r - 1/2)/b) / (2 sinh(1/(2b))), r = x - floor(x)."""
        safe, below, finite = _split(x)
        r, b = safe - below, self.scale * softness
        upper = r >= 0.5
        nearest, gap = jnp.where(upper, 1 - r, r), jnp.where(upper, 2 * r - 1, 1 - 2 * r)
        # sinh from expm1, which neither overflows for narrow noise nor cancels for wide noise.
        size = jnp.exp(-nearest / b) * (jnp.expm1(-gap / b) / (2 * jnp.expm1(-1 / b)))
        return jnp.where(finite, below + jnp.where(upper, size, -size), lax.stop_gradient(x))


def _over_sinh(z):
    """z / sinh(z)."""
    return 2 * z * jnp.exp(-z) / -jnp.expm1(-2 * z)


def _split(x):
    """x, floor(x), and where x is finite; 0 stands in for what is not, so that no derivative is NaN."""
    finite = jnp.isfinite(x)
    safe = jnp.where(finite, x, 0)
    return safe, jnp.floor(safe), finite


def _floor(kernel, x, softness, narrow, characteristic, terms):
    """E floor(x + softness e), by steps for narrow noise and by waves for wide noise."""
    # By steps: a cdf for each step near x. By waves: the Fourier series of floor(x) - x + 1/2, each term times E cos(t e), the
    # characteristic function of the noise, which falls fast for wide noise. Each is within 1e-9 of the whole sum where it is
    # used.
    safe, below, finite = _split(x)
    r = safe - below

    def by_steps(softness):
        up = sum(kernel.cdf(units(r - k, softness)) for k in range(1, kernel.steps + 1))
        return below + (up - sum(kernel.cdf(units(k - r, softness)) for k in range(1 - kernel.steps, 1)))

    def by_waves(softness):
        frequencies = [2 * math.pi * m for m in range(1, terms + 1)]
        return safe - 0.5 + sum(jnp.sin(t * r) * (2 * characteristic(t * softness) / t) for t in frequencies)

    if narrow is None:
        # Each is evaluated at the edge where the other one is used: no overflow there reaches a derivative.
        is_narrow, edge = softness < kernel.narrow, kernel.narrow
        steps, waves = by_steps(jnp.where(is_narrow, softness, edge)), by_waves(jnp.where(is_narrow, edge, softness))
        mean = jnp.where(is_narrow, steps, waves)
    else:
        mean = by_steps(softness) if narrow else by_waves(softness)
    return jnp.where(finite, mean, lax.stop_gradient(x))


KERNELS: dict[str, Kernel] = {"logistic": Logistic(), "gaussian": Gaussian(), "laplace": Laplace()}
