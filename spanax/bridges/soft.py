"""Soft: the expectation of a hard operation under noise on its input.

E[op(x + softness e)] is smooth in x even if op jumps: a convolution with the density of the noise. Each operation in `hard` has
its own formulas, one for each kernel.
"""

from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import SpanaxError
from .._jaxprs import is_traced
from .._math.noise import KERNELS
from .base import Step
from .facts import Facts


def positive(name: str, value: Any) -> Float[Array, ""] | float:
    """The value, a positive real number, or a traced one. Raises `SpanaxError` otherwise."""
    # Of a traced number only the type is known.
    if is_traced(value):
        shape, good = value.shape, jnp.issubdtype(value.dtype, jnp.floating)
    else:
        try:
            number = np.asarray(value)
            shape, good = number.shape, bool(np.all(np.isrealobj(number) & (number > 0) & np.isfinite(number)))
        except (TypeError, ValueError):
            shape, good = (), False
    if shape or not good:
        raise SpanaxError(
            f"{name}={value!r}", "one positive number, in the units of the operation's input", f"{name}=0.1"
        )
    return value if isinstance(value, jax.Array) else float(value)


class Soft(Step):
    """The relaxed operation: what the hard one is in expectation, with noise of standard deviation `softness` on its input.

    `softness` is in the input's units, for every operation: `hard.greater(x, 0.5, via=Soft(0.1))` is P(x + 0.1 e > 0.5). As it
    tends to 0 the value tends to the hard one. Derivatives of every order, also with respect to the softness.

    Exact for the relaxed operation, whose value is not the hard one: biased for the program with the hard operation.
    `StraightThrough(Soft(...))` keeps the hard value.

    `kernel`: the noise.

    - `"logistic"`, the default: sigmoids; for `argmax` and similar the noise on each entry is Gumbel noise, and the weights
      are a softmax;
    - `"gaussian"`: agrees with `sx.smooth`; `argmax` costs a quadrature of 65 points;
    - `"laplace"`: the only one for order statistics (`sort`, `rank`, `quantile`, ...), and their default, because
      their sums over all pairs have a closed form in n log n.

    Raises `SpanaxError` for an operation that does not know the kernel, and for a softness that is not positive; a traced
    softness is not checked.

    By definition; the sums of the order statistics: Struski et al. 2025 (LapSum, arXiv:2503.06242).

    >>> import jax, spanax as sx
    >>> value, slope = jax.value_and_grad(lambda x: sx.hard.greater(x, 0.5, via=sx.Soft(0.1)))(0.5)
    >>> print(f"{value:.2f} {slope:.2f}")
    0.50 4.53
    """

    softness: Float[Array, ""] | float = eqx.field(converter=lambda s: positive("softness", s))
    kernel: Literal["logistic", "gaussian", "laplace"] | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.kernel is not None and self.kernel not in KERNELS:
            raise SpanaxError(f"kernel={self.kernel!r} is not known", "'logistic', 'gaussian' or 'laplace'")

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="the operation's expectation under noise on its input",
            unbiased=False,
            evaluations="1",
            orders=None,
            distributions="hard operations",
            source="definition; order statistics: Struski et al. 2025",
        )

    def step(self, operation, x, key):
        # Each operation lists its own default first: order statistics know one kernel only.
        kernel = self.kernel or next(iter(operation.soft))
        if kernel not in operation.soft:
            raise SpanaxError(
                f"{operation.name} with the {kernel} kernel",
                *(f"Soft({self.softness}, kernel={name!r})" for name in operation.soft),
            )
        return operation.soft[kernel](x, jnp.asarray(self.softness, x.dtype))
