"""What the tests of the bridges compare with: plain NumPy in float64, sharing no code with spanax."""

import itertools

import jax
import numpy as np

import spanax as sx

DRAWS = 20_000


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - np.max(x, -1, keepdims=True))
    return e / np.sum(e, -1, keepdims=True)


def central_differences(f, x, step=1e-5):
    """The gradient of f, from NumPy arrays to numbers, with an error of about 1e-10."""
    x = np.asarray(x, np.float64)
    steps = step * np.eye(x.size).reshape(-1, *x.shape)
    return np.array([(f(x + h) - f(x - h)) / (2 * step) for h in steps]).reshape(x.shape)


def outcomes(table):
    """All values of a draw of m independent elements, (n, m), and their probabilities, (n,); table: (m, values)."""
    m, values = table.shape
    index = np.array(list(itertools.product(range(values), repeat=m)))
    return index, np.prod(table[np.arange(m), index], -1)


def estimates(f, theta, key, *, samples=1, draws=DRAWS):
    """Values, (draws,), and gradients, (draws, *theta), of `expectation(f)`, in float64."""
    once = jax.value_and_grad(sx.expectation(f, samples=samples))
    many = jax.jit(jax.vmap(lambda k: once(theta, key=k)))
    return [np.asarray(x, np.float64) for x in many(jax.random.split(key, draws))]


def standard_error(drawn):
    return np.std(drawn, 0) / np.sqrt(len(drawn))


def assert_mean_is(truth, drawn):
    """The mean of independent estimates is within 4 standard errors of the truth, in each component.

    The chance of a false alarm is 6.4e-5 for each component. So that it can fail, the largest component must
    stand at least 8 standard errors from 0: a sign flip, a factor of 2 or a lost half then stands out.
    """
    error = 4 * standard_error(drawn)
    assert np.all(np.isfinite(drawn))
    assert np.max(error) <= 0.5 * np.max(np.abs(truth)), "the test has no power: take more draws"
    np.testing.assert_array_less(np.abs(np.mean(drawn, 0) - truth), error + 1e-6 * np.max(np.abs(truth)))
