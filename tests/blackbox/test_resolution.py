"""Probes below the digits of the result: an error, never a derivative of 0 or of rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
SCALAR = Shape((), float)
FD = sx.FiniteDifference(step=0.1)


def offset(x):
    """Slope 1, beside a number whose float32 digits are 8 apart."""
    return np.float32(1e8) + np.float32(np.sum(x))


def slope(fn, via, x=1.0, out=SCALAR, key=None, **options):
    """Of the sum of all results."""
    f = sx.blackbox(fn, out, via=via, **options)
    return jax.grad(lambda x: sum(jnp.sum(y) for y in jax.tree.leaves(f(x, key=key))))(jnp.asarray(x, float))


VIAS = {
    "finite differences": (lambda step: sx.FiniteDifference(step=step)),
    "forward": (lambda step: sx.FiniteDifference(step=2 * step, scheme="forward")),
    "chosen step": (lambda step: sx.FiniteDifference(largest=step)),
    "SPSA": (lambda step: sx.SPSA(step, samples=8)),
    "smoothing": (lambda step: sx.Smoothing(step, pairs=8)),
    "one-sided": (lambda step: sx.Smoothing(step, pairs=8, antithetic=False)),
}


@pytest.mark.few(4)
@pytest.mark.parametrize("via", VIAS.values(), ids=VIAS)
def test_a_change_below_the_digits(via, key):
    """Steps of which 0, 2 and 100 digits are 8 apart: the slope 1 is 0, 0.8 to 1.6, and 1."""
    with pytest.raises(sx.SpanaxError, match="are the same, 100000000: a change below 8 does not show") as error:
        slope(offset, via(0.1), key=key)
    assert "test_resolution.py" in str(error.value) and "128 where the slope is 1" in str(error.value)
    with pytest.raises(sx.SpanaxError, match="in the last digit of 100000") as error:
        slope(offset, via(4.5), key=key)
    assert "times as large" in str(error.value)
    assert slope(offset, via(0.1), constant=True, key=key) == slope(offset, via(4.5), constant=True, key=key) == 0
    found = slope(offset, via(800.0), key=key)
    tolerance = 1.2 if "smooth" in str(type(via(1.0))).lower() else 0.02  # the noise of 8 pairs, 4 standard errors
    assert abs(found - 1) < tolerance


def shows(x):
    return np.array([x[0], 3.0])


NO_ERROR = {
    "one element of x does nothing": (lambda x: x[0], FD, SCALAR),
    "one result is constant": (shows, FD, Shape((2,), float)),
    "a conserved sum, rounded": (
        lambda x: np.array([x[0], np.float32(0.1) * x[0] + 1 - 0.1 * x[0]]),
        FD,
        Shape((2,), float),
    ),
    "a stationary point": (lambda x: np.sum((x - 1) ** 2), FD, SCALAR),
    "a stationary point, step chosen": (lambda x: np.sum((x - 1) ** 2), sx.FiniteDifference(), SCALAR),
    "a stationary point, complex": (lambda x: np.sum((x - 1) ** 2), sx.FiniteDifference(scheme="complex"), SCALAR),
    "a step that some points cross": (lambda x: float(x[0] > 1.05), sx.Smoothing(0.2, pairs=16), SCALAR),
    "whole numbers alone in float": (lambda x: np.round(100 * x[0]), FD, SCALAR),
    "nothing beside": (lambda x: (x[0], np.zeros(0)), FD, (SCALAR, Shape((0,), float))),
    "small": (lambda x: 1e-35 * x[0], FD, SCALAR),
    "large": (lambda x: 1e35 * x[0], FD, SCALAR),
    "noise": (lambda x: x[0] + 1e-5 * np.sin(1e6 * x[0]), sx.FiniteDifference(), SCALAR),
    "whole numbers": (lambda x: np.floor(10_000 * x[0]), sx.Smoothing(1e-3, pairs=8), SCALAR),
    "one sign of two hides a sum": (lambda x: x[0] + x[1], sx.SPSA(0.125, samples=2), SCALAR),
    "one coordinate of two": (lambda x: x[0], sx.Smoothing(0.1, pairs=1, directions="coordinate"), SCALAR),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("fn, via, out", NO_ERROR.values(), ids=NO_ERROR)
def test_no_false_alarm(fn, via, out, key):
    found = slope(fn, via, jnp.ones(2), out, key=key)
    assert np.all(np.isfinite(found))


def test_an_infinite_result_is_not_taken_for_a_number():
    assert np.isnan(slope(lambda x: np.inf, FD))


@pytest.mark.parametrize("dtype, via", [("float16", 0.001), ("bfloat16", 0.01), ("float32", 1e-7), ("float64", 1e-16)])
def test_every_float(dtype, via, x64):
    """x from 0, so that the points can be told apart: y from 1."""
    f = sx.blackbox(lambda x: 1.0 + x, Shape((), dtype), via=sx.FiniteDifference(step=via))
    with pytest.raises(sx.SpanaxError, match=f"in the last digit|are the same.*{dtype}"):
        jax.grad(lambda x: f(x).astype(float))(0.0)
    wide = sx.blackbox(lambda x: 1.0 + x, Shape((), dtype), via=sx.FiniteDifference(step=1000 * via))
    np.testing.assert_allclose(jax.grad(lambda x: wide(x).astype(float))(0.0), 1, rtol=0.02)


def test_fewer_digits_than_the_type_has(x64):
    """Float32 arithmetic, and six printed digits, in float64."""
    for fn, digits in (
        (offset, "float32 numbers, held in float64"),
        (lambda x: float(f"{123 + 2 * x:.6g}"), "numbers of 6 digits"),
    ):
        step = 10.0 if fn is offset else 6e-4
        with pytest.raises(sx.SpanaxError, match=digits):
            slope(fn, sx.FiniteDifference(step=step))
        np.testing.assert_allclose(
            slope(fn, sx.FiniteDifference(step=1000 * step)), 1 if fn is offset else 2, rtol=1e-3
        )


def test_results_of_different_size():
    """The large one would drown the other's derivative."""
    with pytest.raises(sx.SpanaxError, match="in the last digit of 100000"):
        slope(lambda x: np.array([offset(x), x]), sx.FiniteDifference(step=3.0), out=Shape((2,), float), x=-3.0)


