"""Against certified answers and SciPy, and what may go wrong."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

import spanax as sx

from .curves import CERTIFIED, decay_curve, rosenbrock

DECAY = decay_curve()


def decay(x):
    """NumPy, of a dictionary."""
    return x["height"] * np.exp(-x["rate"] * DECAY.t) + x["level"] - DECAY.y


START = {"height": 1.0, "level": 0.0, "rate": 1.0}
STEP = sx.FiniteDifference(step=1e-4)


def peer(bounds=(-np.inf, np.inf), **keywords):
    """SciPy's answer, with exact derivatives: in the order of START's keys."""
    model = lambda t, height, level, rate: height * np.exp(-rate * t) + level
    jac = lambda t, h, _, r: np.stack([np.exp(-r * t), np.ones_like(t), -h * t * np.exp(-r * t)], 1)
    start = np.clip(list(START.values()), *bounds)
    return scipy.optimize.curve_fit(
        model, DECAY.t, DECAY.y, start, jac=jac, bounds=bounds, method="trf", xtol=1e-14, ftol=1e-14, **keywords
    )


@pytest.mark.few(1)
@pytest.mark.parametrize("name", CERTIFIED)
def test_certified_parameters_and_errors(name, x64):
    """To a hundredth of a standard error, and standard errors to a thousandth."""
    curve = CERTIFIED[name]
    step = np.abs(np.array(curve.start)) * 1e-5
    fit = sx.least_squares(curve.residuals, np.array(curve.start), via=sx.FiniteDifference(step=step))
    assert fit.converged and fit.stopped == "tolerance"
    np.testing.assert_array_less(np.abs(fit.x - curve.x), 0.01 * np.array(curve.errors))
    np.testing.assert_allclose(fit.standard_errors, curve.errors, rtol=1e-3)
    np.testing.assert_allclose(2 * fit.cost, curve.rss, rtol=1e-4)


@pytest.mark.parametrize("sigma", ["estimated", "number", "each", "matrix"])
def test_the_covariance_is_that_of_curve_fit(sigma, x64):
    n = len(DECAY.t)
    each = np.linspace(0.03, 0.08, n)
    given = {"estimated": None, "number": 0.05, "each": each, "matrix": np.diag(each**2) + 1e-4}[sigma]
    fit = sx.least_squares(decay, START, via=STEP, sigma=given, tolerance=1e-6)
    theirs = {} if given is None else {"sigma": np.broadcast_to(given, (n,)) if np.ndim(given) < 2 else given}
    x, covariance = peer(absolute_sigma=given is not None, **theirs)
    assert fit.names == ("height", "level", "rate")
    np.testing.assert_allclose(fit.form.flatten(fit.x), x, rtol=1e-5)
    np.testing.assert_allclose(fit.covariance, covariance, rtol=1e-3)
    assert fit.is_estimated == (given is None)
    np.testing.assert_allclose(fit.residuals, decay(fit.x), rtol=1e-6)


def test_at_a_bound_it_is_scipys_answer_and_says_so(x64):
    lower, upper = {"height": 0.0, "level": 0.0, "rate": 0.0}, {"height": 9.0, "level": 9.0, "rate": 1.1}
    inside = lambda x: all(lower[k] <= x[k] <= upper[k] for k in x) or pytest.fail(f"evaluated outside: {x}")
    residuals = lambda x: inside(x) and decay(x)
    with pytest.warns(sx.SpanaxWarning, match="rate at its bound"):
        fit = sx.least_squares(residuals, START, via=STEP, bounds=(lower, upper), tolerance=1e-6)
    x, _ = peer(bounds=([0, 0, 0], [9, 9, 1.1]))
    np.testing.assert_allclose(fit.form.flatten(fit.x), x, rtol=1e-5)
    assert fit.at_bounds == ("rate",) and fit.x["rate"] == 1.1


def test_both_precisions(dtype):
    """float32 holds residuals to 1e-7 of the data: parameters to a hundredth of a standard error."""
    step = sx.FiniteDifference(step=1e-2 if dtype == jnp.float32 else 1e-4)
    fit = sx.least_squares(decay, jax.tree.map(dtype, START), via=step)
    x, covariance = peer()
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(fit.x))
    errors = np.sqrt(np.diag(covariance))
    np.testing.assert_array_less(np.abs(fit.form.flatten(fit.x) - x), 0.01 * errors)
    np.testing.assert_allclose(fit.form.flatten(fit.standard_errors), errors, rtol=0.01)
    assert fit.converged


def test_one_call_of_the_host_for_a_jacobian_and_one_value_for_a_step(x64):
    box = sx.blackbox(decay, jax.ShapeDtypeStruct((30,), float), via=STEP)
    fit = sx.least_squares(box, START)
    probed = int(fit.history["probed"].sum())
    steps = int(np.sum(np.isfinite(fit.history["ratio"])))
    stats = box.stats()
    assert stats.calls == probed + steps
    assert stats.evaluations == 7 * probed + steps == fit.evaluations == fit.history["evaluations"][-1]
    assert steps >= 2 * probed


def test_jax_functions_are_differentiated_exactly(x64):
    t, y = jnp.asarray(DECAY.t), jnp.asarray(DECAY.y)
    fit = sx.least_squares(lambda x: {"r": x["height"] * jnp.exp(-x["rate"] * t) + x["level"] - y}, START)
    np.testing.assert_allclose(fit.form.flatten(fit.x), peer()[0], rtol=1e-4)
    assert fit.evaluations < 20


def test_a_black_box_inside_a_jax_function(x64):
    """What whitens or transforms is written in JAX: here positive parameters, by their logarithms."""
    box = sx.blackbox(decay, jax.ShapeDtypeStruct((30,), float), via=STEP)
    fit = sx.least_squares(lambda logs: box(jax.tree.map(jnp.exp, logs)), {"height": 0.0, "level": -1.0, "rate": 0.0})
    np.testing.assert_allclose(np.exp(fit.form.flatten(fit.x)), peer()[0], rtol=1e-3)


@pytest.mark.few(1)
@pytest.mark.parametrize(
    "via", [sx.Smoothing(sigma=1e-3, pairs=24), sx.SPSA(step=1e-3, samples=24)], ids=["smoothing", "spsa"]
)
def test_random_probes(via, x64):
    fit = sx.least_squares(decay, START, via=via, key=jax.random.key(0))
    x, covariance = peer()
    errors = np.sqrt(np.diag(covariance))
    # The minimum does not depend on the probes; how well the errors are known does.
    np.testing.assert_array_less(np.abs(fit.form.flatten(fit.x) - x), 0.2 * errors)
    np.testing.assert_array_less(np.abs(np.log(fit.form.flatten(fit.standard_errors) / errors)), math.log(2))


@pytest.mark.slow
def test_a_step_to_choose_is_chosen_once(x64):
    fit = sx.least_squares(decay, START, via=sx.FiniteDifference())
    np.testing.assert_allclose(fit.form.flatten(fit.x), peer()[0], rtol=1e-4)
    assert fit.evaluations < 70


def test_manual_derivatives(x64):
    def jvp(x, y, t):
        e = np.exp(-x["rate"] * DECAY.t)
        return t["height"] * e + t["level"] - x["height"] * DECAY.t * e * t["rate"]

    fit = sx.least_squares(decay, START, via=sx.Manual(jvp=jvp))
    np.testing.assert_allclose(fit.form.flatten(fit.x), peer()[0], rtol=1e-4)


@pytest.mark.few(1)
@pytest.mark.parametrize("start", [(-1.2, 1.0), (0.0, 0.0), (3.0, -3.0)])
def test_zero_residuals(start, x64):
    with pytest.warns(sx.SpanaxWarning, match="as many residuals as parameters"):
        fit = sx.least_squares(rosenbrock, np.array(start), via=sx.FiniteDifference(step=1e-6))
    np.testing.assert_allclose(fit.x, [1.0, 1.0], atol=1e-8)
    assert fit.converged and np.all(np.isinf(fit.standard_errors))


def test_a_scalar_parameter(x64):
    fit = sx.least_squares(lambda x: x - np.array([1.0, 2.0, 4.0]), 0.0, via=STEP, tolerance=1e-6)
    np.testing.assert_allclose([fit.x, fit.standard_errors], [7 / 3, np.std([1, 2, 4], ddof=1) / 3**0.5], rtol=1e-6)
    assert fit.names == ("x",) and fit.x.shape == ()


def test_a_linear_problem(x64):
    A, b = np.random.default_rng(0).standard_normal((2, 20, 4))
    b = b[:, 0]
    fit = sx.least_squares(lambda x: A @ x - b, np.zeros(4), via=STEP)
    np.testing.assert_allclose(fit.x, np.linalg.lstsq(A, b)[0], rtol=1e-3, atol=1e-5)
    assert fit.evaluations < 30


def test_what_the_data_do_not_determine_is_named(x64):
    residuals = lambda x: (x["a"] + 2 * x["b"]) * DECAY.t + x["c"] - DECAY.y
    with pytest.warns(sx.SpanaxWarning, match=r"do not determine (0\.5 )?[ab]"):
        fit = sx.least_squares(residuals, {"a": 1.0, "b": 1.0, "c": 0.0}, via=STEP)
    errors = fit.standard_errors
    assert np.isinf(errors["a"]) and np.isinf(errors["b"]) and np.isfinite(errors["c"])
    line, covariance = np.polyfit(DECAY.t, DECAY.y, 1, cov=True)
    # One degree of freedom more: a line has two parameters.
    np.testing.assert_allclose(errors["c"], (covariance[1, 1] * 28 / 27) ** 0.5, rtol=1e-4)
    np.testing.assert_allclose(fit.x["a"] + 2 * fit.x["b"], line[0], rtol=1e-4)


def test_a_parameter_without_an_effect(x64):
    with pytest.warns(sx.SpanaxWarning, match="(?m)do not determine b$"):
        fit = sx.least_squares(lambda x: x["a"] * DECAY.t + 0 * x["b"] - DECAY.y, {"a": 1.0, "b": 1.0}, via=STEP)
    assert np.isinf(fit.standard_errors["b"]) and np.isfinite(fit.standard_errors["a"])


# -- failures


def breaks_beyond(limit, how):
    def residuals(x):
        if x["rate"] > limit:
            return how(x)
        return decay(x)

    return residuals


def raises(x):
    raise FloatingPointError("diverged")


@pytest.mark.parametrize("how", [raises, lambda x: np.full(30, np.nan)], ids=["raises", "nan"])
@pytest.mark.parametrize("on_failure", ["raise", "drop"])
def test_a_step_that_fails_is_not_taken(how, on_failure, x64):
    run = sx.Run(retries=0, on_failure=on_failure)
    # The first steps go to 1.6 and beyond.
    fit = sx.least_squares(breaks_beyond(1.45, how), START, via=STEP, run=run)
    np.testing.assert_allclose(fit.form.flatten(fit.x), peer()[0], rtol=1e-3)
    assert fit.failures >= 1 and "failed step" in str(fit)


def test_failures_on_all_sides_end_it(x64):
    near = lambda x: all(abs(x[name] - START[name]) < 1e-3 for name in x)
    with pytest.raises(sx.SpanaxError, match="10 steps in a row"):
        sx.least_squares(lambda x: decay(x) if near(x) else raises(x), START, via=STEP, run=sx.Run(retries=0))


def test_the_first_point_fails(x64):
    with pytest.raises(sx.SpanaxError, match="diverged"):
        sx.least_squares(raises, START, via=STEP, run=sx.Run(retries=0))
    with pytest.raises(sx.SpanaxError, match="not finite"):
        sx.least_squares(lambda x: jnp.log(x - 2.0) * jnp.ones(3), 1.0)


def test_other_errors_are_not_taken_for_failed_steps(x64, tmp_path):
    """As the one of a store that is full, in the middle of a fit."""
    calls = []

    class Store(sx.Store):
        def ledger(self, *args):
            calls.append(args)
            if len(calls) > 4:
                raise sx.SpanaxError("the disk is full")
            return super().ledger(*args)

    with pytest.raises(sx.SpanaxError, match="the disk is full"):
        sx.least_squares(decay, START, via=STEP, store=Store(tmp_path / "runs.db", version="1"), name="decay")


def test_no_more_steps(x64):
    with pytest.warns(sx.SpanaxWarning, match="has not converged: there were no more steps"):
        fit = sx.least_squares(decay, START, via=STEP, steps=2)
    assert not fit.converged and "NOT converged" in str(fit) and fit.iterations == 2


# -- arguments


@pytest.mark.parametrize(
    ("match", "change"),
    [
        ("30 residuals cannot determine 31 parameters", {"x0": np.ones(31), "residuals": lambda x: x[:30]}),
        ("x0.* must hold floats, and it holds int32", {"x0": 1}),
        ("x0.* must hold floats, and it holds nothing", {"x0": {}}),
        ("x0.* must hold floats, and it is 'start'", {"x0": "start"}),
        ("residuals=3", {"residuals": 3}),
        ("x0 lies outside its bounds", {"bounds": (2.0, 3.0)}),
        ("not below its upper one", {"bounds": (1.0, 1.0)}),
        ("bounds=3", {"bounds": 3}),
        ("structure", {"bounds": ({"a": 1.0}, None)}),
        ("do not fit x0", {"bounds": (np.zeros(4), None)}),
        (r"sigma=\.\.\.\) must be positive", {"sigma": 0.0}),
        ("of shape", {"sigma": np.ones(4)}),
        ("not positive definite", {"sigma": -np.eye(30)}),
        ("not symmetric", {"sigma": np.eye(30) + np.triu(np.full((30, 30), 0.1), 1)}),
        ("sigma='a'", {"sigma": "a"}),
        ("steps=0", {"steps": 0}),
        ("tolerance=-1", {"tolerance": -1}),
        ("repeats=0", {"repeats": 0}),
        ("one PRNG key", {"key": 3}),
        ("is not a bridge of a black box", {"via": "fd"}),
        ("JAX cannot follow", {"via": None}),
        ("noisy=.* with via=None", {"via": None, "noisy": True}),
        ("without a key", {"noisy": True}),
        ("random directions", {"via": sx.Smoothing(0.1, 4)}),
    ],
    ids=lambda x: x[:20] if isinstance(x, str) else "",
)
def test_arguments_that_do_not_fit(match, change):
    arguments = {"residuals": decay, "x0": START, "via": STEP} | change
    with pytest.raises(sx.SpanaxError, match=match):
        sx.least_squares(arguments.pop("residuals"), arguments.pop("x0"), **arguments)


def test_a_black_box_has_options_of_its_own():
    box = sx.blackbox(decay, jax.ShapeDtypeStruct((30,), float), via=STEP)
    with pytest.raises(sx.SpanaxError, match="of a black box, which has its own"):
        sx.least_squares(box, START, noisy=True)


def test_the_bounds_of_a_black_box_are_kept(x64):
    box = sx.blackbox(
        decay, jax.ShapeDtypeStruct((30,), float), via=STEP, bounds=(0.0, {"height": 9, "level": 9, "rate": 1.1})
    )
    with pytest.warns(sx.SpanaxWarning, match="rate at its bound"):
        fit = sx.least_squares(box, START)
    assert fit.x["rate"] == 1.1


def test_integer_counts_and_pytrees_of_residuals(x64):
    """A simulator that counts: residuals that are steps of x, for which the probes must be wide."""
    counts = lambda x: {
        "a": np.floor(1000 * x * np.arange(1, 6)).astype(int) - 2000 * np.arange(1, 6),
        "b": np.zeros((2, 2)),
    }
    fit = sx.least_squares(counts, 1.0, via=sx.FiniteDifference(step=0.05))
    assert abs(fit.x - 2) < 2e-3
