"""The pathwise (reparametrisation) gradient."""

from .._errors import SpanaxError
from .._math.distributions import family, numpyro_draw, reparametrised
from .base import Local
from .facts import Facts


class Pathwise(Local):
    """Differentiates the draw itself: z = g(noise, theta), so dz/dtheta exists.

    For distributions with `has_rsample` (Normal, Gamma, Beta, Dirichlet, ...), and Levy: explicit or implicit
    reparametrisation, whichever numpyro has. Unbiased for E[f] where f is continuous in z, with the lowest variance
    of all bridges as a rule. Recommended wherever it exists. A second derivative needs f's first to be continuous as well.

    Raises `SpanaxError` for a distribution that has no reparametrised draw. `expectation` warns where f jumps in z, and raises
    where nothing is left of the derivative.

    Kingma and Welling 2014 (arXiv:1312.6114), equation 4; Figurnov et al. 2018 (arXiv:1805.08498).
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
        if not reparametrised(distribution):
            raise SpanaxError(
                f"Pathwise() needs a reparametrised distribution, and {family(distribution)} has none",
                "ScoreFunction()",
                "Componentwise() for a mixture",
                "GumbelSoftmax() for a relaxed Bernoulli or Categorical",
            )
        return numpyro_draw(distribution, key, "rsample")
