"""The pathwise (reparametrisation) gradient."""

from .._errors import SpanaxError
from .._math.distributions import family, is_reparametrised, numpyro_draw
from .base import Local
from .facts import Facts


class Pathwise(Local):
    """Differentiates the draw itself: z = g(noise, theta), so dz/dtheta exists.

    For distributions with `has_rsample` (Normal, Gamma, Beta, Dirichlet, ...), and Levy: explicit or implicit
    reparametrisation, whichever NumPyro has. Unbiased for E[f] if f is continuous in z, as a rule with the lowest variance of all
    bridges. Recommended wherever it exists. A second derivative needs f's first derivative to be continuous as well.

    Raises `SpanaxError` for a distribution that has no reparametrised draw. `expectation` warns if f jumps in z, and raises
    if nothing is left of the derivative.

    Kingma and Welling 2014 (arXiv:1312.6114), equation 4; Figurnov et al. 2018 (arXiv:1805.08498).

    >>> import jax, numpyro.distributions as dist, spanax as sx
    >>> loss = sx.expectation(lambda mu, *, key: 2 * sx.sample(key, dist.Normal(mu, 1.0), via=sx.Pathwise()))
    >>> print(jax.grad(loss)(0.5, key=jax.random.key(0)))
    2.0
    """

    @property
    def facts(self) -> Facts:
        return Facts(
            unbiased_for="E[f], if f is continuous in the draw",
            unbiased=True,
            evaluations="1",
            orders=None,
            distributions="continuous, with has_rsample",
            source="Kingma and Welling 2014, eq. 4",
        )

    def draw(self, key, distribution):
        if not is_reparametrised(distribution):
            raise SpanaxError(
                f"Pathwise() needs a reparametrised distribution, and {family(distribution)} has none",
                "ScoreFunction()",
                "Componentwise() for a mixture",
                "GumbelSoftmax() for a relaxed Bernoulli or Categorical",
            )
        # Nothing is stopped: the derivative of the draw is the whole estimate.
        return numpyro_draw(distribution, key, "rsample")
