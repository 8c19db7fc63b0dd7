"""Logic of truth weights, and where, select: exact at 0 and 1, multilinear between, and blind to a branch that is not taken."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import differences, same

LOGIC = {
    "logical_and": lambda x, y: x * y,
    "logical_or": lambda x, y: 1 - (1 - x) * (1 - y),
    "logical_xor": lambda x, y: x * (1 - y) + (1 - x) * y,
}
BAD = [np.inf, -np.inf, np.nan]


@pytest.mark.parametrize("name", LOGIC)
def test_of_truth_values_it_is_that_of_jax_numpy(name):
    x, y = jnp.array([True, True, False, False]), jnp.array([True, False, True, False])
    expected = getattr(jnp, name)(x, y).astype(jnp.float32)
    for via in (None, sx.StraightThrough(), sx.StraightThrough(sx.Soft(0.1)), sx.Soft(1e-3)):
        same(getattr(hard, name)(x, y, via=via), expected)
        same(getattr(hard, name)(x.astype(jnp.float32), y, via=via), expected)
    same(getattr(hard, name)(x.astype(jnp.bfloat16), y), expected.astype(jnp.bfloat16))
    assert getattr(hard, name)(True, False) == float(getattr(np, name)(True, False))


@pytest.mark.parametrize("name", LOGIC)
def test_of_weights_it_is_the_probability_with_its_derivative(name):
    for x, y in itertools.product((0.0, 0.3, 1.0), (0.0, 0.6, 1.0)):
        value, slope = jax.value_and_grad(lambda p: getattr(hard, name)(p[0], p[1]))(jnp.array([x, y]))
        np.testing.assert_allclose(value, LOGIC[name](x, y), atol=1e-7)
        np.testing.assert_allclose(slope, differences(lambda p: LOGIC[name](*p), [x, y]), atol=1e-6)


def test_logical_not():
    assert hard.logical_not(jnp.array([True, False])).tolist() == [0, 1]
    assert jax.value_and_grad(hard.logical_not)(0.25) == (0.75, -1)
    assert hard.logical_not(0.7, via=sx.StraightThrough()) == 0


@pytest.mark.parametrize("name", ["all", "any"])
def test_all_and_any_are_of_independent_events(name):
    truth = jnp.array([[True, True, False], [True, True, True], [False, False, False]])
    for axis, keepdims in ((None, False), (0, False), (-1, True), ((0, 1), False)):
        expected = getattr(jnp, name)(truth, axis, keepdims=keepdims).astype(jnp.float32)
        for via in (None, sx.StraightThrough(), sx.Soft(1e-3)):
            same(getattr(hard, name)(truth, axis, keepdims, via=via), expected)
    chance = {"all": np.prod, "any": lambda p: 1 - np.prod(1 - p)}[name]
    for p in ([0.3, 0.6, 0.9], [0.0, 0.6, 0.0], [1.0, 1.0, 0.2]):
        value, slope = jax.value_and_grad(getattr(hard, name))(jnp.array(p))
        np.testing.assert_allclose(value, chance(np.array(p)), atol=1e-6)
        np.testing.assert_allclose(slope, differences(chance, p), atol=1e-6)


def test_a_bridge_makes_weights_hard_again():
    via = sx.StraightThrough(sx.Soft(0.2))
    value, slope = jax.value_and_grad(lambda x, y: hard.logical_and(x, y, via=via), (0, 1))(0.7, 0.8)
    density = jax.grad(lambda x: hard.greater(x, 0.5, via=via))
    assert value == 1
    np.testing.assert_allclose(slope, [density(0.7), density(0.8)])  # each times the other, which is 1
    noisy = hard.logical_or(0.5, 0.5, via=sx.Perturbed(0.1, 2000), key=jax.random.key(0))
    # P(at least one of two independent coins) = 3/4, each pair antithetic: shared noise would give 1/2.
    np.testing.assert_allclose(noisy, 0.75, atol=1e-6)


# -- what is not a chance

OF_ONE = {
    "logical_not": hard.logical_not,
    "logical_and": lambda w, **how: hard.logical_and(w, 0.5, **how),
    "logical_or": lambda w, **how: hard.logical_or(0.5, w, **how),
    "logical_xor": lambda w, **how: hard.logical_xor(w, True, **how),
    "all": lambda w, **how: hard.all(jnp.stack([jnp.asarray(w), jnp.asarray(w)]), **how),
    "any": lambda w, **how: hard.any(jnp.stack([jnp.asarray(w), jnp.asarray(w)]), 0, **how),
    "where": lambda w, **how: hard.where(w, 3.0, 5.0, **how),
    "select": lambda w, **how: hard.select([w, False], [3.0, 4.0], 5.0, **how),
}
OUTSIDE = [1.7, -0.2, np.inf, -np.inf, 2, -1, np.float16(1.5), np.float64(1.01)]


@pytest.mark.parametrize("name", OF_ONE)
def test_a_weight_outside_is_refused_where_it_is_known(name):
    f = OF_ONE[name]
    for via in (None, sx.StraightThrough(), sx.Soft(0.1)):
        for w in OUTSIDE:
            with pytest.raises(sx.SpanaxError, match=r"outside \[0, 1\]\n  at .*test_logic"):
                f(w, via=via)
        with pytest.raises(sx.SpanaxError, match="outside"):
            jax.grad(lambda w: f(w, via=via))(1.2)  # noqa: B023
    for w in (jnp.asarray(1.7, jnp.bfloat16), np.array([0.5, 1.5]), jnp.array([0.5, -0.5])):
        with pytest.raises(sx.SpanaxError, match="outside"):
            f(w)


@pytest.mark.parametrize("name", OF_ONE)
def test_a_traced_weight_outside_is_clipped(name):
    """With the derivative of the clipped function; at 0 and 1, and where only rounding leads out, with that inside."""
    f = OF_ONE[name]
    off = 4e-7
    w = jnp.array([-np.inf, -3.0, -off, 0.0, 0.4, 1.0, 1.0 + off, 1.2, np.inf, np.nan])
    inside = jnp.clip(w[:-1], 0, 1)
    run = jax.jit(jax.vmap(lambda w: (f(w), jax.jvp(f, (w,), (jnp.ones(()),))[1], jax.grad(f)(w))))
    (values, forward, reverse), (expected, slopes, _) = run(w), run(inside)
    np.testing.assert_allclose(values[:-1], expected, rtol=1e-6)
    assert np.isnan(values[-1])
    kept = np.array([0, 0, 1, 1, 1, 1, 1, 0, 0], bool)
    for slope in (forward, reverse):
        np.testing.assert_allclose(slope[:-1], np.where(kept, slopes, 0), rtol=1e-6)
    assert jax.jit(f)(jnp.asarray(7)) == f(1)


def test_what_rounding_takes_out_is_a_weight():
    for w, inside in ((1 + 1e-7, 1.0), (-1e-7, 0.0)):
        assert hard.logical_not(w) == 1 - inside
        assert jax.grad(hard.logical_not)(w) == -1
    assert hard.logical_not(jnp.asarray(1.0078, jnp.bfloat16)) == 0
    assert np.isnan(hard.logical_not(np.nan))
    assert sx.find_gaps(lambda w: hard.where(w, 1.0, 2.0), 0.5).gaps == ()


# -- where


@pytest.mark.parametrize("of", ["float16", "bfloat16", "float32", "int32"])
def test_where_of_truth_values_is_that_of_jax_numpy(of):
    condition = jnp.array([[True], [False]])
    x, y = jnp.arange(3).astype(of), jnp.full((2, 3), 7).astype(of)
    expected = jnp.where(condition, x[None], y)
    out = hard.where(condition, x, y)
    same(out, expected if of != "int32" else expected.astype(jnp.float32))
    assert hard.where(True, 1.5, 2) == 1.5 and hard.where(1.0, 3, 4) == 3


def test_where_takes_its_precision_from_the_numbers(x64):
    assert hard.where(jnp.array(True), jnp.float32(1), jnp.float32(2)).dtype == jnp.float32
    assert hard.where(True, 1.0, jnp.float32(2)).dtype == jnp.float32
    assert hard.where(jnp.array(0.5), 1.0, 2.0).dtype == jnp.float64


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_where_mixes_with_its_derivative(weight):
    value, slope = jax.value_and_grad(hard.where, (0, 1, 2))(weight, 3.0, 5.0)
    np.testing.assert_allclose(value, weight * 3 + (1 - weight) * 5)
    np.testing.assert_allclose(slope, [-2, weight, 1 - weight])


@pytest.mark.parametrize("bad", BAD, ids=str)
@pytest.mark.parametrize("condition", [1.0, True], ids=str)
def test_a_branch_not_taken_does_not_count(bad, condition):
    """Neither in the value nor in a derivative, of first or second order, through what made it."""

    def f(x, first):
        made = bad + x
        kept = jnp.sin(x)
        return hard.where(condition, kept, made) if first else hard.where(1 - 1.0 * condition, made, kept)

    for first in (True, False):
        out = [g(0.7, first) for g in (f, jax.grad(f), jax.grad(jax.grad(f)), jax.jit(jax.grad(f), static_argnums=1))]
        np.testing.assert_allclose(out, [np.sin(0.7), np.cos(0.7), -np.sin(0.7), np.cos(0.7)], rtol=1e-6)
    for args in ((1.0, 3.0, bad), (0.0, bad, 3.0)):
        slopes = jax.grad(hard.where, (0, 1, 2))(*args)
        assert slopes[0] == 0 and slopes[1:] == ((1, 0) if args[0] else (0, 1))


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_a_branch_of_some_weight_counts(bad):
    np.testing.assert_array_equal(hard.where(0.3, 1.0, bad), bad)
    np.testing.assert_array_equal(hard.where(1.0, bad, 1.0), bad)


def test_large_numbers_do_not_swallow_the_branch_that_is_taken():
    assert hard.where(1.0, 0.1, 1e30) == jnp.float32(0.1) and hard.where(0.0, -1e38, 0.1) == jnp.float32(0.1)


# -- select


def test_select_is_that_of_jax_numpy():
    x = jnp.arange(6.0).reshape(2, 3)
    conditions, choices = [x < 2, x < 4, x < 3], [1 - x, 10 * x, jnp.full((2, 3), jnp.nan)]
    same(hard.select(conditions, choices, 7.0), jnp.select(conditions, choices, 7.0))
    same(hard.select(conditions, choices), jnp.select(conditions, choices))
    assert hard.select([], [], 3.0) == 3


def test_select_has_the_derivative_of_the_first_that_holds():
    p = np.array([0.2, 0.7])
    mixed = lambda p: p[0] * 3.0 + (1 - p[0]) * (p[1] * 5.0 + (1 - p[1]) * 11.0)
    value, slope = jax.value_and_grad(lambda p: hard.select([p[0], p[1]], [3.0, 5.0], 11.0))(jnp.asarray(p))
    np.testing.assert_allclose(value, mixed(p), rtol=1e-6)
    np.testing.assert_allclose(slope, differences(mixed, p), rtol=1e-6)
