"""DisARM: antithetic pairs of Bernoulli draws.

ARM (Yin and Zhou 2019) estimates from one uniform number u and 1 - u. DisARM is its expectation given the pair of draws that they
make, so that it varies less (Rao and Blackwell): a pair that is the same draw twice counts 0.
"""

import equinox as eqx
import jax
import jax.numpy as jnp

from .._errors import SpanaxError
from .._math.distributions import bernoulli_logits, family, is_bernoulli, sigmoid
from .._math.first_order import first_order
from .base import Branching
from .facts import Facts


class DisARM(Branching):
    """The gradient of Bernoulli draws from antithetic pairs: z = [u >= 1 - p], z' = [1 - u > 1 - p] for one uniform u.

    (f(z) - f(z'))/2 (z - z') sigmoid(|logit|) for each element, the mean over `pairs`. Unbiased for E[f]; each pair takes two
    evaluations of the rest of the program. It has no second derivative: that raises. Give `logits`: with `probs` of exactly 0
    or 1 the derivative is NaN. Recommended for many binary latents.

    Raises `SpanaxError` for any distribution but Bernoulli, and for fewer than one pair.

    Dong, Mnih and Tucker 2020 (arXiv:2006.10680), equation 6.

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> def loss(logit, *, key):
    ...     z = sx.sample(key, dist.Bernoulli(logits=logit), via=sx.DisARM(pairs=2000))
    ...     return (z - 0.2) ** 2
    >>> print(f"{jax.grad(sx.expectation(loss))(0.0, key=jax.random.key(0)):.2f}")  # 0.6 p (1 - p)
    0.15
    """

    pairs: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.pairs < 1:
            raise SpanaxError(f"DisARM(pairs={self.pairs}): at least one pair is needed", "pairs=1")

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[f]",
            unbiased=True,
            evaluations=f"{2 * self.pairs}",
            orders=1,
            distributions="Bernoulli",
            source="Dong, Mnih and Tucker 2020, eq. 6",
        )

    def draw(self, key, distribution):
        return self._pair(key, _logits(distribution))[0]

    def branches(self, distribution):
        return 2 * self.pairs

    def _pair(self, key, logits):
        # z = [u >= 1 - p] and z' = [1 - u > 1 - p] are both Bernoulli(p), as different as such a pair can be.
        u = jax.random.uniform(key, logits.shape, logits.dtype)
        threshold = jax.lax.stop_gradient(jax.nn.sigmoid(-logits))
        return (u >= threshold).astype(logits.dtype), (1 - u > threshold).astype(logits.dtype)

    def objective(self, key, distribution, rest):
        logits = _logits(distribution)

        def pair(key):
            z, antithetic = self._pair(key, logits)
            f, g = jax.vmap(rest)(jnp.stack([z, antithetic]))
            # The mean of both values has the derivatives of the rest itself; the slope adds that of the draw.
            return first_order(_slope, "DisARM()", (f + g) / 2, (f - g, z - antithetic, logits), logits)

        # A pair has its own key: pairs are independent of each other, the two draws within one are not.
        return jnp.mean(jax.vmap(pair)(jax.random.split(key, self.pairs)))


def _logits(distribution):
    if not is_bernoulli(distribution):
        raise SpanaxError(f"DisARM() is for Bernoulli draws, not {family(distribution)}", "LeaveOneOut()")
    return bernoulli_logits(distribution)


def _slope(at, d_logits):
    difference, apart, logits = at
    # Elements whose two draws are equal have z - z' = 0: f(z) - f(z') says nothing about them. For the others
    # z - z' is 1 or -1, and sigmoid(|logit|) is the larger of p and 1 - p.
    slope = jnp.sum(apart * sigmoid(jnp.abs(logits)) * d_logits)
    return 0.5 * difference * slope.astype(difference.dtype)
