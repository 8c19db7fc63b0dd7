"""`smooth` is unbiased for the derivative of E[f(x + sigma u)], whatever the directions and the guide are.

References: for one number, quadrature of f itself in float64; for vectors, the plain antithetic average over many
independent pairs, written in NumPy. Keys are fixed. A mean is compared along a few directions, within 4 standard errors of
both sides: about 400 comparisons, a false alarm in 40 whole runs.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax.bridges.smoothing import Smoothing
from spanax.smoothing import smooth
from tests.compiling import optimised

from .programs import MANY, ONE

PAIRS = 8
ALLOWED = 4.0


@functools.cache
def by_quadrature(name):
    """(value, derivative) of E[f(x + sigma u)]: the trapezoidal rule at points far closer than the jumps are."""
    case = ONE[name]
    with jax.enable_x64(True):
        u = np.linspace(-9, 9, 60_001)
        y = np.asarray(jax.jit(jax.vmap(case.f))(jnp.asarray(case.x + case.sigma * u)))
    weights = np.exp(-(u**2) / 2) / np.sqrt(2 * np.pi) * (u[1] - u[0])
    return np.sum(weights * y), np.sum(weights * y * u) / case.sigma


def agree(estimates, reference, error, directions):
    """Their mean and the reference along the directions, within the standard errors of both."""
    mean, along = np.mean(estimates, 0), estimates @ directions.T
    own = np.std(along, 0, ddof=1) / np.sqrt(len(estimates))
    theirs = np.sqrt(np.einsum("ij,jk,ik->i", directions, error, directions))
    z = directions @ (mean - reference) / np.sqrt(own**2 + theirs**2)
    assert np.all(np.abs(z) < ALLOWED), z
    assert np.all(own < 0.2 * np.max(np.abs(along.mean(0))) + 0.2 * np.linalg.norm(reference)), "too few draws to tell"


@functools.cache
def many(name, d):
    """The case, its values at a batch of points, a reference derivative and the covariance of its error."""
    case, random = MANY[name](d), np.random.default_rng(1)
    values = optimised(jax.vmap(case.f))
    u = random.normal(size=(12_000, d)).astype(np.float32)
    x = case.x.astype(np.float32)
    halves = [
        np.concatenate([np.asarray(values(x + s * part)) for part in np.split(u, 4)]) for s in (case.sigma, -case.sigma)
    ]
    F = (halves[0].astype(float) - halves[1])[:, None] / (2 * case.sigma) * u
    return case, values, F.mean(0), np.cov(F.T) / len(F)


@optimised
def points(via, x, keys):
    return jax.vmap(lambda k: via.points(x, k))(keys)


@optimised
def combine(via, x, X, Y, guide):
    return jax.vmap(lambda X, Y: via.combine(x, X, Y, guide=guide))(X, Y)


def estimates(case, values, via, guide, count, key):
    """`count` gradients by the two pure functions of the bridge."""
    x = jnp.asarray(case.x, jnp.float32)
    X = points(via, x, jax.random.split(key, count))
    Y = values(X.reshape(-1, x.size)).reshape(count, -1)
    return np.asarray(combine(via, x, X, Y, guide), float)


MODES = {
    5: [("orthogonal", "good"), ("gaussian", "bad"), ("sobol", "good")],
    20: [("orthogonal", None), ("orthogonal", "good"), ("gaussian", None), ("sobol", "bad")],
    100: [("orthogonal", "good"), ("gaussian", "good")],
}


@pytest.mark.few(6)
@pytest.mark.parametrize("d", MODES)
@pytest.mark.parametrize("name", MANY)
def test_vectors(name, d, key):
    case, values, reference, error = many(name, d)
    random = np.random.default_rng(2)
    guides = {None: None, "good": 1.2 * reference, "bad": 2 * random.normal(size=d) * np.linalg.norm(reference)}
    for mode, (directions, guide) in enumerate(MODES[d]):
        a = None if guide is None else jnp.asarray(guides[guide], jnp.float32)
        via = Smoothing(case.sigma, PAIRS, directions, blocks=2)
        found = estimates(case, values, via, a, {5: 1000, 20: 1000, 100: 600}[d], jax.random.fold_in(key, mode))
        along = np.stack([reference, guides["bad"], random.normal(size=d), np.eye(d)[0]])
        agree(found, reference, error, along)


@pytest.mark.few(6)
@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("mode", ["plain", "guide", "auto", "softened", "sobol"])
def test_one_number(name, mode, key):
    case = ONE[name]
    value, slope = by_quadrature(name)
    options = {
        "plain": {"control_variate": None},
        "guide": {"guide": jnp.asarray(1.3 * slope, jnp.float32)},
        "auto": {},
        "softened": {"control_variate": "softened"},
        "sobol": {"guide": jnp.asarray(-0.7 * slope, jnp.float32)},
    }[mode]
    via = Smoothing(case.sigma, PAIRS, "sobol" if mode == "sobol" else "orthogonal", blocks=2)
    g = jax.value_and_grad(smooth(case.f, via=via, **options))
    x = jnp.asarray(case.x, jnp.float32)
    values, slopes = jax.jit(jax.vmap(lambda k: g(x, key=k)))(jax.random.split(key, 2000))
    found = np.stack([np.asarray(values, float), np.asarray(slopes, float)], 1)
    agree(found, np.array([value, slope]), np.zeros((2, 2)), np.eye(2))
