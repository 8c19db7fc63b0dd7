"""Perturbed: a hard operation averaged over noisy inputs, with a derivative from its values only.

d/dx E[op(x + sigma z)] = E[op(x + sigma z) z] / sigma, by parts (Berthet et al. 2020, proposition 3.1): `Smoothing` of one
operation instead of the whole program.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._math.first_order import first_order
from .._math.precision import is_low
from .._primitives import undifferentiated, zero_valued
from .base import Step
from .facts import Facts
from .soft import positive


class Perturbed(Step):
    """The mean of the hard operation at `samples` noisy inputs x + sigma z, z standard normal, in antithetic pairs.

    Unbiased for E[op(x + sigma z)], value and first derivative: the derivative is the mean of
    (op(x + sigma z) - op(x - sigma z)) z / (2 sigma). The two points of a pair are each other's control variate: if neither
    crosses a step the term is 0, so that away from a tie the variance vanishes as sigma -> 0; without pairs it grows as
    1/sigma^2. Biased for the hard program itself.

    `sigma` is in the input's units. The operation runs `samples` times (an even number); it needs `key=` at the call.

    Raises `SpanaxError` without a key, for an odd number of samples, for a sigma that is not positive, and for a second
    derivative or one with respect to `sigma`.

    Berthet et al. 2020 (arXiv:2002.08676), proposition 3.1; the pairs: Salimans et al. 2017 (arXiv:1703.03864).

    >>> import jax, spanax as sx
    >>> def f(x):
    ...     return sx.hard.greater(x, 0.0, via=sx.Perturbed(0.5, samples=4000), key=jax.random.key(0))
    >>> print(f"{jax.grad(f)(0.0):.1f}")  # the density of the noise at 0 is 0.798
    0.8
    """

    sigma: Float[Array, ""] | float = eqx.field(converter=lambda s: positive("sigma", s))
    samples: int = eqx.field(static=True, default=100)

    def __check_init__(self):
        if not (isinstance(self.samples, int) and self.samples >= 2 and self.samples % 2 == 0):
            raise SpanaxError(f"Perturbed(samples={self.samples!r})", "an even number: they come in pairs")

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[op(x + sigma z)], z standard normal",
            unbiased=False,
            evaluations=str(self.samples),
            orders=1,
            distributions="hard operations",
            source="Berthet et al. 2020, prop. 3.1",
        )

    def step(self, operation, x, key):
        if key is None:
            raise SpanaxError(f"{operation.name} via {self!r} needs a key", f"hard.{operation.name}(..., key=key)")
        at = jax.lax.stop_gradient(x)
        # In single precision at least: in bfloat16 noise comes from a grid of 1/128.
        z = jax.random.normal(key, (self.samples // 2, *x.shape), jnp.float32 if is_low(x) else x.dtype).astype(x.dtype)
        sigma = undifferentiated(
            jnp.asarray(self.sigma, x.dtype),
            f"the derivative of {operation.name} via Perturbed with respect to sigma",
            "via=sx.Soft(softness), whose derivatives with respect to the softness are right",
            "jax.lax.stop_gradient around sigma, if it is to be held fixed",
        )
        # The input is stopped: an operation with a derivative of its own, such as a sort, would add it to the estimate.
        up, down = (jax.vmap(operation.hard)(at[None] + step) for step in (sigma * z, -sigma * z))
        # The same points give the value, so that value and derivative belong to one function.
        mean = jnp.mean((up + down) / 2, 0)
        # Two infinities that are equal differ by NaN, and do not change.
        change = jnp.where(up == down, 0, up - down) / (2 * sigma)
        slope = _of_rows if operation.rows else _of_elements
        # The slope depends on x, but a hard operation's derivative is 0: `zero_valued` makes a second derivative raise.
        return first_order(slope, "Perturbed()", mean, (change, z + zero_valued(x)[None]), x)


def _of_elements(at, dx):
    # Each element has its own noise: only its own term depends on it.
    change, z = at
    return jnp.mean(change * (z * dx[None]), 0)


def _of_rows(at, dx):
    # All entries of a row move every result of it: z . dx is the move along dx.
    change, z = at
    along = jnp.sum(z * dx[None], -1)
    return jnp.mean(change * along.reshape(along.shape + (1,) * (change.ndim - along.ndim)), 0)
