"""Comparisons: exact truth values, also of large integers, and P(x1 - x2 + noise > 0) and its like."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import KERNELS, Case, at, check_relaxed, same

EDGE = 0.3
CASES = [
    Case("greater", lambda x, **how: hard.greater(x, EDGE, **how), lambda x: (x > EDGE) * 1.0, at(EDGE)),
    Case("less_equal", lambda x, **how: hard.less_equal(x, EDGE, **how), lambda x: (x <= EDGE) * 1.0, at(EDGE)),
    Case("greater, swapped", lambda x, **how: hard.greater(EDGE, x, **how), lambda x: (x < EDGE) * 1.0, at(EDGE)),
    Case(
        "isclose",
        lambda x, **how: hard.isclose(x, EDGE, 0.5, 0.25, **how),
        lambda x: (np.abs(x - EDGE) <= 0.4) * 1.0,
        at(-0.1, 0.7),
    ),
]
POINTS = [-1.0, -0.1, 0.0, 0.25, EDGE, 0.3125, 0.5, 0.7, 4.0]
NAMES = ["greater", "greater_equal", "less", "less_equal", "equal", "not_equal", "isclose"]
EXACT = {"nothing": None, "of Soft": sx.StraightThrough(sx.Soft(0.3))}
HALF = [x for x in NAMES if x not in ("equal", "not_equal")]


@pytest.mark.few(4)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_relaxed_value_and_derivatives(case, kernel, x64):
    for softness in (0.02, 0.3, 5.0):
        check_relaxed(case, kernel, POINTS, softness, jnp.float64)


@pytest.mark.few(1)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_relaxed_in_single_precision(case):
    check_relaxed(case, "gaussian", POINTS, 0.3, jnp.float32)


@pytest.mark.parametrize("pair", [("greater", "greater_equal"), ("less_equal", "less")])
def test_noise_meets_no_tie(pair):
    x = jnp.array([-1.0, EDGE, 2.0])
    same(*(getattr(hard, name)(x, EDGE, via=sx.Soft(0.3)) for name in pair))


@pytest.mark.parametrize("kernel", KERNELS)
def test_equality_is_the_density_by_its_peak(kernel, x64):
    density, x = KERNELS[kernel].pdf, np.array([-4.0, 0.0, 0.2, EDGE, 0.5, 1e3, np.inf, -np.inf])
    value, tangent = jax.jvp(lambda x: hard.equal(x, EDGE, via=sx.Soft(0.4, kernel)), (jnp.asarray(x),), (jnp.ones(8),))
    np.testing.assert_allclose(value, density((x - EDGE) / 0.4) / density(0), atol=1e-12)
    h, near = 1e-5, np.where(np.abs(x) < 9, x, 9)  # differences; at the peak of the Laplace density its derivative is 0
    truth = (density((near + h - EDGE) / 0.4) - density((near - h - EDGE) / 0.4)) / (2 * h * density(0))
    np.testing.assert_allclose(tangent, truth, atol=1e-8)
    np.testing.assert_allclose(hard.not_equal(jnp.asarray(x), EDGE, via=sx.Soft(0.4, kernel)), 1 - value, atol=1e-15)


LEFT = np.array([-np.inf, -np.inf, -np.inf, -0.0, 1.0, 1.0, 2.0, np.inf, np.inf, np.nan, np.nan, 1e8])
RIGHT = np.array([-np.inf, 0.0, np.inf, 0.0, 1.0, 1.0 + 1e-6, -2.0, np.inf, 3.0, np.nan, 1.0, 1e8 + 8])


@pytest.mark.few(7)
@pytest.mark.parametrize("via", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("name", NAMES)
def test_value_is_that_of_jax_numpy(name, via):
    for of in ("float32", "bfloat16"):
        x1, x2 = jnp.asarray(LEFT, of), jnp.asarray(RIGHT, of)
        same(getattr(hard, name)(x1, x2, via=via), getattr(jnp, name)(x1, x2).astype(of))
    out = getattr(hard, name)(x1[:, None], x2[None, :4], via=via)
    same(out, getattr(jnp, name)(x1[:, None], x2[None, :4]).astype(of))


@pytest.mark.parametrize("name", NAMES)
def test_value_of_integers_and_of_booleans(name):
    """Also of those that no float32 holds."""
    large = jnp.array([16777216, 16777217, 0]), jnp.array([16777217, 16777217, -1])
    for x1, x2 in (large, (jnp.array([True, False]), jnp.array([True, True])), (2, 3)):
        if name != "isclose":
            same(getattr(hard, name)(x1, x2), getattr(jnp, name)(x1, x2).astype(jnp.float32))
    assert hard.greater([1.0, 2.0], 1.5).tolist() == [0.0, 1.0]


def test_value_in_double_precision(x64):
    x = jnp.array([1.0, 1.0 + 1e-15, 1e8 + 0.1])
    for name in NAMES[:6]:
        out = getattr(hard, name)(x, jnp.array([1.0, 1.0, 1e8]), via=sx.StraightThrough(sx.Soft(0.1)))
        assert out.dtype == jnp.float64
        np.testing.assert_array_equal(out, getattr(np, name)(x, np.array([1.0, 1.0, 1e8])))


def test_isclose_of_nan_and_infinities():
    x = jnp.array([jnp.nan, jnp.inf, jnp.inf, 1.0])
    y = jnp.array([jnp.nan, jnp.inf, -jnp.inf, jnp.inf])
    assert hard.isclose(x, y).tolist() == [0, 1, 0, 0]
    assert hard.isclose(x, y, equal_nan=True).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("name", HALF)
def test_derivative_reaches_both_arguments(name):
    f = lambda x, y, via: getattr(hard, name)(x, y, via=via)
    for via in (sx.Soft(0.5), sx.StraightThrough(sx.Soft(0.5))):
        dx, dy = jax.grad(f, (0, 1))(0.7, 0.4, via)
        assert dx == -dy != 0


@pytest.mark.few(1)
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_derivative_is_finite(kernel):
    def all_of_them(x, y, s):
        fs = [functools.partial(getattr(hard, name), via=sx.Soft(s, kernel)) for name in NAMES]
        by_s = jax.jacfwd(lambda s: [getattr(hard, name)(x, y, via=sx.Soft(s, kernel)) for name in NAMES])(s)
        return [(f(x, y), jax.grad(f, (0, 1))(x, y), jax.grad(jax.grad(f))(x, y)) for f in fs], by_s

    x = jnp.array([np.inf, -np.inf, np.inf, 1.0, 0.5])
    y = jnp.array([np.inf, -np.inf, 1.0, np.inf, 0.5])
    outs = jax.jit(jax.vmap(all_of_them, (0, 0, None)))(x, y, 0.3)
    assert all(np.all(np.isfinite(out)) for out in jax.tree.leaves(outs))


def test_straight_through_is_the_difference():
    slopes = {
        name: jax.grad(lambda x, name=name: getattr(hard, name)(x, 0.0, via=sx.StraightThrough()))(1.0)
        for name in NAMES[:4]
    }
    assert slopes == {"greater": 1, "greater_equal": 1, "less": -1, "less_equal": -1}
    for name in NAMES[4:]:
        with pytest.raises(sx.SpanaxError, match=rf"(?s){name}.*identity.*StraightThrough\(Soft"):
            getattr(hard, name)(1.0, 0.0, via=sx.StraightThrough())


def test_the_tolerance_is_held_fixed():
    f = lambda b: hard.isclose(1.0, b, 0.1, 0.0, via=sx.Soft(0.2))
    h = 1e-2
    fixed = lambda b: hard.isclose(1.0, b, 0.0, 0.1 * 1.05, via=sx.Soft(0.2))
    np.testing.assert_allclose(jax.grad(f)(1.05), (fixed(1.05 + h) - fixed(1.05 - h)) / (2 * h), rtol=1e-2)
