"""SPSA: unbiased for what it says, also with pairs dropped at random. 12 comparisons: a false alarm in 1300 whole runs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.bridges.spsa import SPSA

from .probes import agree, estimate, many

STEP = {"a": jnp.array([0.5, 0.2]), "b": 0.4}
X = {"a": jnp.array([0.7, -1.2]), "b": jnp.array(0.4)}
CT = jnp.array([1.0, -0.5])


def f(x):
    (s, t), b = x["a"], x["b"]
    return jnp.stack([s**3 * t + b * s**2, jnp.exp(s - b) * t])


def averaged_slope():
    """E over t uniform in [-step_i, step_i] and the others' signs of df/dx_i, by enumeration and Gauss-Legendre quadrature."""
    x, step = np.array([0.7, -1.2, 0.4]), np.array([0.5, 0.2, 0.4])

    def slope(x):
        s, t, b = x
        first = np.array([3 * s**2 * t + 2 * b * s, s**3, s**2])
        return first - 0.5 * np.array([np.exp(s - b) * t, np.exp(s - b), -np.exp(s - b) * t])

    nodes, weights = np.polynomial.legendre.leggauss(20)
    total = np.zeros(3)
    for i in range(3):
        for signs in itertools.product([-1, 1], repeat=3):
            for node, weight in zip(nodes, weights / 2, strict=True):
                move = np.array(signs) * step
                move[i] = node * step[i]
                total[i] += weight * slope(x + move)[i] / 8
    return total


@pytest.mark.parametrize("samples", [1, 3])
def test_it_is_unbiased_for_the_averaged_slope(samples, key):
    agree(many(SPSA(STEP, samples), f, X, CT, key, 20_000), averaged_slope())


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_dropping_points_at_random_keeps_it_unbiased(share, key):
    kept = lambda key: jax.random.bernoulli(key, share, (8,)) | (jnp.arange(8) % 4 == 0)
    agree(many(SPSA(STEP, 4), f, X, CT, key, 20_000, kept), averaged_slope())


def test_it_is_the_formula_and_dropped_rows_reach_nothing(key, dtype):
    x, bridge = jnp.array([0.5, -2.0, 30.0], dtype), SPSA(0.01, 4)
    points = bridge.points(x, key)
    values = jnp.sin(points[:, :2])
    kept = np.array([1, 1, 0, 1, 1, 1, 1, 0], bool)
    holes = jnp.where(kept[:, None], values, jnp.nan)
    back = lambda ct: bridge.combine(x, points, holes, ct, kept=jnp.asarray(kept))
    ct, left = jnp.array([1.0, -0.5], dtype), [0, 1]
    change = np.asarray((values[:4] - values[4:]) @ ct)[left]
    expected = np.mean(change[:, None] / np.asarray(points[:4] - points[4:])[left], 0)
    np.testing.assert_allclose(back(ct), expected, rtol=1e-4)
    J = np.stack([back(row) for row in jnp.eye(2, dtype=dtype)])
    (forward,) = jax.linear_transpose(back, jnp.zeros(2, dtype))(jnp.ones(3, dtype))
    np.testing.assert_allclose(forward, J.sum(1), rtol=1e-4)
    assert back(ct).dtype == dtype
    assert np.all(np.isnan(bridge.combine(x, points, holes, kept=jnp.zeros(8, bool))))


def test_sizes_of_none_and_one_and_vmap(key):
    x = {"none": jnp.zeros((0,)), "one": jnp.array([2.0])}
    g = lambda x: x["one"][0] ** 2
    found = jax.vmap(lambda k: estimate(SPSA(0.1), g, x, key=k))(jax.random.split(key, 5))
    assert found["none"].shape == (5, 0)
    np.testing.assert_allclose(found["one"], 4.0, rtol=1e-4)


def test_usable_and_facts():
    assert SPSA(0.1, 2).usable(np.array([True, False, True, False])) and not SPSA(0.1).usable(np.array([True, False]))
    assert SPSA(0.1, 3).facts.evaluations == "2 samples"


ERRORS = {
    "draws random directions": lambda: SPSA(0.1).points(jnp.zeros(2), None),
    "samples=0": lambda: SPSA(0.1, 0),
    "step=0": lambda: SPSA(0),
    "too small for x": lambda: SPSA(1e-3).points(jnp.full(2, 1e6, jnp.float32), jax.random.key(0)),
}


@pytest.mark.parametrize("words", ERRORS)
def test_errors(words):
    with pytest.raises(SpanaxError, match=words):
        ERRORS[words]()
