"""Smoothing as a probing bridge: unbiased in every kind of direction, antithetic or not, with points dropped at random.

References: closed forms of the smoothed derivatives of a polynomial and of exp. Keys are fixed. About 60 comparisons within 4
standard errors: a false alarm in 250 whole runs.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spanax import SpanaxError
from spanax.bridges.smoothing import Smoothing
from spanax.smoothing import smooth

from .probes import agree, many

SIGMA = {"a": 0.5, "b": 0.3}
X = {"a": jnp.array([0.7, -1.2]), "b": jnp.array(0.4)}
CT = {"p": jnp.array([1.0, -0.5]), "q": jnp.array(2.0)}
KINDS = list(itertools.product(["orthogonal", "gaussian", "sobol", "coordinate"], [True, False]))


def f(x):
    """A cubic, a product, an exponential."""
    (s, t), b = x["a"], x["b"]
    return {"p": jnp.stack([s**3 + s * t, t**2 * b]), "q": jnp.exp(s - b)}


def smoothed_derivative(joint):
    """Of <CT, E[f]> at X: E[(s + z)^3] = s^3 + 3 s S^2, E[exp(s + z)] = exp(s + S^2/2). `joint`: all move, else one at a time."""
    s, t, b = 0.7, -1.2, 0.4
    S, B = SIGMA["a"] ** 2, SIGMA["b"] ** 2
    grown_s, grown_b = np.exp(s - b + (S + B) / 2 * np.ones(2)) if joint else np.exp(s - b + np.array([S, B]) / 2)
    return np.array(
        [
            3 * s**2 + 3 * S + t + 2 * grown_s,
            s - 0.5 * 2 * t * b,
            -0.5 * (t**2 + (S if joint else 0)) - 2 * grown_b,
        ]
    )


@pytest.mark.parametrize("directions, antithetic", KINDS)
def test_it_is_unbiased_for_the_smoothed_function(directions, antithetic, key):
    found = many(Smoothing(SIGMA, 5, directions, antithetic), f, X, CT, key, 20_000)
    agree(found, smoothed_derivative(joint=directions != "coordinate"))


@pytest.mark.parametrize("directions, antithetic", KINDS)
def test_dropping_points_at_random_keeps_it_unbiased(directions, antithetic, key):
    """The first direction is always kept, so that an estimate is left; NaN stands in the other rows that are dropped."""
    bridge, n = Smoothing(SIGMA, 4, directions, antithetic), 8 if antithetic else 4

    def one(key):
        for_points, for_drops = jax.random.split(key)
        kept = jax.random.bernoulli(for_drops, 0.7, (n,)) | (jnp.arange(n) % 4 == 0)
        points = bridge.points(X, for_points)
        values = jax.tree.map(
            lambda v: jnp.where(kept.reshape((-1,) + (1,) * (v.ndim - 1)), v, jnp.nan), jax.vmap(f)(points)
        )
        found = bridge.combine(X, points, values, CT, y=f(X), kept=kept)
        return jnp.concatenate([found["a"], found["b"][None]])

    found = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(key, 20_000)), float)
    agree(found, smoothed_derivative(joint=directions != "coordinate"))


@pytest.mark.parametrize("directions", ["orthogonal", "gaussian", "sobol", "coordinate"])
def test_without_antithetic_points_it_is_the_mean_of_the_differences_with_the_value(directions, key, x64):
    x, bridge = jnp.array([0.3, -1.0, 2.0]), Smoothing(0.2, 6, directions, antithetic=False)
    points = np.asarray(bridge.points(x, key), float)
    assert len(points) == 6
    values = np.round(3 * points) @ np.array([1.0, 2.0, -1.0])
    u = (points - np.asarray(x)) / 0.2
    expected = np.mean((values - 0.7)[:, None] * u, 0) / 0.2 * (3 if directions == "coordinate" else 1)
    np.testing.assert_allclose(bridge.combine(x, points, jnp.asarray(values), y=jnp.asarray(0.7)), expected, rtol=1e-9)


def test_coordinates_come_once_in_each_block(key):
    u = np.asarray(Smoothing(1.0, 12, "coordinate").points(jnp.zeros(5), key)[:12])
    assert np.all(np.sum(u != 0, axis=1) == 1)
    which = np.argmax(u != 0, axis=1)
    assert set(which[:5]) == set(which[5:10]) == set(range(5)) and which[10] != which[11]


def test_one_block_of_orthogonal_directions_is_as_long_as_it_can_be(key):
    u = np.asarray(Smoothing(1.0, 6).points(jnp.zeros(6), key)[:6], float)
    np.testing.assert_allclose(u @ u.T, np.diag(np.diag(u @ u.T)), atol=1e-5)
    v = np.asarray(Smoothing(1.0, 6, blocks=2).points(jnp.zeros(6), key)[:6], float)
    assert np.max(np.abs((v @ v.T)[:3, 3:])) > 0.1


@pytest.mark.parametrize("directions", ["gaussian", "coordinate"])
def test_a_guide_of_any_kind_keeps_it_unbiased(directions, key):
    guide = jax.tree.map(lambda leaf: 3 + 0 * leaf, X)
    bridge = Smoothing(SIGMA, 8, directions)

    def one(key):
        points = bridge.points(X, key)
        found = bridge.combine(X, points, jax.vmap(f)(points), CT, guide)
        return jnp.concatenate([found["a"], found["b"][None]])

    found = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(key, 20_000)), float)
    agree(found, smoothed_derivative(joint=directions != "coordinate"))


def test_dropped_pairs_have_no_weight_and_none_left_is_nan(key):
    bridge, x = Smoothing(0.1, 4), jnp.arange(3.0)
    points = bridge.points(x, key)
    values = jnp.sum(points**2, axis=1)
    kept = jnp.array([True, True, False, True, True, True, True, False])
    left = jnp.array([0, 1])
    alone = Smoothing(0.1, 2, "gaussian").combine(
        x, points[jnp.concatenate([left, left + 4])], values[jnp.concatenate([left, left + 4])]
    )
    found = bridge.combine(x, points, jnp.where(kept, values, jnp.nan), kept=kept)
    np.testing.assert_allclose(found, alone, rtol=1e-5)
    assert np.all(np.isnan(bridge.combine(x, points, values, kept=jnp.zeros(8, bool))))


def test_usable():
    bridge, single = Smoothing(0.1, 2), Smoothing(0.1, 2, antithetic=False)
    assert bridge.usable(np.array([True, False, True, False])) and not bridge.usable(
        np.array([True, False, False, True])
    )
    assert single.usable(np.array([False, True])) and not single.usable(np.array([False, False]))


ERRORS = {
    "draws random directions": lambda: Smoothing().points(jnp.zeros(2), None),
    "antithetic=1": lambda: Smoothing(antithetic=1),
    "blocks=0": lambda: Smoothing(blocks=0),
    "needs the value at x": lambda: estimate_without_value(),
    "a guide together with dropped points": lambda: Smoothing(0.1, 1).combine(
        jnp.zeros(2), jnp.ones((2, 2)), jnp.ones(2), guide=jnp.ones(2), kept=jnp.ones(2, bool)
    ),
    "which smooth does not evaluate": lambda: smooth(jnp.sum, via=Smoothing(antithetic=False)),
    "smoothed along one coordinate at a time": lambda: smooth(jnp.sum, via=Smoothing(directions="coordinate")),
}


def estimate_without_value():
    bridge, x = Smoothing(0.1, 2, antithetic=False), jnp.zeros(2)
    return bridge.combine(x, bridge.points(x, jax.random.key(0)), jnp.ones(2))


@pytest.mark.parametrize("words", ERRORS)
def test_errors(words):
    with pytest.raises(SpanaxError, match=words.replace("(", r"\(")):
        ERRORS[words]()


def test_facts_tell_the_evaluations():
    assert Smoothing().facts.evaluations == "2 pairs" and Smoothing(antithetic=False).facts.evaluations == "pairs"
    assert "each coordinate" in Smoothing(directions="coordinate").facts.unbiased_for