def test_lanes():
    """One lane may lie on a plateau; not all of them, and none may be rounding."""
    f = sx.blackbox(lambda x: x if x < 1 else 1.0 if x < 9 else offset(x), SCALAR, via=sx.FiniteDifference(step=0.25))
    lanes = jax.jit(jax.vmap(jax.grad(f)))
    np.testing.assert_allclose(lanes(jnp.array([0.5, 7.0])), [1, 0], atol=1e-6)
    with pytest.raises(Exception, match="are the same"):
        jax.block_until_ready(lanes(jnp.array([7.0, 5.0])))
    with pytest.raises(Exception, match="in the last digit"):
        jax.block_until_ready(lanes(jnp.array([0.5, 12.0])))


def test_values_from_the_store_are_looked_at(tmp_path):
    for _ in range(2):
        store = sx.Store(tmp_path / "runs.db", "1")
        with pytest.raises(sx.SpanaxError, match="are the same"):
            slope(offset, FD, store=store)


def test_a_few_signs_that_always_cancel(key):
    """A sum of two is missed by half of all pairs, and 1e8 by all: 14 in a row are no accident."""
    f = sx.blackbox(offset, SCALAR, via=sx.SPSA(0.1, samples=1))
    with pytest.raises(sx.SpanaxError, match="are the same"):
        for k in jax.random.split(key, 14):
            jax.grad(f)(jnp.ones(2), key=k)


def test_constant_is_a_truth_value():
    with pytest.raises(sx.SpanaxError, match="constant=1"):
        sx.blackbox(offset, SCALAR, via=FD, constant=1)
