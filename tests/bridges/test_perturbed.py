"""Perturbed: unbiased, value and derivative, for the operation under Gaussian noise; and quiet where nothing jumps."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import spanax as sx
from spanax import hard

from ..hard import reference
from .reference import assert_mean_is

SIGMA, SAMPLES, DRAWS = 0.4, 8, 10_000
Phi, phi = stats.norm.cdf, stats.norm.pdf


class Program(NamedTuple):
    call: Any  # (x, **how) -> a number
    x: list
    mean: Any  # x -> E, in float64

    def gradient(self):
        return reference.differences(self.mean, self.x, 1e-4)


WEIGHTS = np.array([1.0, 2.0, 6.0])


def argmax_mean(x):
    return WEIGHTS @ reference.weights_of_the_largest(x, SIGMA, stats.norm)[0]


def rank_mean(x):
    beats = Phi((x[:, None] - x) / (SIGMA * np.sqrt(2)))
    return WEIGHTS @ (0.5 + np.sum(beats, -1))


def sort_mean(x):
    """Of two numbers: Clark 1961, equations 2 and 3."""
    d, spread = x[0] - x[1], SIGMA * np.sqrt(2)
    largest = x[0] * Phi(d / spread) + x[1] * Phi(-d / spread) + spread * phi(d / spread)
    return 2 * (x[0] + x[1] - largest) - largest


def histogram_mean(x):
    edges = np.array([0.0, 0.3, 0.7, 1.0])
    return np.sum(np.diff(Phi((edges - x[:, None]) / SIGMA)) @ WEIGHTS)


def each(f):
    return lambda x: np.sum([f(float(v)) for v in x])


def expectation(hard_value, breaks):
    return lambda x: float(reference.expectation(reference.Case("", None, hard_value, breaks), "gaussian", x, SIGMA))


PROGRAMS = {
    "heaviside": Program(
        lambda x, **how: jnp.sum(hard.heaviside(x, **how)), [0.1, -0.3], each(lambda x: Phi(x / SIGMA))
    ),
    "round": Program(
        lambda x, **how: jnp.sum(hard.round(x, **how)),
        [0.1, 0.6],
        each(expectation(np.round, lambda a, b: reference.integers(a, b) + 0.5)),
    ),
    "greater": Program(
        lambda x, **how: hard.greater(x[0], x[1], **how), [0.1, -0.3], lambda x: Phi((x[0] - x[1]) / SIGMA)
    ),
    "clip": Program(
        lambda x, **how: hard.clip(x[0], x[1], x[2], **how),
        [0.2, 0.0, 0.5],
        lambda x: expectation(lambda v: np.clip(v, x[1], x[2]), reference.at(x[1], x[2]))(x[0]),
    ),
    "maximum": Program(
        lambda x, **how: hard.maximum(x[0], x[1], **how),
        [0.1, 0.3],
        lambda x: x[1] + expectation(lambda v: np.maximum(v, 0), reference.at(0.0))(x[0] - x[1]),
    ),
    "argmax": Program(lambda x, **how: hard.argmax(x, **how) @ WEIGHTS.astype(x.dtype), [0.1, 0.5, 0.3], argmax_mean),
    "rank": Program(lambda x, **how: hard.rank(x, **how) @ WEIGHTS.astype(x.dtype), [0.1, 0.5, 0.3], rank_mean),
    "sort": Program(lambda x, **how: hard.sort(x, **how) @ jnp.array([2.0, -1.0], x.dtype), [0.1, 0.5], sort_mean),
    "histogram": Program(
        lambda x, **how: (
            hard.histogram(x, jnp.array([0.0, 0.3, 0.7, 1.0], x.dtype), **how)[0] @ WEIGHTS.astype(x.dtype)
        ),
        [0.1, 0.5],
        histogram_mean,
    ),
}


# 20 components of gradients and 9 values: a false alarm in .2% of the keys for the whole table.
@pytest.mark.few(4)
@pytest.mark.parametrize("name", PROGRAMS)
def test_unbiased_for_the_operation_under_noise(name, key, x64):
    program = PROGRAMS[name]
    via = sx.Perturbed(SIGMA, SAMPLES)
    once = jax.value_and_grad(lambda x, key: program.call(x, via=via, key=key))
    many = jax.jit(jax.vmap(once, (None, 0)))
    values, gradients = map(np.asarray, many(jnp.asarray(program.x), jax.random.split(key, DRAWS)))
    assert_mean_is(program.mean(np.array(program.x)), values)
    assert_mean_is(program.gradient(), gradients)


def test_rows_of_a_batch_have_their_own_noise(key):
    """And single precision, forward mode, an axis that is not the last."""
    x = jnp.tile(jnp.array(PROGRAMS["argmax"].x), (DRAWS, 1)).T
    f = lambda x: hard.argmax(x, 0, via=sx.Perturbed(SIGMA, SAMPLES), key=key)
    weights = f(x)
    assert weights.shape == (DRAWS, 3)
    assert_mean_is(argmax_mean(np.array(PROGRAMS["argmax"].x)), np.asarray(weights, np.float64) @ WEIGHTS)
    tangent = jax.jvp(f, (x,), (jnp.zeros_like(x).at[0].set(1),))[1]
    assert_mean_is(PROGRAMS["argmax"].gradient()[0], np.asarray(tangent, np.float64) @ WEIGHTS)


@pytest.mark.slow
def test_the_variance_vanishes_as_sigma_does(key):
    """Away from a tie: with pairs no step is crossed; one point at a time it is value times noise over sigma, 1/sigma^2."""
    f = lambda x, via, key: hard.argmax(x, via=via, key=key)[0]
    x, keys = jnp.array([0.1, 0.5, 0.3]), jax.random.split(key, 200)

    def spread(sigma):
        return float(jnp.max(jnp.var(jax.vmap(jax.grad(f), (None, None, 0))(x, sx.Perturbed(sigma, 8), keys), 0)))

    def without_pairs(sigma):
        def one(key):
            z = jax.random.normal(key, (8, 3))
            return jnp.mean(jax.vmap(lambda z: hard.argmin(x + sigma * z)[0])(z)[:, None] * z / sigma, 0)

        return float(jnp.max(jnp.var(jax.vmap(one)(keys), 0)))

    assert spread(0.3) > 0.01  # it does something where noise reaches a step
    assert spread(1e-2) == spread(1e-4) == 0
    assert without_pairs(1e-4) > 1e3 * without_pairs(1e-2) > 1


def test_infinities_do_not_change(key):
    via = sx.Perturbed(0.1, 4)
    for f in (
        hard.abs,
        lambda x, **how: hard.clip(x, -jnp.inf, jnp.inf, **how),
        lambda x, **how: hard.sort(jnp.stack([x, 0.0]), **how)[0],
    ):
        for x in (jnp.inf, -jnp.inf):
            assert np.isfinite(jax.grad(functools.partial(f, via=via, key=key))(x))


def test_a_key_is_needed():
    with pytest.raises(
        sx.SpanaxError, match=r"(?s)round via Perturbed\(sigma=0.1, samples=4\) needs a key.*key=key"
    ) as caught:
        hard.round(0.3, via=sx.Perturbed(0.1, 4))
    assert "test_perturbed.py" in caught.value.where
    for f in (lambda **how: hard.where(0.3, 1.0, 2.0, **how), lambda **how: hard.select([0.3], [1.0], **how)):
        with pytest.raises(sx.SpanaxError, match="needs a key"):
            f(via=sx.StraightThrough(sx.Perturbed(0.1, 4)))


@pytest.mark.parametrize("samples", [0, 1, 3, -2, 2.0, "4", None], ids=repr)
def test_samples_come_in_pairs(samples):
    with pytest.raises(sx.SpanaxError, match=r"(?s)Perturbed\(samples=.*even number") as caught:
        sx.Perturbed(0.1, samples)
    assert "test_perturbed.py" in caught.value.where


SECOND = {
    "grad of grad": lambda f: jax.grad(jax.grad(f)),
    "of jit": lambda f: jax.jit(jax.grad(jax.jit(jax.grad(jax.jit(f))))),
    "forward": lambda f: jax.jacfwd(jax.jacfwd(f)),
    "hessian": jax.hessian,
    "scan": lambda f: jax.grad(jax.grad(lambda x: jax.lax.scan(lambda c, _: (c + f(x), None), 0.0, None, 2)[0])),
    "vmap": lambda f: lambda x: jax.vmap(jax.grad(jax.grad(f)))(jnp.stack([x, x])),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("second", SECOND.values(), ids=SECOND)
@pytest.mark.parametrize("wrap", [lambda via: via, sx.StraightThrough], ids=["itself", "straight-through"])
def test_a_second_derivative_raises(second, wrap, key):
    """Also where the hard operation has none, so that nothing would tell that its slope depends on x."""
    via = wrap(sx.Perturbed(0.1, 4))
    for f in (
        lambda x: hard.round(x, via=via, key=key),
        lambda x: hard.argmax(jnp.stack([x, 0.3]), via=via, key=key)[0],
    ):
        with pytest.raises(sx.SpanaxError, match=r"(?s)second derivative through Perturbed.*Soft") as caught:
            second(f)(0.2)
        assert "test_perturbed.py" in caught.value.where


def test_a_derivative_by_sigma_raises(key):
    for f in (hard.heaviside, hard.relu):
        with pytest.raises(sx.SpanaxError, match=r"(?s)with respect to sigma.*stop_gradient"):
            jax.grad(lambda s, f=f: f(0.05, via=sx.Perturbed(s, 4), key=key))(0.1)
