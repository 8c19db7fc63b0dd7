"""Points that fail: retried, then raised, or dropped and the estimate reweighted."""

import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct


class Flaky:
    """A function of two numbers that fails in its own way where `fails(x, attempt)`."""

    def __init__(self, fails, how):
        self.fails, self.how, self.attempts = fails, how, {}

    def __call__(self, x):
        attempt = self.attempts[x.tobytes()] = self.attempts.get(x.tobytes(), 0) + 1
        if self.fails(x, attempt):
            return self.how()
        return x[0] ** 2 + 3 * x[1]


def raises():
    raise RuntimeError("the mesh has collapsed")


WAYS = {"exception": raises, "NaN": lambda: np.nan, "shape": lambda: np.ones(3)}


@pytest.mark.parametrize("how", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("batched", [False, True])
def test_what_fails_once_is_tried_again_and_nothing_is_lost(how, batched, key):
    flaky = Flaky(lambda x, attempt: attempt == 1 and x[0] > 1, how)
    fn = (lambda X: np.stack([flaky(x) for x in X])) if batched else flaky
    f = sx.blackbox(fn, Shape((), float), via=sx.FiniteDifference(step=1e-2), batched=batched)
    value, slope = jax.value_and_grad(f)(jnp.array([1.0, 2.0]))
    assert value == 7
    np.testing.assert_allclose(slope, [2, 3], atol=1e-3)
    assert f.stats().evaluations == 5 and f.stats().failures == 0 and f.stats().retries >= 1


@pytest.mark.parametrize("batched", [False, True])
def test_what_fails_for_good_raises_with_its_input(batched):
    flaky = Flaky(lambda x, _: x[0] > 1.05, raises)
    fn = (lambda X: np.stack([flaky(x) for x in X])) if batched else flaky
    f = sx.blackbox(fn, Shape((), float), via=sx.FiniteDifference(step=0.125), batched=batched, run=sx.Run(retries=1))
    with pytest.raises(sx.SpanaxError, match="after 2 attempts: raised RuntimeError: the mesh has collapsed") as error:
        jax.grad(f)(jnp.array([1.0, 2.0]))
    assert "1.125, 2." in str(error.value) and "test_failures.py" in str(error.value)
    assert f.stats().failures == 1
    with pytest.raises(Exception, match="the mesh has collapsed"):
        jax.block_until_ready(jax.jit(jax.grad(f))(jnp.array([1.0, 2.0])))
    flaky.fails = lambda x, _: False
    np.testing.assert_allclose(jax.jit(jax.grad(f))(jnp.array([1.0, 2.0])), [2, 3], atol=1e-3)


def test_dropped_points_leave_the_estimate_unbiased(key):
    """Each point is dropped with probability 1/8, whatever it is: 4 standard errors, a false alarm in 8,000 runs."""
    rng = np.random.default_rng(0)

    def fn(X):
        y = X[:, 0] ** 2 + 3 * X[:, 1]
        y[rng.random(len(y)) < 0.125] = np.nan
        y[np.all(X == 1, axis=1)] = 4
        return y

    run = sx.Run(retries=0, on_failure="drop")
    for via in (sx.Smoothing(0.5, pairs=8), sx.SPSA(0.5, samples=8), sx.Smoothing(0.5, pairs=8, antithetic=False)):
        f = sx.blackbox(fn, Shape((), float), via=via, batched=True, run=run)
        keys = jax.random.split(key, 1500)
        slopes = np.asarray(jax.jit(jax.vmap(lambda k, f=f: jax.grad(f)(jnp.ones(2), key=k)))(keys), float)
        error = slopes.std(axis=0) / np.sqrt(len(keys))
        assert np.all(np.abs(slopes.mean(axis=0) - [2, 3]) < 4 * error)
        assert 0.1 < f.stats().failures / f.stats().evaluations < 0.2


def test_dropping_has_limits(key):
    def box(fails, via, **run):
        flaky = Flaky(lambda x, _: fails(x), raises)
        return sx.blackbox(flaky, Shape((), float), via=via, run=sx.Run(retries=0, on_failure="drop", **run))

    x = jnp.array([1.0, 2.0])
    smoothing = sx.Smoothing(0.1, pairs=4)
    with pytest.raises(sx.SpanaxError, match="it is the value itself"):
        jax.grad(box(lambda x: True, smoothing))(x, key=key)
    with pytest.raises(sx.SpanaxError, match=r"max_failed=0\.1"):
        jax.grad(box(lambda x: x[0] > 1, smoothing, max_failed=0.1))(x, key=key)
    with pytest.raises(sx.SpanaxError, match="what is left gives no derivative"):
        jax.grad(box(lambda x: x[0] != 1, sx.FiniteDifference(step=0.1), max_failed=1.0))(x)
    one_sided = box(lambda x: x[0] > 1, sx.FiniteDifference(step=0.125))
    np.testing.assert_allclose(jax.grad(one_sided)(x), [2 - 0.125, 3], atol=1e-4)
    assert one_sided.stats().failures == 1
    pair = box(lambda x: x[0] > 1, sx.Smoothing(0.1, pairs=4), max_failed=0.6)
    with pytest.raises(sx.SpanaxError, match="what is left gives no derivative"):
        jax.grad(pair)(x, key=key)  # of each pair, one point is beyond


def test_a_lane_that_fails_does_not_spoil_the_others(key):
    flaky = Flaky(lambda x, _: x[1] > 50 and x[0] > 1, raises)
    run = sx.Run(retries=0, on_failure="drop")
    f = sx.blackbox(flaky, Shape((), float), via=sx.FiniteDifference(step=0.125), run=run)
    slopes = jax.vmap(jax.grad(f))(jnp.array([[1.0, 2.0], [1.0, 100.0]]))
    np.testing.assert_allclose(slopes, [[2, 3], [2 - 0.125, 3]], atol=1e-3)


def test_nan_of_a_dropped_point_reaches_no_derivative(key):
    flaky = Flaky(lambda x, _: x[0] != 1 and zlib.crc32(x.tobytes()) % 8 == 0, lambda: np.nan)
    f = sx.blackbox(flaky, Shape((), float), via=sx.Smoothing(0.1, pairs=16), run=sx.Run(retries=0, on_failure="drop"))
    x = jnp.array([1.0, 2.0])
    assert np.all(np.isfinite(jax.jit(jax.grad(f))(x, key=key)))
    assert np.all(np.isfinite(jax.jacfwd(f)(x, key=key)))
    assert f.stats().failures > 0


def test_a_pilot_goes_where_the_function_does_not(x64):
    """The points by which a step is chosen reach far: where they fail, the step stays below."""

    def fn(x):
        if not 0.9 < x[0] < 1.1:
            raise ValueError("out of range")
        return np.sum(np.exp(x))

    f = sx.blackbox(fn, Shape((), float), via=sx.FiniteDifference())
    np.testing.assert_allclose(jax.grad(f)(jnp.ones(2)), np.e, rtol=1e-8)
    np.testing.assert_allclose(jax.grad(f.fitted(jnp.ones(2)))(jnp.ones(2)), np.e, rtol=1e-8)
    with pytest.raises(sx.SpanaxError, match="out of range"):
        jax.grad(f)(jnp.zeros(2))
