"""The biased bridges: their mean is what their formula predicts, and it is not the gradient of E[f].

Every draw is seen as m elements of one-hot weights over K categories; a Bernoulli is the second weight of K = 2
categories with logits (0, logit). J(q) = diag(q) - q q' is the derivative of softmax.
"""

import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

from .reference import assert_mean_is, central_differences, estimates, outcomes, softmax, standard_error

ALONG = np.array([[0.2, -1.2, 0.7], [1.1, 0.2, -0.4]])


class Cost(NamedTuple):
    """f(u) and f'(u) of u = the sum of ALONG * weights."""

    f: Callable[[Any, Any], Any]
    slope: Callable[[np.ndarray], np.ndarray]


LINEAR = Cost(lambda u, xp: 1.5 * u - 0.4, lambda u: 1.5 * np.ones_like(u))
QUADRATIC = Cost(lambda u, xp: (u - 0.3) ** 2 + u, lambda u: 2 * (u - 0.3) + 1)
CURVED = Cost(lambda u, xp: xp.sin(4 * u) + u**3, lambda u: 4 * np.cos(4 * u) + 3 * u**2)


class Family(NamedTuple):
    make: Callable[[Any], Any]
    theta: np.ndarray
    logits: Callable[[np.ndarray], np.ndarray]  # theta -> (m, K)
    bernoulli: bool


def pair(logit):
    """The logits of the categories 0 and 1, (m, 2)."""
    logit = np.atleast_1d(logit)
    return np.stack([np.zeros_like(logit), logit], -1)


def log_odds(p):
    return np.log(p / (1 - p))


FAMILIES = {
    "Bernoulli logits": Family(lambda t: dist.Bernoulli(logits=t), np.array(0.7), pair, True),
    "Bernoulli probs": Family(lambda t: dist.Bernoulli(probs=t), np.array(0.3), lambda t: pair(log_odds(t)), True),
    "Bernoulli vector": Family(lambda t: dist.Bernoulli(logits=t).to_event(1), np.array([0.7, -0.5]), pair, True),
    "Categorical 2": Family(lambda t: dist.Categorical(logits=t), np.array([0.4, -0.3]), np.atleast_2d, False),
    "Categorical logits": Family(
        lambda t: dist.Categorical(logits=t), np.array([0.4, -0.3, 0.1]), np.atleast_2d, False
    ),
    "Categorical probs": Family(
        lambda t: dist.Categorical(probs=t), np.array([0.5, 0.2, 0.3]), lambda t: np.atleast_2d(np.log(t)), False
    ),
    "Categorical vector": Family(
        lambda t: dist.CategoricalLogits(t).to_event(1),
        np.array([[0.4, -0.3, 0.1], [-0.2, 0.5, 0.0]]),
        np.atleast_2d,
        False,
    ),
}


def along(family):
    """(m, K): what each weight adds to u; a Bernoulli's first weight is not seen by f."""
    m, k = family.logits(family.theta).shape
    if family.bernoulli:
        return np.stack([np.zeros(m), ALONG.ravel()[1 : m + 1]], -1)
    return ALONG[:m, :k]


def program(family, cost, via):
    A = along(family)

    def f(theta, *, key):
        z = sx.sample(key, family.make(theta), via=via)
        direction = A[:, 1] if family.bernoulli else A
        return cost.f(jnp.sum(jnp.asarray(direction.reshape(z.shape), z.dtype) * z), jnp)

    return f


def jacobian(q):
    return np.diag(q) - np.outer(q, q)


def to_theta(family, d_logits):
    """From the derivatives with respect to the logits, (m, K), to those with respect to theta."""
    jac = np.stack(
        [central_differences(lambda t, i=i: family.logits(t).flat[i], family.theta) for i in range(d_logits.size)]
    )
    return np.tensordot(d_logits.ravel(), jac, 1)


def all_one_hot(family):
    """Every value of the draw as weights, (n, m, K), and its probability, (n,)."""
    pi = softmax(family.logits(family.theta))
    index, probabilities = outcomes(pi)
    return np.eye(pi.shape[1])[index], probabilities, pi


def exact_gradient(family, cost):
    def expected(theta):
        z, p, _ = all_one_hot(family._replace(theta=theta))
        return np.sum(p * cost.f(np.sum(along(family) * z, (1, 2)), np))

    return central_differences(expected, family.theta)


