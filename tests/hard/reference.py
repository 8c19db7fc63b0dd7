"""What the tests of the hard operations compare with: plain NumPy and SciPy in float64, sharing no code with spanax."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, stats

import spanax as sx

KERNELS = {
    "logistic": stats.logistic(scale=np.sqrt(3) / np.pi),
    "gaussian": stats.norm(),
    "laplace": stats.laplace(scale=np.sqrt(0.5)),
}
# Minus the derivative of the logarithm of the density.
SCORES = {
    "logistic": lambda e: np.pi / np.sqrt(3) * np.tanh(np.pi / np.sqrt(12) * e),
    "gaussian": lambda e: e,
    "laplace": lambda e: np.sqrt(2) * np.sign(e),
}
REACH = {"logistic": 26.0, "gaussian": 10.0, "laplace": 32.0}  # less than 1e-19 of the noise lies beyond
NODES, WEIGHTS = np.polynomial.legendre.leggauss(16)


class Case(NamedTuple):
    """An operation of one number: how it is called, what it is, and where between two numbers it has jumps or kinks."""

    name: str
    call: Callable[..., Any]  # call(x, via=..., key=...)
    hard: Callable[[np.ndarray], np.ndarray]  # (m,) -> (m, *out)
    breaks: Callable[[float, float], Any]

    def __repr__(self):
        return self.name


def integers(low, high):
    return np.arange(np.floor(low), np.ceil(high) + 1)


def at(*points):
    return lambda low, high: np.array(points)


def expectation(case, kernel, x, softness, weight=lambda e: np.ones_like(e)):
    """E[weight(e) hard(x + softness e)], by Gauss quadrature between all breaks."""
    reach = REACH[kernel]
    breaks = (np.asarray(case.breaks(x - reach * softness, x + reach * softness)) - x) / softness
    edges = np.unique(np.concatenate([np.linspace(-reach, reach, int(2 * reach) + 1), breaks]))
    edges = edges[np.abs(edges) <= reach]
    half = np.diff(edges) / 2
    e = (edges[:-1] + half)[:, None] + half[:, None] * NODES
    mass = half[:, None] * WEIGHTS * KERNELS[kernel].pdf(e) * weight(e)
    values = case.hard((x + softness * e).ravel())
    return np.tensordot(mass.ravel(), values, 1)


def slope(case, kernel, x, softness):
    """d/dx of the expectation: that of the hard value times the score."""
    return expectation(case, kernel, x, softness, SCORES[kernel]) / softness


def by_softness(case, kernel, x, softness):
    return expectation(case, kernel, x, softness, lambda e: e * SCORES[kernel](e) - 1) / softness


def curvature(case, kernel, x, softness):
    """By differences of the first derivative, with a relative error of about 1e-6."""
    h = 1e-3 * softness
    return (slope(case, kernel, x + h, softness) - slope(case, kernel, x - h, softness)) / (2 * h)


@functools.cache
def relaxed(case, kernel):
    """(x, softness) -> value, slope, curvature and derivative by the softness; x: (m,). The softness is traced."""

    def f(x, softness):
        return case.call(x, via=sx.Soft(softness, kernel))

    def all_of_them(x, softness):
        first = jax.jacfwd(f)
        return f(x, softness), first(x, softness), jax.jacfwd(first)(x, softness), jax.jacfwd(f, 1)(x, softness)

    return jax.jit(jax.vmap(all_of_them, (0, None)))


def check_relaxed(case, kernel, points, softness, dtype):
    """Value and derivatives of `Soft` against quadrature.

    In units of softness^-order, to 1e-8 in float64 (the second derivative to 1e-5, which is the error of the differences), and in
    float32 to 1e-5 for the value, 2e-5 for first derivatives and 1e-4 for the second.
    """
    outs = relaxed(case, kernel)(jnp.asarray([*points, np.inf, -np.inf], dtype), jnp.asarray(softness, dtype))
    _check_infinities(case, [out[-2:] for out in outs])
    outs = [out[:-2] for out in outs]
    exact = [
        np.array([f(case, kernel, float(dtype(x)), float(dtype(softness))) for x in points])
        for f in (expectation, slope, curvature, by_softness)
    ]
    assert all(out.dtype == dtype for out in outs)
    # The second derivative of Laplace noise does not exist at a break.
    breaks = np.isin(points, case.breaks(min(points) - 1, max(points) + 1)) & (kernel == "laplace")
    tolerances = (1e-8, 1e-8, 1e-5, 1e-8) if dtype == jnp.float64 else (1e-5, 2e-5, 1e-4, 2e-5)
    for out, truth, order, tolerance in zip(outs, exact, (0, 1, 2, 1), tolerances, strict=True):
        assert np.all(np.isfinite(out))
        keep = ~breaks if order == 2 else slice(None)
        scale = (1 + np.max(np.abs(exact[0]))) * max(softness**-order, 1.0)
        np.testing.assert_allclose(out[keep], truth[keep], rtol=0, atol=tolerance * scale)


def _check_infinities(case, outs):
    """The hard value; a finite derivative; nothing else moves."""
    value, first, second, of_softness = outs
    np.testing.assert_array_equal(value, case.hard(np.array([np.inf, -np.inf])))
    assert np.all(np.isfinite(first))
    np.testing.assert_array_equal(second, 0)
    np.testing.assert_array_equal(of_softness, 0)


def same(out, expected):
    """Bit by bit, whatever the dtype: -0 is not 0, and NaN is NaN."""
    assert out.dtype == expected.dtype and out.shape == expected.shape
    out, expected = (np.asarray(x).astype(np.float64) for x in (out, expected))
    np.testing.assert_array_equal(out, expected)
    keep = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(out[keep]), np.signbit(expected[keep]))


# -- the largest of several, under independent noise on each


def weights_of_the_largest(x, softness, noise):
    """P(x_i + softness e_i is the largest) and E of the largest, by the trapezoidal rule; noise: of SciPy, with deviation 1."""
    t = np.linspace(np.min(x) - 12 * softness, np.max(x) + 40 * softness, 20_001)[:, None]
    z = (t - x) / softness
    logs = noise.logcdf(z)
    density = noise.pdf(z) / softness * np.exp(np.sum(logs, -1, keepdims=True) - logs)
    step = t[1, 0] - t[0, 0]
    return step * np.sum(density, 0), step * np.sum(density * t)


GUMBEL = stats.gumbel_r(loc=-np.euler_gamma * np.sqrt(6) / np.pi, scale=np.sqrt(6) / np.pi)


# -- order statistics, in n^2


def soft_rank(x, softness):
    """1/2 + sum_j F((x_i - x_j) / softness)."""
    return 0.5 + np.sum(KERNELS["laplace"].cdf((x[:, None] - x) / softness), -1)


def soft_rank_slope(x, softness):
    """d rank_i / d x_j."""
    density = KERNELS["laplace"].pdf((x[:, None] - x) / softness) / softness
    return np.diag(np.sum(density, -1)) - density


def soft_quantile(x, softness, level):
    """The t with sum_j F((t - x_j) / softness) = level, by bisection and its like."""

    def excess(t):
        return np.sum(KERNELS["laplace"].cdf((t - x) / softness)) - level

    reach = 40 * softness
    return optimize.brentq(excess, np.min(x) - reach, np.max(x) + reach, xtol=1e-14, rtol=1e-15)


def soft_sort(x, softness):
    return np.array([soft_quantile(x, softness, k + 0.5) for k in range(len(x))])


def soft_sort_slope(x, softness):
    """d sorted_k / d x_j: the density at x_j, as a share."""
    t = soft_sort(x, softness)
    exponent = -np.sqrt(2) * np.abs(t[:, None] - x) / softness
    density = np.exp(exponent - np.max(exponent, -1, keepdims=True))
    return density / np.sum(density, -1, keepdims=True)


def soft_permutation(x, softness):
    """Row k: P(x_j + noise lies between the quantiles at k and at k + 1, of n)."""
    bounds = [-np.inf, *(soft_quantile(x, softness, k) for k in range(1, len(x))), np.inf]
    return np.diff(KERNELS["laplace"].cdf((np.array(bounds)[:, None] - x) / softness), axis=0)


def differences(f, x, step=1e-5):
    """df/dx, (*out, *x), by central differences of fourth order; x in float64."""
    x = np.asarray(x, np.float64)
    columns = []
    for i in np.ndindex(x.shape):
        h = np.zeros_like(x)
        h[i] = step
        columns.append((8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * step))
    return np.moveaxis(np.array(columns), 0, -1).reshape(np.shape(f(x)) + x.shape)
