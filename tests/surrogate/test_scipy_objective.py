"""SciPy's optimizers on a JAX function with a black box in it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import spanax as sx


def simulator(x):
    return np.array([x["a"] * np.exp(-x["b"][0]), x["a"] + x["b"][0] ** 2])


def misfit(box):
    return lambda x: jnp.sum((box(x) - jnp.array([0.5, 1.8])) ** 2)


START = {"a": 2.0, "b": np.array([0.3])}
STEP = sx.FiniteDifference(step=1e-4)
OUT = jax.ShapeDtypeStruct((2,), float)


@pytest.mark.few(2)
@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "SLSQP", "trust-constr"])
def test_the_minimum_is_found(method, x64):
    box = sx.blackbox(simulator, OUT, via=STEP)
    fun = sx.scipy_objective(misfit(box), START)
    result = scipy.optimize.minimize(fun, fun.x0, jac=True, method=method)
    x = fun.unflatten(result.x)
    np.testing.assert_allclose(simulator(x), [0.5, 1.8], atol=1e-3)
    # One call of the host for a value with its gradient.
    assert box.stats().calls == fun.calls and box.stats().evaluations == 5 * fun.calls


def test_values_and_gradients_are_float64_in_both_precisions(dtype):
    fun = sx.scipy_objective(lambda x: jnp.sum(x["a"] ** 2), {"a": jnp.arange(3, dtype=dtype)})
    value, slope = fun(fun.x0)
    assert isinstance(value, float) and value == 5.0
    assert slope.dtype == np.float64 and slope.tolist() == [0, 2, 4]
    assert fun.unflatten(fun.x0)["a"].dtype == dtype


def noisy(x, seed):
    return np.sum(x**2) + np.random.default_rng(seed).standard_normal()


@pytest.mark.parametrize("fresh", [False, True])
def test_one_key_for_all_calls_unless_told_otherwise(fresh):
    box = sx.blackbox(noisy, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(step=0.1), noisy=True)
    fun = sx.scipy_objective(lambda x, *, key: box(x, key=key), np.ones(2), key=jax.random.key(0), fresh=fresh)
    first, second = fun(fun.x0), fun(fun.x0)
    assert (first[0] == second[0]) is not fresh
    np.testing.assert_allclose(first[1], second[1], rtol=1e-3)


def raises(x):
    raise FloatingPointError("diverged")


@pytest.mark.few(2)
@pytest.mark.parametrize("method", ["L-BFGS-B", "BFGS", "CG", "SLSQP"])
@pytest.mark.parametrize("how", [raises, lambda x: np.full(2, np.nan)], ids=["raises", "nan"])
def test_the_optimizer_turns_back_from_points_without_a_value(method, how, x64):
    """With infinity in their place L-BFGS-B stops there, and reports success."""
    rosenbrock = lambda x: how(x) if x[0] > 1.3 or x[1] < -0.5 else np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
    box = sx.blackbox(rosenbrock, OUT, via=STEP, run=sx.Run(retries=0))
    fun = sx.scipy_objective(lambda x: jnp.sum(box(x) ** 2), np.array([-1.2, 1.0]))
    with pytest.warns(sx.SpanaxWarning, match="had no value"):
        result = scipy.optimize.minimize(fun, fun.x0, jac=True, method=method)
    np.testing.assert_allclose(result.x, [1, 1], atol=2e-3)
    assert fun.failures >= 1


def test_a_function_that_is_nan_without_a_black_box():
    fun = sx.scipy_objective(lambda x: jnp.log(x), 1.0)
    assert fun(np.array([2.0]))[1] == [0.5]
    with pytest.warns(sx.SpanaxWarning, match="the value is nan"):
        value, slope = fun(np.array([-1.0]))
    assert value > fun(np.array([2.0]))[0] and slope < 0


def test_points_without_a_value_end_it():
    with pytest.raises(sx.SpanaxError, match="the first point had no value"):
        sx.scipy_objective(lambda x: jnp.log(x), -1.0)(np.array([-1.0]))
    fun = sx.scipy_objective(lambda x: jnp.log(x), 1.0)
    fun(np.array([1.0]))
    with pytest.warns(sx.SpanaxWarning), pytest.raises(sx.SpanaxError, match="20 points in a row"):
        for _ in range(20):
            fun(np.array([-1.0]))


def test_a_gradient_that_is_not_finite_raises():
    with pytest.raises(sx.SpanaxError, match=r"the derivative by a is not"):
        fun = sx.scipy_objective(lambda x: jnp.sqrt(x["a"]), {"a": 0.0})
        fun(fun.x0)


def test_other_errors_of_a_black_box_are_raised():
    box = sx.blackbox(lambda x: x * 0 + 1, jax.ShapeDtypeStruct((), float), via=STEP)
    fun = sx.scipy_objective(box, 1.0)
    with pytest.raises(Exception, match="same"):
        fun(fun.x0)


@pytest.mark.parametrize(
    ("match", "f", "options"),
    [
        ("must return a floating-point scalar", lambda x: jnp.ones(2) * x, {}),
        ("takes a key", lambda x, key: x, {}),
        ("takes no key", lambda x: x, {"fresh": True}),
        ("one PRNG key", lambda x: x, {"key": 1}),
    ],
)
def test_arguments_that_do_not_fit(match, f, options):
    with pytest.raises(sx.SpanaxError, match=match):
        sx.scipy_objective(f, 1.0, **options)