def exact_value(family, cost):
    z, p, _ = all_one_hot(family)
    return np.sum(p * cost.f(np.sum(along(family) * z, (1, 2)), np))


def straight_through(family, cost):
    """E[J(pi) f'(z)]: the derivative of the mean."""
    return expected_of_matrices(family, cost, lambda pi, z: jacobian(pi))


def reinmax(family, cost, temperature=1.0):
    """E[(2 J(pi1) - J(pi)/2) f'(z)] with pi1 = (softmax(logits/temperature) + z)/2 (Liu et al. 2023, algorithm 2)."""
    tempered = softmax(family.logits(family.theta) / temperature)
    return expected_of_matrices(
        family, cost, lambda pi, z, soft: 2 * jacobian((soft + z) / 2) - jacobian(pi) / 2, tempered
    )


def expected_of_matrices(family, cost, matrix, *more):
    """sum_z p(z) matrix(pi, z) f'(z), for each element, as derivatives with respect to theta."""
    values, probabilities, pi = all_one_hot(family)
    total = np.zeros_like(pi)
    for z, p in zip(values, probabilities, strict=True):
        slope = cost.slope(np.sum(along(family) * z)) * along(family)
        total += p * np.stack([matrix(*rows) @ g for *rows, g in zip(pi, z, *more, slope, strict=True)])
    return to_theta(family, total)


HARD = {
    "StraightThrough": (sx.StraightThrough(), straight_through),
    "ReinMax": (sx.ReinMax(), reinmax),
    "ReinMax at 1.5": (sx.ReinMax(1.5), lambda family, cost: reinmax(family, cost, 1.5)),
}


# 21 cases with 75 components: a false alarm in .5% of the keys for the whole table.
@pytest.mark.few(10)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("name", HARD)
def test_mean_is_what_the_formula_predicts(name, family, key, x64):
    via, formula = HARD[name]
    values, gradients = estimates(program(family, CURVED, via), jnp.asarray(family.theta), key)
    predicted = formula(family, CURVED)
    assert_mean_is(exact_value(family, CURVED), values)
    assert_mean_is(predicted, gradients)
    assert_biased(family, predicted, gradients)


def assert_biased(family, predicted, gradients):
    """The prediction stands 10 standard errors from the gradient of E[f]: the bias is seen, not only noise."""
    bias = np.abs(predicted - exact_gradient(family, CURVED))
    assert np.max(bias) > 10 * np.max(standard_error(gradients))


# 6 cases with 15 components: a false alarm in .1% of the keys.
@pytest.mark.parametrize("name", ["Bernoulli vector", "Categorical logits"])
@pytest.mark.parametrize("via", HARD)
def test_float32(via, name, key):
    via, formula = HARD[via]
    gradients = estimates(program(FAMILIES[name], CURVED, via), jnp.asarray(FAMILIES[name].theta, jnp.float32), key)[1]
    assert_mean_is(formula(FAMILIES[name], CURVED), gradients)


EXACT_FOR = [("StraightThrough", LINEAR), ("ReinMax", LINEAR), ("ReinMax", QUADRATIC)]


# 21 cases with 54 components: a false alarm in .4% of the keys.
@pytest.mark.few(10)
@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("name, cost", EXACT_FOR, ids=["ST-linear", "ReinMax-linear", "ReinMax-quadratic"])
def test_where_they_are_unbiased(name, cost, family, key, x64):
    via, formula = HARD[name]
    truth = exact_gradient(family, cost)
    np.testing.assert_allclose(formula(family, cost), truth, rtol=1e-8, atol=1e-9)  # the formula itself
    assert_mean_is(truth, estimates(program(family, cost, via), jnp.asarray(family.theta), key)[1])


# 2 components: a false alarm in .01% of the keys.
def test_straight_through_is_unbiased_for_a_product_of_elements(key, x64):
    """Linear in each element given the others is enough: E[z1 z2] = p1 p2."""
    theta = jnp.array([0.7, -0.5])

    def product(theta, *, key):
        return jnp.prod(sx.sample(key, dist.Bernoulli(logits=theta).to_event(1), via=sx.StraightThrough()))

    p = 1 / (1 + np.exp(-np.array([0.7, -0.5])))
    assert_mean_is(np.prod(p) * (1 - p), estimates(product, theta, key)[1])


