"""searchsorted, bincount and histogram."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import KERNELS, Case, at, check_relaxed, differences, same

EDGES = np.array([-0.5, 0.25, 0.25, 1.0])


def places(x):
    return (np.searchsorted(EDGES, x)[:, None] == np.arange(5)) * 1.0


def bins(x):
    return ((x[:, None] >= EDGES[:-1]) & (x[:, None] < EDGES[1:])) * 1.0


CASES = [
    Case("searchsorted", lambda x, **how: hard.searchsorted(EDGES.astype(x.dtype), x, **how), places, at(*EDGES)),
    Case("histogram", lambda x, **how: hard.histogram(x, EDGES.astype(x.dtype), **how)[0], bins, at(*EDGES)),
    Case(
        "bincount",
        lambda x, **how: hard.bincount(x[None], jnp.full(1, 2.0, x.dtype), length=3, **how),
        lambda x: (np.round(x)[:, None] == np.arange(3)) * 2.0,
        lambda low, high: np.arange(-0.5, 3),
    ),
]


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "case, kernel", [(c, k) for c in CASES for k in KERNELS if c is CASES[0] or k == "gaussian"], ids=repr
)
def test_relaxed_value_and_derivatives(case, kernel, x64):
    for softness in (0.05, 0.6):
        check_relaxed(case, kernel, [-0.9, -0.5, 0.0, 0.25, 0.6, 1.0, 1.5, 2.0, 7.0], softness, jnp.float64)


# -- searchsorted


@pytest.mark.few(2)
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("via", [None, sx.StraightThrough(sx.Soft(0.1))], ids=repr)
def test_searchsorted_is_that_of_jax_numpy(side, via):
    edges, x = jnp.asarray(EDGES, jnp.float32), jnp.array([[-jnp.inf, -0.5, 0.25], [1.0, jnp.inf, jnp.nan]])
    f = jax.jit(lambda a, v: hard.searchsorted(a, v, side, via=via))  # the compiler drops what is only for a derivative
    for a, v in ((edges, x), (edges, x[0, 1]), (jnp.array([1, 3]), jnp.array([[0, 1, 2, 3, 4]])), (jnp.zeros(0), x)):
        same(f(a, v), jax.nn.one_hot(jnp.searchsorted(a, v, side=side), a.shape[0] + 1))


@pytest.mark.parametrize("via", [sx.Soft(0.2), sx.StraightThrough(sx.Soft(0.2))], ids=repr)
def test_derivative_reaches_the_edges(via, x64):
    table = jnp.array([1.0, -2.0, 4.0])
    f = lambda a, v, via: hard.take(table, hard.searchsorted(a, v, via=via))
    a = np.array([0.1, 0.3])
    soft = jax.jit(f)
    truth = differences(lambda a: np.asarray(soft(jnp.asarray(a), 0.2, sx.Soft(0.2))), a, 1e-3)
    da, dv = jax.jit(jax.grad(f, (0, 1)))(jnp.asarray(a), 0.2, via)
    np.testing.assert_allclose(da, truth, atol=1e-8)
    np.testing.assert_allclose(dv, -np.sum(da), rtol=1e-12)  # only differences count


def test_infinite_edges_catch_everything():
    a = jnp.array([-jnp.inf, 0.0, jnp.inf])
    for v in (0.3, jnp.inf, -jnp.inf):
        f = lambda v, s: hard.searchsorted(a, v, via=sx.Soft(s))
        np.testing.assert_allclose(np.sum(f(v, 0.1)), 1)
        assert all(np.all(np.isfinite(d)) for d in jax.jacrev(f, (0, 1))(v, 0.1))


# -- histogram

DATA = jnp.array([[0.1, 0.4, 0.9, 0.4], [1.0, 0.0, 0.5, 0.25]])


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "how",
    [{}, {"bins": 4}, {"bins": 3, "range": (0.1, 0.9)}, {"bins": jnp.array([0.0, 0.4, 0.5, 1.0])}, {"density": True}],
    ids=str,
)
def test_histogram_is_that_of_jax_numpy(how):
    weights = jnp.arange(8.0).reshape(2, 4)
    for via in (None, sx.StraightThrough(sx.Soft(0.1))):
        for extra in ({}, {"weights": weights}):
            for out, expected in zip(
                hard.histogram(DATA, **how, **extra, via=via), jnp.histogram(DATA, **how, **extra), strict=True
            ):
                np.testing.assert_allclose(out, expected, rtol=1e-6)
    same(hard.histogram(jnp.array([1, 2, 2]), 2)[0], jnp.histogram(jnp.array([1, 2, 2]), 2)[0])
    same(hard.histogram(jnp.ones(3), 2)[0], jnp.histogram(jnp.ones(3), 2)[0])


@pytest.mark.parametrize("density", [False, True])
def test_derivative_counts_the_edges_that_move(density, x64):
    x = np.array([0.1, 0.4, 0.9, 0.55])
    f = jax.jit(lambda x: jnp.sin(hard.histogram(x, 3, density=density, via=sx.Soft(0.2))[0]) @ jnp.arange(1.0, 4))
    np.testing.assert_allclose(
        jax.grad(f)(jnp.asarray(x)), differences(lambda x: np.asarray(f(jnp.asarray(x))), x, 1e-3), atol=1e-8
    )


def test_weights_have_a_derivative():
    f = lambda w: hard.histogram(jnp.array([0.1, 0.6]), 2, (0.0, 1.0), w, via=sx.StraightThrough(sx.Soft(0.1)))[0]
    np.testing.assert_array_equal(jax.jacrev(f)(jnp.ones(2)), np.eye(2))


# -- bincount


def test_bincount_is_that_of_jax_numpy():
    x, weights = jnp.array([0, 1, 1, 4, 9]), jnp.arange(5.0)
    np.testing.assert_array_equal(hard.bincount(x, length=5), jnp.bincount(x, length=5))
    np.testing.assert_array_equal(hard.bincount(x, weights, length=5), jnp.bincount(x, weights, length=5))
    np.testing.assert_array_equal(hard.bincount(jnp.array([-1.0, 0.6, jnp.inf]), length=2), [0, 1])
    assert hard.bincount(jnp.zeros(0), length=3).tolist() == [0, 0, 0]


# -- what is refused


def via_perturbed(f):
    return lambda *args: f(*args, via=sx.Perturbed(0.1, 4), key=jax.random.key(0))


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: hard.bincount(jnp.zeros((2, 2)), length=2), r"bincount of x \[2, 2\]"),
        (lambda: hard.bincount(jnp.zeros(2), jnp.ones(3), length=2), r"weights \[3\]"),
        (lambda: hard.histogram(jnp.zeros(4), weights=jnp.ones(3)), r"histogram of a \[4\] and weights \[3\]"),
        (
            lambda: jax.grad(lambda a: via_perturbed(hard.searchsorted)(a, 0.3)[0])(jnp.zeros(2)),
            r"(?s)searchsorted with respect to its edges, via Perturbed.*stop_gradient",
        ),
        (
            lambda: jax.grad(lambda x: via_perturbed(hard.histogram)(x, 2)[0][0])(jnp.arange(2.0)),
            r"(?s)histogram with respect to its edges, via Perturbed.*range=",
        ),
    ],
    ids=["two axes", "weights", "histogram weights", "edges", "moving edges"],
)
def test_what_is_refused(make, match):
    with pytest.raises(sx.SpanaxError, match=match) as caught:
        make()
    assert caught.value.remedies and "test_counts.py" in caught.value.where


@pytest.mark.parametrize(
    "call, match",
    [
        (lambda: hard.searchsorted(jnp.ones((2, 2)), 0.5), r"shape \[2, 2\]"),
        (lambda: hard.searchsorted(jnp.ones(2), 0.5, "middle"), "'middle'"),
        (lambda: hard.select([True, False], [1.0]), "2 conditions and 1 choices"),
    ],
)
def test_what_does_not_fit_is_refused(call, match):
    with pytest.raises(sx.SpanaxError, match=match) as caught:
        call()
    assert caught.value.remedies and "test_counts.py" in caught.value.where
