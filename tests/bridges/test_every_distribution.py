"""Every family that numpyro has, in each parametrisation: scores of mean zero, and the right derivative through every bridge.

A family that numpyro adds fails here until `numpyro_families` says how it is made.
"""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from numpyro.distributions import Distribution

import spanax as sx
from spanax._math.distributions import is_reparametrised, numpyro_promotion
from spanax._math.parts import has_mixture
from spanax.bridges.best import best_bridge

from .numpyro_families import CASES, cost, expected_cost
from .reference import central_differences

DRAWS = 4_000
FAMILIES = {
    name
    for name, value in vars(dist).items()
    if isinstance(value, type) and issubclass(value, Distribution) and value is not Distribution
}
# Nothing to differentiate, or nothing to draw.
WITHOUT_PARAMETERS = {"DiscreteUniform", "ImproperUniform", "TruncatedPolyaGamma", "Unit"}
# Draws and log p do not belong together.
CENSORED = {"LeftCensoredDistribution", "RightCensoredDistribution", "IntervalCensoredDistribution"}
# numpyro needs TensorFlow Probability for their quantiles, and JAX has no derivative of the incomplete beta function.
WITHOUT_DERIVATIVE = {"GaussianCopulaBeta": [0], "LeftTruncatedDistribution": [4]}
# A bound or an atom moves: no score with respect to it.
MOVING = {
    "Delta": [0],
    "DoublyTruncatedPowerLaw": [0],
    "LeftTruncatedDistribution": [0, 1, 2, 3],
    "LeftTruncatedGamma": [0],
    "Levy": [0],
    "LogUniform": [0],
    "LowerTruncatedPowerLaw": [0],
    "MixtureGeneral": [1, 2],
    "MixtureSameFamily": [1],
    "Pareto": [0],
    "RightTruncatedDistribution": [0, 1],
    "RightTruncatedGamma": [0],
    "TransformedDistribution": [2],
    "TwoSidedTruncatedDistribution": [0, 1],
    "TwoSidedTruncatedGamma": [0],
    "Uniform": [0],
}


def test_every_family_is_decided():
    assert set(CASES) == FAMILIES
    assert {name for name, cases in CASES.items() if not cases} == WITHOUT_PARAMETERS


def chosen(refused, name, i):
    return i in refused.get(name, [])


TABLE = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, cases in CASES.items()
    for i in range(len(cases))
    if name not in CENSORED and not chosen(WITHOUT_DERIVATIVE, name, i)
]


def bridges(name, i, made):
    """The bridges that take this draw and have all of its derivatives."""
    found = {"default": best_bridge(made)}
    if is_reparametrised(made):
        found["pathwise"] = sx.Pathwise()
    if not chosen(MOVING, name, i):
        found["score function"] = sx.ScoreFunction()
    if has_mixture(made) or name == "TransformedDistribution":
        found["componentwise"] = sx.Componentwise()
    return {repr(bridge): bridge for bridge in found.values()}


def estimate(make, via, theta, key):
    """Of one draw: the gradient of the cost, and that of its score alone."""

    def surrogate(theta):
        if isinstance(via, sx.bridges.Local):
            return cost(via.draw(key, make(theta)).astype(theta.dtype)), jnp.zeros((), theta.dtype)
        z, score = via.draw_with_score(key, make(theta))
        value = cost(z.astype(theta.dtype))
        score = score.astype(theta.dtype)
        return value + jax.lax.stop_gradient(value) * score, score

    return jax.jacrev(surrogate)(theta)


def close(found, truth, error):
    return np.all(np.abs(found - truth) < 4.5 * np.sqrt(error**2 + (3e-4 * (1 + np.abs(truth))) ** 2))


# About 900 comparisons, each allowed 4.5 standard errors: a false alarm in .6% of the keys.
@pytest.mark.few(18)
@pytest.mark.parametrize("name, i", TABLE)
def test_scores_have_mean_zero_and_every_bridge_is_right(name, i, key):
    case = CASES[name][i]
    theta = jnp.asarray(case.theta, jnp.float32)

    def make(theta):
        with numpyro_promotion():
            return case.make(theta)

    vias = bridges(name, i, make(theta))

    def run(key):
        out = {name: estimate(make, via, theta, key) for name, via in vias.items()}
        if case.sampler:
            with numpyro_promotion():
                drawn = jax.grad(lambda t: cost(make(t).sample(key).astype(t.dtype)))(theta)
            out["numpyro's draw"] = drawn, jnp.zeros_like(theta)
        return out

    drawn = jax.jit(jax.vmap(run))(jax.random.split(key, DRAWS))
    means = {}
    for via, (gradients, scores) in drawn.items():
        gradients, scores = (np.asarray(x, np.float64) for x in (gradients, scores))
        assert close(np.mean(scores, 0), 0.0, np.std(scores, 0) / DRAWS**0.5), (via, np.mean(scores, 0))
        means[via] = np.mean(gradients, 0), np.std(gradients, 0) / DRAWS**0.5
    if case.law is not None:
        means["truth"] = central_differences(lambda t: expected_cost(case, t), case.theta), np.zeros_like(case.theta)
    assert len(means) > 1, "nothing to compare with"
    truth, error = means.pop("truth", None) or list(means.values())[-1]
    for via, (found, spread) in means.items():
        assert close(found, truth, np.hypot(spread, error)), (via, found, truth, spread)
        assert np.min(4.5 * spread) < 2 * np.max(np.abs(truth)), f"not even a sign would be seen: {spread}, {truth}"