# -- Gumbel-softmax: quadrature over the noise


TEMPERATURE = 0.9


def midpoints(start, stop, n):
    h = (stop - start) / n
    return start + h * (np.arange(n) + 0.5), h


def logistic_grid(breaks, n=40_000):
    """Points and weights of logistic noise, by the midpoint rule between the breaks (f(round(soft)) jumps there)."""
    points, weights = [], []
    ends = [-45.0, *breaks, 45.0]
    for start, stop in itertools.pairwise(ends):
        x, h = midpoints(start, stop, n)
        points.append(x)
        weights.append(h / (2 * np.cosh(x / 2)) ** 2)
    return np.concatenate(points), np.concatenate(weights)


def two_categories(family):
    """Relaxed weights, (n, 2), and probabilities, for the difference of two Gumbels, which is logistic."""
    a, b = family.logits(family.theta)[0]
    noise, weights = logistic_grid([a - b])
    second = 1 / (1 + np.exp(-(b - a + noise) / TEMPERATURE))
    return np.stack([1 - second, second], -1), weights


def three_categories(family, n=130):
    """The same for three Gumbels: the midpoint rule converges geometrically for so smooth a density."""
    x, h = midpoints(-4.0, 30.0, n)
    density = h * np.exp(-x - np.exp(-x))
    noise = np.stack(np.meshgrid(x, x, x, indexing="ij"), -1).reshape(-1, 3)
    weights = np.einsum("i,j,k->ijk", density, density, density).ravel()
    return softmax((family.logits(family.theta)[0] + noise) / TEMPERATURE), weights


def gumbel(family, cost, hard):
    """E[f(w)] and E[J(soft) f'(w)]/temperature, w the soft or the rounded weights."""
    soft, weights = (two_categories if family.logits(family.theta).shape[1] == 2 else three_categories)(family)
    w = np.eye(soft.shape[1])[np.argmax(soft, -1)] if hard else soft
    A = along(family)[0]
    g = cost.slope(w @ A)[:, None] * A
    d_logits = soft * (g - np.sum(soft * g, -1, keepdims=True)) / TEMPERATURE
    return weights @ cost.f(w @ A, np), to_theta(family, (weights @ d_logits)[None])


@pytest.mark.parametrize("grid", [two_categories, three_categories])
def test_the_quadrature_is_exact_enough(grid):
    family = FAMILIES["Categorical 2" if grid is two_categories else "Categorical logits"]
    soft, weights = grid(family)
    np.testing.assert_allclose(np.sum(weights), 1, rtol=1e-6)
    if grid is two_categories:
        np.testing.assert_allclose(weights @ (soft > 0.5), softmax(family.theta), rtol=1e-6)


RELAXED = [(name, False) for name in FAMILIES if "vector" not in name]
ROUNDED = [(name, True) for name in ("Bernoulli logits", "Bernoulli probs", "Categorical 2")]


# 8 cases with 22 components: a false alarm in .1% of the keys.
@pytest.mark.parametrize("name, hard", RELAXED + ROUNDED)
def test_gumbel_softmax_mean_is_the_integral_over_the_noise(name, hard, key, x64):
    family = FAMILIES[name]
    via = sx.GumbelSoftmax(TEMPERATURE, hard=hard)
    values, gradients = estimates(program(family, CURVED, via), jnp.asarray(family.theta), key)
    value, gradient = gumbel(family, CURVED, hard)
    assert_mean_is(value, values)
    assert_mean_is(gradient, gradients)
    assert_biased(family, gradient, gradients)


def test_gumbel_softmax_hard_draws_are_hard(key):
    def draws(name):
        family = FAMILIES[name]
        return np.asarray(
            sx.GumbelSoftmax(TEMPERATURE, hard=True).draw(key, family.make(jnp.asarray(family.theta, jnp.float32)))
        )

    assert set(draws("Bernoulli vector").tolist()) <= {0.0, 1.0}
    one_hot = draws("Categorical vector")
    assert one_hot.shape == (2, 3)
    np.testing.assert_array_equal(np.sort(one_hot, -1), [[0, 0, 1]] * 2)
