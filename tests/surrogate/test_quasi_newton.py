"""BFGS by values: what it learns, what a step costs, where it comes, and what it does where there is nothing to follow."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

import spanax as sx


def descent(f, x, steps, optimizer=None):
    """The points, and how many values the line searches asked for, with exact gradients."""
    optimizer = sx.quasi_newton() if optimizer is None else optimizer
    asked = []

    def counted(x):
        jax.debug.callback(lambda: asked.append(1))
        return f(x)

    @jax.jit
    def step(x, state):
        value, slope = jax.value_and_grad(f)(x)
        updates, state = optimizer.update(slope, state, x, value=value, grad=slope, value_fn=counted)
        return optax.apply_updates(x, updates), state

    state, xs = optimizer.init(x), [x]
    for _ in range(steps):
        x, state = step(x, state)
        xs.append(x)
    jax.effects_barrier()
    return xs, state, len(asked)


def rosenbrock(x):
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def test_it_finds_the_end_of_a_curved_valley_with_few_values():
    with jax.enable_x64(True):
        xs, _, asked = descent(rosenbrock, jnp.zeros(5), 60)
    assert np.abs(np.asarray(xs[-1]) - 1).max() < 1e-6
    assert asked < 2 * 60


def test_the_matrix_satisfies_the_secant_equation_and_stays_positive():
    with jax.enable_x64(True):
        xs, state, _ = descent(rosenbrock, jnp.zeros(4), 12)
        # The last step was to a point whose gradient the matrix hasn't been told yet.
        s = np.asarray(xs[-2] - xs[-3])
        y = np.asarray(jax.grad(rosenbrock)(xs[-2]) - jax.grad(rosenbrock)(xs[-3]))
    inverse = np.asarray(state.inverse)
    np.testing.assert_allclose(inverse @ y, s, rtol=1e-8, atol=1e-12)
    assert np.linalg.eigvalsh(inverse).min() > 0


def test_a_condition_of_a_million_by_forward_differences():
    # In coordinates that are turned, so that no scaling of single numbers helps.
    turned = np.linalg.qr(np.random.default_rng(0).standard_normal((8, 8)))[0]
    scales = np.logspace(0, 6, 8)
    with jax.enable_x64(True):
        f = sx.blackbox(
            lambda x: np.sum(scales * (turned @ (x - 1)) ** 2),
            jax.ShapeDtypeStruct((), float),
            via=sx.FiniteDifference(1e-9, "forward"),
            constant=True,
        )
        found = sx.descend(f, np.full(8, 3.0), optimizer=sx.quasi_newton(), steps=60, key=jax.random.key(0))
    assert found.value < 1e-8
    assert found.history["evaluations"][np.argmax(found.history["value"] < 1e-6)] < 500


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_pytrees_in_float32_and_other_units(scale):
    def f(x):
        return scale * (jnp.sum((x["a"] - 1) ** 2) + 10 * (x["b"] + 2) ** 2)

    xs, _, _ = descent(f, {"a": jnp.zeros((2, 2)), "b": jnp.float32(0)}, 15, sx.quasi_newton(curvature=2 * scale))
    assert xs[-1]["a"].dtype == jnp.float32 and xs[-1]["b"].shape == ()
    np.testing.assert_allclose(xs[-1]["a"], 1, atol=1e-3)
    np.testing.assert_allclose(xs[-1]["b"], -2, atol=1e-3)


@pytest.mark.parametrize("f", [lambda x: jnp.float32(3), lambda x: x**2], ids=["flat", "at the minimum"])
def test_where_nothing_is_lower_x_stays(f):
    xs, state, _ = descent(f, jnp.float32(0), 3)
    assert all(x == 0 for x in xs) and bool(jnp.all(jnp.isfinite(state.inverse)))


def test_a_step_into_values_that_are_not_finite_is_shortened():
    def f(x):
        return jnp.where(x > 1.2, jnp.nan, (x - 1) ** 2)

    xs, _, _ = descent(f, jnp.float32(-4), 12, sx.quasi_newton(length=100.0, curvature=1e-3))
    assert abs(xs[-1] - 1) < 1e-3


def test_a_matrix_that_leads_nowhere_is_given_up():
    """After a jump of the function, as a bound or a new data set makes it, the old curvature is wrong."""
    optimizer, x = sx.quasi_newton(), jnp.ones(2)

    def f(x):
        return jnp.sum(x**2)

    state = optimizer.init(x)._replace(
        inverse=-jnp.eye(2), learnt=jnp.asarray(True), x=x, gradient=2 * x, count=jnp.asarray(1)
    )
    updates, state = optimizer.update(2 * x, state, x, value=f(x), grad=2 * x, value_fn=f)
    assert f(x + updates) < f(x)
    np.testing.assert_array_equal(state.inverse, jnp.eye(2))
    assert not state.learnt


def test_many_descents_at_once():
    def run(x):
        optimizer = sx.quasi_newton()

        def step(carry, _):
            x, state = carry
            value, slope = jax.value_and_grad(rosenbrock)(x)
            updates, state = optimizer.update(slope, state, x, value=value, grad=slope, value_fn=rosenbrock)
            return (x + updates, state), None

        return jax.lax.scan(step, (x, optimizer.init(x)), None, 40)[0][0]

    starts = jnp.array([[0.0, 0.0], [-1.2, 1.0], [2.0, 2.0]])
    np.testing.assert_allclose(jax.jit(jax.vmap(run))(starts), 1, atol=2e-2)


@pytest.mark.parametrize("wrong", [{"curvature": 0.0}, {"length": -1.0}, {"curvature": float("nan")}])
def test_arguments_that_make_no_sense(wrong):
    with pytest.raises(sx.SpanaxError, match="a positive number"):
        sx.quasi_newton(**wrong)


def test_without_the_function_it_says_how_to_call_it():
    optimizer, x = sx.quasi_newton(), jnp.ones(2)
    with pytest.raises(sx.SpanaxError, match="value_fn=f"):
        optimizer.update(x, optimizer.init(x), x)


@pytest.mark.parametrize("seed", [0, 1])
def test_within_bounds_it_finds_what_scipy_finds(seed):
    draw = np.random.default_rng(seed)
    turned = np.linalg.qr(draw.standard_normal((5, 5)))[0]
    # Turned, so that a number held by a bound changes where the others have to go.
    A, centre = turned @ np.diag(np.logspace(0, 4, 5)) @ turned.T, draw.uniform(0, 4, 5)

    def f(x):
        return (x - centre) @ A @ (x - centre)

    options = {"ftol": 1e-15, "gtol": 1e-12, "maxiter": 5000}
    best = minimize(f, np.ones(5), jac=lambda x: 2 * A @ (x - centre), bounds=[(0, 2.5)] * 5, options=options)
    with jax.enable_x64(True):
        box = sx.blackbox(f, jax.ShapeDtypeStruct((), float), via=sx.FiniteDifference(1e-9, "forward"), constant=True)
        found = sx.descend(
            box, np.ones(5), optimizer=sx.quasi_newton(), steps=45, key=jax.random.key(0), bounds=(0.0, 2.5)
        )
    assert np.any(np.asarray(found.x) == 2.5)
    np.testing.assert_allclose(found.value, best.fun, rtol=1e-8)
