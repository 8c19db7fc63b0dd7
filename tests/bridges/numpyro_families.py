"""Every family of numpyro.distributions in each of its parametrisations, as functions of one vector of floats.

`law` is the same distribution as SciPy has it, or as a sum of weighted parts: E[h] is computed from it apart.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
from scipy import special, stats


class Case(NamedTuple):
    make: Callable[[Any], Any]
    theta: tuple[float, ...]
    # theta -> a frozen SciPy distribution, or pairs (weight, a frozen one or points), where points (and weights) may be arrays
    law: Callable[[np.ndarray], Any] | None = None
    # Where there is none: the derivative of numpyro's own draw, though numpyro does not say that it is one of all parameters.
    sampler: bool = False


def tril(a, b, c):
    """A 2 x 2 lower triangle with a positive diagonal."""
    return jnp.stack([jnp.stack([a, jnp.zeros_like(a)]), jnp.stack([b, c])])


def spd(a, b, c):
    """A 2 x 2 positive definite matrix."""
    lower = tril(a, b, c)
    return lower @ lower.T


def correlation(r):
    return jnp.stack([jnp.stack([jnp.ones_like(r), r]), jnp.stack([r, jnp.ones_like(r)])])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def choice(p, values=None):
    """Weighted points of a Categorical."""
    p = np.asarray(p) / np.sum(p)
    return [(p, np.arange(len(p), dtype=float)[:, None] if values is None else values)]


def softmax(t):
    return np.exp(t) / np.sum(np.exp(t))


def counts(n, categories):
    """All ways to count n draws, (ways, categories)."""
    return np.array([c for c in itertools.product(range(n + 1), repeat=categories) if sum(c) == n], float)


def multinomial(p, n=4):
    return [(stats.multinomial.pmf(counts(n, len(p)), n, np.asarray(p) / np.sum(p)), counts(n, len(p)))]


def dirichlet_multinomial(a, n=4):
    z, log = counts(n, len(a)), np.vectorize(math.lgamma)
    log_p = math.lgamma(n + 1) + math.lgamma(np.sum(a)) - math.lgamma(n + np.sum(a))
    return [(np.exp(log_p + np.sum(log(z + a) - log(a) - log(z + 1), -1)), z)]


def beta_negative_binomial(a, b, n, most=20_000):
    k = np.arange(most, dtype=float)
    p = np.exp(special.betaln(n + b, k + a) - special.betaln(a, b) - np.log(n + k) - special.betaln(n, k + 1))
    return [(p, k[:, None])]


def zero_or(gate, rest):
    return [(gate, 0.0), (1 - gate, rest)]


def hurdle(gate, counts):
    """Zero, or counts that are not zero."""
    none = counts.pmf(0)
    return [(gate - (1 - gate) * none / (1 - none), 0.0), ((1 - gate) / (1 - none), counts)]


def on_circles(log_density, circles):
    """A density on angles, up to a constant: the trapezoidal rule is exact there to rounding."""
    angle = np.linspace(-np.pi, np.pi, 401)[:-1] if circles == 1 else np.linspace(-np.pi, np.pi, 101)[:-1]
    z = np.stack(np.meshgrid(*[angle] * circles, indexing="ij"), -1).reshape(-1, circles)
    p = np.exp(log_density(z))
    return [(p / np.sum(p), z)]


def two_poissons(t):
    p, k = stats.poisson.pmf(np.arange(25), t[0]), np.arange(25.0)
    return choice(np.outer(p, p).ravel(), np.stack(np.meshgrid(k, k, indexing="ij"), -1).reshape(-1, 2))


class Quantiles(NamedTuple):
    """A law by its quantile function."""

    ppf: Callable[[np.ndarray], np.ndarray]
    dist: Any = None


def truncated(law, low=-np.inf, high=np.inf):
    a, b = law.cdf(low), law.cdf(high)
    return Quantiles(lambda u: law.ppf(a + u * (b - a)))


def power_law(alpha, low, high):
    a, b = low ** (1 + alpha), high ** (1 + alpha)
    return Quantiles(lambda u: (a + u * (b - a)) ** (1 / (1 + alpha)))


def nbinom(mean, concentration):
    return stats.nbinom(concentration, concentration / (mean + concentration))


ADJACENT = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 1.0], [0.0, 1.0, 0.0]], np.float32)


def sde(x, t):
    return -0.5 * x, 0.4 + 0.0 * x


CASES: dict[str, list[Case]] = {
    "AsymmetricLaplace": [Case(lambda t: dist.AsymmetricLaplace(t[0], t[1], t[2]), (0.3, 0.8, 1.4))],
    "AsymmetricLaplaceQuantile": [Case(lambda t: dist.AsymmetricLaplaceQuantile(t[0], t[1], t[2]), (0.3, 0.8, 0.4))],
    "BernoulliLogits": [
        Case(lambda t: dist.Bernoulli(logits=t[0]), (0.4,), lambda t: choice([1 - sigmoid(t[0]), sigmoid(t[0])]))
    ],
    "BernoulliProbs": [Case(lambda t: dist.Bernoulli(probs=t[0]), (0.4,), lambda t: choice([1 - t[0], t[0]]))],
    "Beta": [Case(lambda t: dist.Beta(t[0], t[1]), (1.4, 0.8), lambda t: stats.beta(*t))],
    "BetaBinomial": [Case(lambda t: dist.BetaBinomial(t[0], t[1], 4), (1.4, 0.8), lambda t: stats.betabinom(4, *t))],
    "BetaNegativeBinomial": [
        Case(
            lambda t: dist.BetaNegativeBinomial(t[0], t[1], t[2]), (1.4, 2.8, 1.7), lambda t: beta_negative_binomial(*t)
        ),
    ],
    "BetaProportion": [
        Case(
            lambda t: dist.BetaProportion(t[0], t[1]), (0.4, 2.3), lambda t: stats.beta(t[0] * t[1], (1 - t[0]) * t[1])
        )
    ],
    "BinomialLogits": [
        Case(lambda t: dist.Binomial(4, logits=t[0]), (0.4,), lambda t: stats.binom(4, 1 / (1 + np.exp(-t[0]))))
    ],
    "BinomialProbs": [Case(lambda t: dist.Binomial(4, probs=t[0]), (0.4,), lambda t: stats.binom(4, t[0]))],
    "CAR": [Case(lambda t: dist.CAR(t[:3], t[3], t[4], jnp.asarray(ADJACENT, t.dtype)), (0.2, -0.4, 0.5, 0.6, 1.2))],
    "CategoricalLogits": [Case(lambda t: dist.Categorical(logits=t), (0.4, -0.7, 0.2), lambda t: choice(softmax(t)))],
    "CategoricalProbs": [Case(lambda t: dist.Categorical(probs=t), (0.5, 0.2, 0.3), choice)],
    "Cauchy": [Case(lambda t: dist.Cauchy(t[0], t[1]), (0.3, 0.8), lambda t: stats.cauchy(*t))],
    "Chi2": [Case(lambda t: dist.Chi2(t[0]), (2.3,), lambda t: stats.chi2(t[0]))],
    "CirculantNormal": [
        Case(
            lambda t: dist.CirculantNormal(t[:3], covariance_row=jnp.stack([t[3], t[4], t[4]])),
            (0.2, -0.4, 0.5, 1.3, 0.4),
        ),
        Case(lambda t: dist.CirculantNormal(t[:3], covariance_rfft=t[3:]), (0.2, -0.4, 0.5, 1.3, 0.4)),
    ],
    "Dagum": [
        Case(lambda t: dist.Dagum(t[0], t[1], t[2]), (1.3, 2.4, 0.9), lambda t: stats.burr(t[1], t[0], scale=t[2]))
    ],
    "Delta": [Case(lambda t: dist.Delta(t[0]), (0.3,), lambda t: [(1.0, t[0])])],
    "Dirichlet": [Case(lambda t: dist.Dirichlet(t), (0.9, 1.6, 2.3))],
    "DirichletMultinomial": [Case(lambda t: dist.DirichletMultinomial(t, 4), (0.9, 1.6, 2.3), dirichlet_multinomial)],
    "DiscreteUniform": [],
    "DoublyTruncatedPowerLaw": [
        Case(lambda t: dist.DoublyTruncatedPowerLaw(t[0], t[1], t[2]), (-1.7, 0.5, 2.0), lambda t: power_law(*t))
    ],
    "EulerMaruyama": [
        Case(
            lambda t: dist.EulerMaruyama(jnp.arange(3.0, dtype=t.dtype), sde, dist.Normal(t[0], t[1])),
            (0.3, 0.8),
            None,
            True,
        )
    ],
    "ExpandedDistribution": [
        Case(lambda t: dist.Normal(t[0], t[1]).expand((2,)), (0.3, 0.8)),
        Case(lambda t: dist.Gamma(t[:2, None], t[2:, None]).expand((2, 2)), (1.3, 0.8, 0.9, 1.4)),
        Case(lambda t: dist.Poisson(t[0]).expand((2,)), (1.3,), two_poissons),
    ],
    "Exponential": [Case(lambda t: dist.Exponential(t[0]), (1.3,), lambda t: stats.expon(scale=1 / t[0]))],
    "FoldedDistribution": [
        Case(
            lambda t: dist.FoldedDistribution(dist.Normal(t[0], t[1])),
            (0.4, 0.9),
            lambda t: stats.foldnorm(t[0] / t[1], scale=t[1]),
        )
    ],
    "Gamma": [Case(lambda t: dist.Gamma(t[0], t[1]), (1.7, 1.3), lambda t: stats.gamma(t[0], scale=1 / t[1]))],
    "GammaPoisson": [
        Case(lambda t: dist.GammaPoisson(t[0], t[1]), (1.7, 1.3), lambda t: stats.nbinom(t[0], t[1] / (1 + t[1])))
    ],
    "GaussianCopula": [
        Case(
            lambda t: dist.GaussianCopula(dist.Normal(t[:2], t[2:4]), correlation_matrix=correlation(t[4])),
            (0.2, -0.4, 0.8, 1.2, 0.5),
        ),
        Case(
            lambda t: dist.GaussianCopula(
                dist.Exponential(t[:2]), correlation_cholesky=jnp.linalg.cholesky(correlation(t[2]))
            ),
            (1.2, 0.7, 0.5),
        ),
    ],
    "GaussianCopulaBeta": [
        Case(
            lambda t: dist.GaussianCopulaBeta(t[:2], t[2:4], correlation_matrix=correlation(t[4])),
            (1.2, 1.4, 0.8, 1.2, 0.5),
        )
    ],
    "GaussianRandomWalk": [Case(lambda t: dist.GaussianRandomWalk(t[0], 3), (0.8,))],
    "GaussianStateSpace": [
        Case(
            lambda t: dist.GaussianStateSpace(2, t[:4].reshape(2, 2), scale_tril=tril(t[4], t[5], t[6])),
            (0.5, 0.2, -0.3, 0.7, 0.9, 0.3, 0.7),
        ),
        Case(
            lambda t: dist.GaussianStateSpace(
                2, t[:4].reshape(2, 2), covariance_matrix=spd(t[4], t[5], t[6]), initial_value=t[7:]
            ),
            (0.5, 0.2, -0.3, 0.7, 0.9, 0.3, 0.7, 0.2, -0.1),
        ),
        Case(
            lambda t: dist.GaussianStateSpace(2, t[:4].reshape(2, 2), precision_matrix=spd(t[4], t[5], t[6])),
            (0.5, 0.2, -0.3, 0.7, 0.9, 0.3, 0.7),
        ),
    ],
    "GeometricLogits": [
        Case(lambda t: dist.Geometric(logits=t[0]), (0.4,), lambda t: stats.geom(1 / (1 + np.exp(-t[0])), loc=-1))
    ],
    "GeometricProbs": [Case(lambda t: dist.Geometric(probs=t[0]), (0.6,), lambda t: stats.geom(t[0], loc=-1))],
    "Gompertz": [Case(lambda t: dist.Gompertz(t[0], t[1]), (1.2, 0.7), lambda t: stats.gompertz(t[0], scale=1 / t[1]))],
    "Gumbel": [Case(lambda t: dist.Gumbel(t[0], t[1]), (0.3, 0.8), lambda t: stats.gumbel_r(*t))],
    "HalfCauchy": [Case(lambda t: dist.HalfCauchy(t[0]), (0.8,), lambda t: stats.halfcauchy(scale=t[0]))],
    "HalfNormal": [Case(lambda t: dist.HalfNormal(t[0]), (0.8,), lambda t: stats.halfnorm(scale=t[0]))],
    "HurdleGamma": [
        Case(
            lambda t: dist.HurdleGamma(t[0], t[1], t[2]),
            (0.3, 1.7, 1.3),
            lambda t: zero_or(t[0], stats.gamma(t[1], scale=1 / t[2])),
        )
    ],
    "HurdleLogNormal": [
        Case(
            lambda t: dist.HurdleLogNormal(t[0], t[1], t[2]),
            (0.3, 0.2, 0.7),
            lambda t: zero_or(t[0], stats.lognorm(t[2], scale=np.exp(t[1]))),
        )
    ],
    "HurdleLogits": [
        Case(
            lambda t: dist.HurdleLogits(dist.Poisson(t[0]), t[1]),
            (1.3, 0.3),
            lambda t: hurdle(sigmoid(t[1]), stats.poisson(t[0])),
        ),
        Case(
            lambda t: dist.HurdleLogits(dist.Exponential(t[0]), t[1]),
            (1.3, 0.3),
            lambda t: zero_or(sigmoid(t[1]), stats.expon(scale=1 / t[0])),
        ),
    ],
    "HurdlePoisson": [
        Case(lambda t: dist.HurdlePoisson(t[0], t[1]), (0.3, 1.3), lambda t: hurdle(t[0], stats.poisson(t[1])))
    ],
    "HurdleProbs": [
        Case(
            lambda t: dist.HurdleProbs(dist.Weibull(t[0], t[1]), t[2]),
            (1.7, 1.3, 0.3),
            lambda t: zero_or(t[2], stats.weibull_min(t[1], scale=t[0])),
        ),
        Case(
            lambda t: dist.HurdleNegativeBinomial2(t[0], t[1], t[2]),
            (0.3, 1.7, 1.3),
            lambda t: hurdle(t[0], nbinom(t[1], t[2])),
        ),
    ],
    "ImproperUniform": [],
    "Independent": [
        Case(lambda t: dist.Normal(t[:2], t[2:]).to_event(1), (0.3, -0.2, 0.8, 0.5)),
        Case(
            lambda t: dist.Categorical(logits=t.reshape(2, 2)).to_event(1),
            (0.3, -0.2, 0.8, 0.5),
            lambda t: choice(
                np.outer(softmax(t[:2]), softmax(t[2:])).ravel(), np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
            ),
        ),
    ],
    "IntervalCensoredDistribution": [
        Case(
            lambda t: dist.IntervalCensoredDistribution(dist.Normal(t[0], t[1]), jnp.array(False), jnp.array(False)),
            (0.3, 0.8),
        )
    ],
    "InverseGamma": [
        Case(lambda t: dist.InverseGamma(t[0], t[1]), (1.7, 1.3), lambda t: stats.invgamma(t[0], scale=t[1]))
    ],
    "InverseWishart": [
        Case(lambda t: dist.InverseWishart(t[0], scale_matrix=spd(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
        Case(lambda t: dist.InverseWishart(t[0], rate_matrix=spd(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
        Case(lambda t: dist.InverseWishart(t[0], scale_tril=tril(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
    ],
    "InverseWishartCholesky": [
        Case(
            lambda t: dist.InverseWishartCholesky(t[0], scale_tril=tril(t[1], t[2], t[3])),
            (4.2, 0.9, 0.3, 0.7),
            None,
            True,
        )
    ],
    "Kumaraswamy": [Case(lambda t: dist.Kumaraswamy(t[0], t[1]), (1.7, 1.3))],
    "LKJ": [Case(lambda t: dist.LKJ(3, t[0]), (1.3,))],
    "LKJCholesky": [
        Case(lambda t: dist.LKJCholesky(3, t[0]), (1.3,)),
        Case(lambda t: dist.LKJCholesky(2, t[0], "cvine"), (1.3,)),
    ],
    "Laplace": [Case(lambda t: dist.Laplace(t[0], t[1]), (0.3, 0.8), lambda t: stats.laplace(*t))],
    "LeftCensoredDistribution": [
        Case(lambda t: dist.LeftCensoredDistribution(dist.Normal(t[0], t[1]), jnp.array(True)), (0.3, 0.8))
    ],
    "LeftTruncatedDistribution": [
        Case(
            lambda t: dist.TruncatedNormal(t[0], t[1], low=t[2]),
            (0.3, 0.8, -0.2),
            lambda t: stats.truncnorm((t[2] - t[0]) / t[1], np.inf, *t[:2]),
        ),
        Case(
            lambda t: dist.TruncatedDistribution(dist.Laplace(t[0], t[1]), low=t[2]),
            (0.3, 0.8, -0.2),
            lambda t: truncated(stats.laplace(*t[:2]), low=t[2]),
        ),
        Case(
            lambda t: dist.TruncatedDistribution(dist.Logistic(t[0], t[1]), low=t[2]),
            (0.3, 0.8, -0.2),
            lambda t: truncated(stats.logistic(*t[:2]), low=t[2]),
        ),
        Case(
            lambda t: dist.TruncatedDistribution(dist.SoftLaplace(t[0], t[1]), low=t[2]),
            (0.3, 0.8, -0.2),
            lambda t: truncated(stats.hypsecant(*t[:2]), low=t[2]),
        ),
        Case(lambda t: dist.TruncatedDistribution(dist.StudentT(t[3], t[0], t[1]), low=t[2]), (0.3, 0.8, -0.2, 3.3)),
    ],
    "LeftTruncatedGamma": [
        Case(
            lambda t: dist.TruncatedGamma(t[0], t[1], low=t[2]),
            (1.7, 1.3, 0.4),
            lambda t: truncated(stats.gamma(t[0], scale=1 / t[1]), low=t[2]),
        )
    ],
    "Levy": [Case(lambda t: dist.Levy(t[0], t[1]), (0.3, 0.8), lambda t: stats.levy(*t))],
    "LogNormal": [
        Case(lambda t: dist.LogNormal(t[0], t[1]), (0.3, 0.8), lambda t: stats.lognorm(t[1], scale=np.exp(t[0])))
    ],
    "LogUniform": [Case(lambda t: dist.LogUniform(t[0], t[1]), (0.3, 1.8), lambda t: stats.loguniform(*t))],
    "Logistic": [Case(lambda t: dist.Logistic(t[0], t[1]), (0.3, 0.8), lambda t: stats.logistic(*t))],
    "LowRankMultivariateNormal": [
        Case(lambda t: dist.LowRankMultivariateNormal(t[:2], t[2:4, None], t[4:]), (0.3, -0.2, 0.8, 0.5, 0.6, 0.9))
    ],
    "LowerTruncatedPowerLaw": [
        Case(
            lambda t: dist.LowerTruncatedPowerLaw(t[0], t[1]),
            (-2.7, 0.5),
            lambda t: stats.pareto(-t[0] - 1, scale=t[1]),
        )
    ],
    "MaskedDistribution": [
        Case(lambda t: dist.Normal(t[:2], t[2:]).mask(jnp.array([True, False])), (0.3, -0.2, 0.8, 0.5)),
        Case(lambda t: dist.Poisson(t[0]).mask(False), (0.8,), lambda t: stats.poisson(t[0])),
    ],
    "MatrixNormal": [
        Case(
            lambda t: dist.MatrixNormal(t[:4].reshape(2, 2), tril(t[4], t[5], t[6]), tril(t[7], t[8], t[9])),
            (0.3, -0.2, 0.1, 0.5, 0.9, 0.3, 0.7, 0.8, -0.2, 0.6),
        )
    ],
    "MixtureGeneral": [
        Case(
            lambda t: dist.MixtureGeneral(
                dist.Categorical(logits=t[:2]),
                [dist.Normal(t[2], t[3]), dist.Gamma(t[4], t[5])],
                support=dist.constraints.real,
            ),
            (0.3, -0.2, -0.8, 0.5, 1.7, 1.3),
            lambda t: list(zip(softmax(t[:2]), [stats.norm(*t[2:4]), stats.gamma(t[4], scale=1 / t[5])], strict=True)),
        ),
        Case(
            lambda t: dist.MixtureGeneral(
                dist.Categorical(logits=t[:2]),
                [dist.Normal(t[2], t[3]), dist.Uniform(-1.0, t[4])],
                support=dist.constraints.real,
            ),
            (0.3, -0.2, -0.8, 0.5, 1.7),
            lambda t: list(zip(softmax(t[:2]), [stats.norm(*t[2:4]), stats.uniform(-1, t[4] + 1)], strict=True)),
        ),
        Case(
            lambda t: dist.MixtureGeneral(
                dist.Categorical(logits=t[:2]),
                [dist.Delta(t[2]), dist.Gamma(t[3], t[4])],
                support=dist.constraints.real,
            ),
            (0.3, -0.2, 0.3, 1.7, 1.3),
            lambda t: list(zip(softmax(t[:2]), [t[2], stats.gamma(t[3], scale=1 / t[4])], strict=True)),
        ),
        Case(
            lambda t: dist.MixtureGeneral(
                dist.Categorical(logits=t[:2]),
                [dist.Poisson(t[2]), dist.Binomial(3, logits=t[3])],
                support=dist.constraints.nonnegative_integer,
            ),
            (0.3, -0.2, 0.8, 0.5),
            lambda t: list(zip(softmax(t[:2]), [stats.poisson(t[2]), stats.binom(3, sigmoid(t[3]))], strict=True)),
        ),
    ],
    "MixtureSameFamily": [
        Case(
            lambda t: dist.MixtureSameFamily(dist.Categorical(logits=t[:2]), dist.Normal(t[2:4], t[4:])),
            (0.3, -0.2, -0.8, 0.5, 0.7, 1.3),
            lambda t: list(zip(softmax(t[:2]), [stats.norm(t[2], t[4]), stats.norm(t[3], t[5])], strict=True)),
        ),
        Case(
            lambda t: dist.MixtureSameFamily(dist.Categorical(logits=t[:3]), dist.Delta(t[3:])),
            (0.3, -0.2, 0.1, -0.8, 0.5, 1.2),
            lambda t: choice(softmax(t[:3]), t[3:, None]),
        ),
        Case(
            lambda t: dist.MixtureSameFamily(dist.Categorical(probs=t[:2]), dist.Poisson(t[2:4])),
            (0.3, 0.7, 0.8, 2.5),
            lambda t: list(zip(t[:2] / np.sum(t[:2]), [stats.poisson(t[2]), stats.poisson(t[3])], strict=True)),
        ),
    ],
    "MultinomialLogits": [
        Case(lambda t: dist.Multinomial(4, logits=t), (0.4, -0.7, 0.2), lambda t: multinomial(softmax(t)))
    ],
    "MultinomialProbs": [Case(lambda t: dist.Multinomial(4, probs=t), (0.5, 0.2, 0.3), multinomial)],
    "MultivariateNormal": [
        Case(lambda t: dist.MultivariateNormal(t[:2], scale_tril=tril(t[2], t[3], t[4])), (0.3, -0.2, 0.9, 0.3, 0.7)),
        Case(
            lambda t: dist.MultivariateNormal(t[:2], covariance_matrix=spd(t[2], t[3], t[4])),
            (0.3, -0.2, 0.9, 0.3, 0.7),
        ),
        Case(
            lambda t: dist.MultivariateNormal(t[:2], precision_matrix=spd(t[2], t[3], t[4])), (0.3, -0.2, 0.9, 0.3, 0.7)
        ),
    ],
    "MultivariateStudentT": [
        Case(lambda t: dist.MultivariateStudentT(t[5], t[:2], tril(t[2], t[3], t[4])), (0.3, -0.2, 0.9, 0.3, 0.7, 3.3))
    ],
    "NegativeBinomial2": [Case(lambda t: dist.NegativeBinomial2(t[0], t[1]), (1.3, 1.7), lambda t: nbinom(*t))],
    "NegativeBinomialLogits": [
        Case(
            lambda t: dist.NegativeBinomialLogits(t[0], t[1]),
            (1.7, -0.3),
            lambda t: stats.nbinom(t[0], 1 / (1 + np.exp(t[1]))),
        )
    ],
    "NegativeBinomialProbs": [
        Case(lambda t: dist.NegativeBinomialProbs(t[0], t[1]), (1.7, 0.4), lambda t: stats.nbinom(t[0], 1 - t[1]))
    ],
    "Normal": [Case(lambda t: dist.Normal(t[0], t[1]), (0.3, 0.8), lambda t: stats.norm(*t))],
    "OrderedLogistic": [
        Case(
            lambda t: dist.OrderedLogistic(t[0], t[1:]),
            (0.3, -0.8, 0.9),
            lambda t: choice(np.diff([0, *sigmoid(t[1:] - t[0]), 1])),
        )
    ],
    "Pareto": [Case(lambda t: dist.Pareto(t[0], t[1]), (0.5, 2.7), lambda t: stats.pareto(t[1], scale=t[0]))],
    "Poisson": [Case(lambda t: dist.Poisson(t[0]), (1.3,), lambda t: stats.poisson(t[0]))],
    "ProjectedNormal": [
        Case(lambda t: dist.ProjectedNormal(t), (0.7, -0.4)),
        Case(lambda t: dist.ProjectedNormal(t), (0.7, -0.4, 0.3)),
    ],
    "RelaxedBernoulliLogits": [Case(lambda t: dist.RelaxedBernoulliLogits(t[0], t[1]), (0.7, 0.3))],
    "RightCensoredDistribution": [
        Case(lambda t: dist.RightCensoredDistribution(dist.Normal(t[0], t[1]), jnp.array(True)), (0.3, 0.8))
    ],
    "RightTruncatedDistribution": [
        Case(
            lambda t: dist.TruncatedNormal(t[0], t[1], high=t[2]),
            (0.3, 0.8, 1.2),
            lambda t: stats.truncnorm(-np.inf, (t[2] - t[0]) / t[1], *t[:2]),
        ),
        Case(
            lambda t: dist.TruncatedDistribution(dist.Cauchy(t[0], t[1]), high=t[2]),
            (0.3, 0.8, 1.2),
            lambda t: truncated(stats.cauchy(*t[:2]), high=t[2]),
        ),
    ],
    "RightTruncatedGamma": [
        Case(
            lambda t: dist.TruncatedGamma(t[0], t[1], high=t[2]),
            (1.7, 1.3, 2.4),
            lambda t: truncated(stats.gamma(t[0], scale=1 / t[1]), high=t[2]),
        )
    ],
    "SineBivariateVonMises": [
        Case(
            lambda t: dist.SineBivariateVonMises(t[0], t[1], t[2], t[3], t[4]),
            (0.3, -0.4, 2.2, 1.8, 0.6),
            lambda t: on_circles(
                lambda z: (
                    t[2] * np.cos(z[:, 0] - t[0])
                    + t[3] * np.cos(z[:, 1] - t[1])
                    + t[4] * np.sin(z[:, 0] - t[0]) * np.sin(z[:, 1] - t[1])
                ),
                2,
            ),
        )
    ],
    "SineSkewed": [
        Case(
            lambda t: dist.SineSkewed(dist.VonMises(t[:2], t[2:4]).to_event(1), t[4:]),
            (0.3, -0.4, 2.2, 1.8, 0.3, -0.2),
            lambda t: on_circles(lambda z: np.cos(z - t[:2]) @ t[2:4] + np.log1p(np.sin(z - t[:2]) @ t[4:]), 2),
        ),
    ],
    "SoftLaplace": [Case(lambda t: dist.SoftLaplace(t[0], t[1]), (0.3, 0.8), lambda t: stats.hypsecant(t[0], t[1]))],
    "StudentT": [Case(lambda t: dist.StudentT(t[0], t[1], t[2]), (3.3, 0.3, 0.8), lambda t: stats.t(*t))],
    "TransformedDistribution": [
        Case(
            lambda t: dist.TransformedDistribution(
                dist.Normal(t[0], t[1]), dist.transforms.AffineTransform(t[2], t[3])
            ),
            (0.3, 0.8, -0.4, 1.4),
        ),
        Case(
            lambda t: dist.TransformedDistribution(dist.Gamma(t[0], t[1]), dist.transforms.PowerTransform(t[2])),
            (1.7, 1.3, 0.8),
        ),
        Case(
            lambda t: dist.TransformedDistribution(dist.Poisson(t[0]), dist.transforms.AffineTransform(t[1], t[2])),
            (1.3, 0.2, 0.7),
            lambda t: [(stats.poisson.pmf(np.arange(60), t[0]), t[1] + t[2] * np.arange(60.0)[:, None])],
        ),
        Case(
            lambda t: dist.TransformedDistribution(
                dist.MixtureSameFamily(dist.Categorical(logits=t[:2]), dist.Normal(t[2:4], t[4:6])),
                dist.transforms.AffineTransform(t[6], t[7]),
            ),
            (0.3, -0.2, -0.8, 0.5, 0.7, 1.3, 0.2, 0.8),
            lambda t: list(
                zip(
                    softmax(t[:2]),
                    [stats.norm(t[6] + t[7] * t[2], t[7] * t[4]), stats.norm(t[6] + t[7] * t[3], t[7] * t[5])],
                    strict=True,
                )
            ),
        ),
    ],
    "TruncatedPolyaGamma": [],
    "TwoSidedTruncatedDistribution": [
        Case(
            lambda t: dist.TruncatedNormal(t[0], t[1], low=t[2], high=t[3]),
            (0.3, 0.8, -0.2, 1.2),
            lambda t: stats.truncnorm((t[2] - t[0]) / t[1], (t[3] - t[0]) / t[1], *t[:2]),
        ),
        Case(
            lambda t: dist.TruncatedCauchy(t[0], t[1], low=t[2], high=t[3]),
            (0.3, 0.8, -0.2, 1.2),
            lambda t: truncated(stats.cauchy(*t[:2]), t[2], t[3]),
        ),
    ],
    "TwoSidedTruncatedGamma": [
        Case(
            lambda t: dist.TruncatedGamma(t[0], t[1], low=t[2], high=t[3]),
            (1.7, 1.3, 0.4, 2.4),
            lambda t: truncated(stats.gamma(t[0], scale=1 / t[1]), t[2], t[3]),
        )
    ],
    "Uniform": [Case(lambda t: dist.Uniform(t[0], t[1]), (0.3, 1.8), lambda t: stats.uniform(t[0], t[1] - t[0]))],
    "Unit": [],
    "VonMises": [
        Case(
            lambda t: dist.VonMises(t[0], t[1]),
            (0.3, 1.8),
            lambda t: on_circles(lambda z: t[1] * np.cos(z[:, 0] - t[0]), 1),
        )
    ],
    "Weibull": [Case(lambda t: dist.Weibull(t[0], t[1]), (1.3, 1.7), lambda t: stats.weibull_min(t[1], scale=t[0]))],
    "Wishart": [
        Case(lambda t: dist.Wishart(t[0], scale_matrix=spd(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
        Case(lambda t: dist.Wishart(t[0], rate_matrix=spd(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
        Case(lambda t: dist.Wishart(t[0], scale_tril=tril(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True),
    ],
    "WishartCholesky": [
        Case(lambda t: dist.WishartCholesky(t[0], scale_tril=tril(t[1], t[2], t[3])), (4.2, 0.9, 0.3, 0.7), None, True)
    ],
    "ZeroInflatedLogits": [
        Case(
            lambda t: dist.ZeroInflatedDistribution(dist.Poisson(t[0]), gate_logits=t[1]),
            (1.3, 0.3),
            lambda t: zero_or(sigmoid(t[1]), stats.poisson(t[0])),
        )
    ],
    "ZeroInflatedPoisson": [
        Case(lambda t: dist.ZeroInflatedPoisson(t[0], t[1]), (0.3, 1.3), lambda t: zero_or(t[0], stats.poisson(t[1])))
    ],
    "ZeroInflatedProbs": [
        Case(
            lambda t: dist.ZeroInflatedProbs(dist.Binomial(3, logits=t[0]), t[1]),
            (0.4, 0.3),
            lambda t: zero_or(t[1], stats.binom(3, sigmoid(t[0]))),
        ),
        Case(
            lambda t: dist.ZeroInflatedNegativeBinomial2(t[0], t[1], gate=t[2]),
            (1.3, 1.7, 0.3),
            lambda t: zero_or(t[2], nbinom(t[0], t[1])),
        ),
    ],
    "ZeroSumNormal": [Case(lambda t: dist.ZeroSumNormal(t[0], event_shape=(3,)), (0.8,))],
}


def weights(m):
    return np.cos(np.arange(m) * 1.3 + 0.4) * 0.9


def h(s, xp=jnp):
    """Smooth, asymmetric, and flat far out, so that its estimates have moments for heavy tails as well."""
    return xp.tanh(0.8 * s - 0.3) + 0.6 * xp.exp(-((s - 0.5) ** 2) / 2)


def cost(z):
    """Of one draw."""
    v = jnp.ravel(z)
    return h(v @ jnp.asarray(weights(v.shape[0]), v.dtype))


NODES, NODE_WEIGHTS = np.polynomial.legendre.leggauss(200)


def _mean(law):
    """E[cost] of a frozen SciPy distribution, or of points."""
    if not hasattr(law, "dist"):
        z = np.atleast_2d(np.asarray(law, float))
        return h(z @ weights(z.shape[-1]), np)
    if hasattr(law.dist, "pmf"):
        k = np.arange(120.0)
        return np.sum(law.pmf(k) * h(k * weights(1), np))
    # Of a uniform number u = t^2 (3 - 2 t), so that quantiles far out are met by small weights.
    t = (NODES + 1) / 2
    z = law.ppf(t * t * (3 - 2 * t))
    return np.sum(NODE_WEIGHTS / 2 * 6 * t * (1 - t) * h(z * weights(1), np))


def expected_cost(case, theta):
    law = case.law(theta)
    return float(sum(np.sum(w * _mean(part)) for w, part in (law if isinstance(law, list) else [(1.0, law)])))
