"""quantile, percentile and median."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from . import reference

X = jnp.array([[3.0, -1.0, 3.0, 0.5, 8.0], [jnp.inf, 0.0, -jnp.inf, jnp.inf, 1.0], [2.0, 2.0, 2.0, 2.0, 2.0]])
Q = jnp.array([0.0, 0.1, 0.25, 0.5, 0.6, 0.9, 1.0])
METHODS = ["linear", "lower", "higher", "midpoint", "nearest"]
EXACT = [None, sx.StraightThrough(sx.Soft(0.3))]


@pytest.mark.parametrize("method", METHODS)
def test_quantile_is_that_of_jax_numpy(method):
    rows = X.at[1].set(jnp.array([jnp.nan, 0.0, -1.0, 2.0, 1.0]))
    for x, axis, keepdims in ((X[::2], None, False), (X[::2], 0, True), (rows, -1, False)):
        how = {"axis": axis, "method": method, "keepdims": keepdims}
        ours = jax.jit(lambda x, q, how=how: [hard.quantile(x, q, **how, via=via) for via in EXACT])
        theirs = jax.jit(lambda x, q, how=how: jnp.quantile(x, q, **how))
        for q in (Q, Q[3]):
            expected = theirs(x, q)
            for out in ours(x, q):  # the compiler drops what is only for a derivative
                np.testing.assert_allclose(out, expected, rtol=1e-6)
                assert out.shape == expected.shape and out.dtype == expected.dtype


def test_several_axes_of_q():
    q = Q[:6].reshape(2, 3)
    np.testing.assert_array_equal(hard.quantile(X[::2], q, 1), hard.quantile(X[::2], q.ravel(), 1).reshape(2, 3, 2))


def test_infinities_are_values_like_others():
    exact, soft = jax.jit(lambda x, q: [hard.quantile(x, q, via=via) for via in (None, sx.Soft(0.3))])(X[1], Q[::3])
    assert exact.tolist() == [-jnp.inf, 1, jnp.inf]
    assert soft.tolist()[::2] == [-jnp.inf, jnp.inf]


@pytest.mark.parametrize("of", ["float16", "bfloat16", "int32"])
def test_other_precisions(of):
    x = jnp.asarray(np.random.default_rng(0).permutation(600) % 250, of)
    out = hard.quantile(x, 0.37)
    assert out.dtype == (of if of != "int32" else jnp.float32)
    np.testing.assert_allclose(float(out), np.quantile(np.asarray(x, np.float64), 0.37), rtol=1e-2)


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_percentile_and_median(axis, keepdims):
    x = X[::2]
    np.testing.assert_allclose(
        hard.percentile(x, 37, axis, "linear", keepdims), jnp.percentile(x, 37.0, axis, keepdims=keepdims), rtol=1e-6
    )
    np.testing.assert_allclose(hard.median(x, axis, keepdims), jnp.median(x, axis, keepdims=keepdims), rtol=1e-6)


def test_derivative_without_a_bridge_is_that_of_jax():
    x = X[0] + jnp.arange(5.0) / 8
    for q in (0.1, 0.37):
        for method in METHODS:
            ours = jax.grad(hard.quantile, (0, 1))(x, q, None, method)
            theirs = jax.grad(functools.partial(jnp.quantile, method=method), (0, 1))(x, q)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, atol=1e-6)


@functools.cache
def relaxed(method):
    f = lambda x, q, s: hard.quantile(x, q, None, method, via=sx.Soft(s))
    return jax.jit(lambda x, q, s: (f(x, q, s), jax.jacrev(f, (0, 1, 2))(x, q, s), jax.jacfwd(jax.jacrev(f))(x, q, s)))


@pytest.mark.parametrize("q", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("method", METHODS)
def test_relaxed_value_and_derivatives(method, q, x64):
    """The same interpolation between the soft order statistics."""
    x, s = np.array([0.3, 0.1, 0.25, -0.2, 0.9]), 0.2

    def truth(x, s):
        return np.quantile(reference.soft_sort(x, s), q, method=method)

    value, (by_x, by_q, by_softness), second = relaxed(method)(jnp.asarray(x), q, s)
    np.testing.assert_allclose(value, truth(x, s), atol=1e-12)
    np.testing.assert_allclose(by_x, reference.differences(lambda x: truth(x, s), x, 1e-5), atol=1e-7)
    np.testing.assert_allclose(by_softness, reference.differences(lambda s: truth(x, float(s)), s, 1e-4), atol=1e-7)
    assert np.isfinite(by_q) and np.all(np.isfinite(second))
    if method == "linear" and q == 0.3:
        np.testing.assert_allclose(by_q, 4 * np.diff(reference.soft_sort(x, s))[1], atol=1e-10)


@pytest.mark.parametrize("via", [sx.Soft(0.2), sx.StraightThrough(sx.Soft(0.2))], ids=repr)
def test_derivative_by_q_counts_once(via, x64):
    x = jnp.array([0.0, 1.0, 5.0])
    slope = jax.jit(jax.grad(lambda q: hard.quantile(x, q, via=via)))(0.3)
    np.testing.assert_allclose(slope, 2 * np.diff(reference.soft_sort(np.asarray(x), 0.2))[0], atol=1e-10)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: hard.quantile(X, 0.5, method="cubic"), r"(?s)quantile with method='cubic'.*nearest"),
        (lambda: hard.median(jnp.zeros(0)), r"median with no entries"),
        (lambda: hard.percentile(jnp.zeros((2, 0)), 50, 1), r"percentile with no entries"),
        (lambda: hard.median(X, 2), r"median of axis 2"),
        (lambda: hard.median(X, (0, 1)), r"median of axis \(0, 1\)"),
    ],
)
def test_what_is_refused(make, match):
    with pytest.raises(sx.SpanaxError, match=match) as caught:
        make()
    assert caught.value.remedies and "test_quantiles.py" in caught.value.where
