"""A fitted surrogate predicts values and gradients that it was not trained on, and says how well."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import spanax as sx

from . import functions as fs

BOX2, BOX5 = (np.full(2, -2.0), np.full(2, 2.0)), (np.zeros(5), np.ones(5))


@pytest.fixture(scope="module")
def model():
    """Of three-hump camel, which most tests here look at."""
    return sx.fit_surrogate(fs.camel, BOX2, key=jax.random.key(1), evaluations=300)


def points(bounds, n=500):
    return np.random.default_rng(5).uniform(*bounds, (n, len(bounds[0]))).astype(np.float32)


def test_values_and_gradients_are_those_of_the_function(model):
    X = points(BOX2)
    truth, predicted = np.array([fs.camel(x) for x in X]), jax.vmap(model)(X)
    assert 1 - np.mean((predicted - truth) ** 2) / np.var(truth) > 0.99
    assert fs.cosine(jax.vmap(jax.grad(model))(X), [fs.camel_slope(x) for x in X]) > 0.98
    assert model.report.r2[0] > 0.99 and model.report.cosine > 0.98 and model.report.evaluations == 300


@pytest.mark.slow
def test_in_five_dimensions_too():
    model = sx.fit_surrogate(fs.friedman, BOX5, key=jax.random.key(2), evaluations=512)
    X = points(BOX5)
    truth = np.array([fs.friedman(x) for x in X])
    assert 1 - np.mean((jax.vmap(model)(X) - truth) ** 2) / np.var(truth) > 0.99
    slopes = [fs.friedman_slope(x) for x in X]
    assert fs.cosine(jax.vmap(jax.grad(model))(X), slopes) > 0.98
    # The report's cosine is what it is: by 4 of its standard errors, and 0.01 for the few probes.
    exact = fs.cosine(jax.vmap(jax.grad(model))(X), slopes)
    assert abs(model.report.cosine - exact) < 4 * model.report.cosine_error + 0.01


def test_nothing_is_evaluated_beyond_the_bounds_or_the_budget():
    seen = []

    def watched(x):
        seen.append(np.array(x))
        return fs.bowl(x)

    lower, upper = np.array([0.1, -3.0]), np.array([0.3, 1e-3])
    model = sx.fit_surrogate(watched, (lower, upper), key=jax.random.key(0), evaluations=300)
    assert len(seen) == model.report.evaluations <= 300
    assert np.all(np.array(seen, np.float64) >= lower) and np.all(np.array(seen, np.float64) <= upper)


def test_it_is_frozen(model):
    import equinox as eqx

    parts = {"surrogate": model, "x": jnp.ones(2)}
    slopes = eqx.filter_grad(lambda p: p["surrogate"](p["x"]))(parts)
    assert jax.tree.leaves(slopes["surrogate"]) == [] and slopes["x"].shape == (2,)
    optimizer = optax.add_decayed_weights(0.1)
    state = optimizer.init(eqx.filter(parts, eqx.is_inexact_array))
    updates, _ = optimizer.update(slopes, state, eqx.filter(parts, eqx.is_inexact_array))
    assert eqx.apply_updates(parts, updates)["surrogate"](jnp.ones(2)) == model(jnp.ones(2))


def test_it_works_under_transformations(model):
    X = jnp.asarray(points(BOX2, 8))
    eager = jnp.stack([jax.grad(model)(x) for x in X])
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(model)))(X), eager, rtol=1e-4, atol=1e-4)
    hessian = jax.hessian(model)(X[0])
    np.testing.assert_allclose(hessian, hessian.T, rtol=1e-3, atol=1e-3)
    assert jax.jit(model)(X[0]).dtype == jnp.float32
    np.testing.assert_allclose(jax.jvp(model, (X[0],), (X[1],))[1], eager[0] @ X[1], rtol=1e-4)


def test_structures_scales_and_constants():
    """y of three leaves: one constant, one around 10^7, one around 10^-5; x a dictionary of a number and a list."""

    def simulator(x):
        a, b = x["rate"], x["load"]
        return {"same": np.full(2, 3.0), "large": 1e6 * a * b[0] + 1e7, "small": [1e-5 * np.sin(2 * b[1])]}

    bounds = {"rate": 0.0, "load": [0.0, -1.0]}, {"rate": 1.0, "load": [2.0, 1.0]}
    model = sx.fit_surrogate(simulator, bounds, key=jax.random.key(0), evaluations=256)
    x = {"rate": 0.5, "load": jnp.array([1.0, 0.2])}
    y = model(x)
    assert list(y["same"]) == [3.0, 3.0] and abs(y["large"] - 1.05e7) < 3e4
    assert abs(y["small"][0] - 1e-5 * np.sin(0.4)) < 3e-7
    slope = jax.grad(lambda x: model(x)["small"][0])(x)["load"][1]
    assert abs(slope / (2e-5 * np.cos(0.4)) - 1) < 0.1
    assert not np.any(jax.jacobian(lambda x: model(x)["same"])(x)["rate"])
    assert np.sum(model.report.constant) == 2 and "2 numbers constant" in str(model)
    assert np.array_equal(model.bounds[1]["load"], np.array([2.0, 1.0], np.float32))


@pytest.mark.slow
def test_double_precision_and_a_single_number(x64):
    model = sx.fit_surrogate(np.sin, (0.0, 3.0), key=jax.random.key(0), evaluations=128)
    assert model(1.0).dtype == jnp.float64 and abs(jax.grad(model)(1.0) - np.cos(1.0)) < 0.01
    assert model(jnp.float32(1.0)).dtype == jnp.float64


@pytest.mark.slow
def test_the_same_key_gives_the_same_surrogate():
    one, two = (sx.fit_surrogate(np.sin, (0.0, 1.0), key=jax.random.key(3), evaluations=100) for _ in range(2))
    x = jnp.linspace(0, 1, 50)
    assert np.array_equal(jax.vmap(one)(x), jax.vmap(two)(x)) and str(one) == str(two)


@pytest.mark.slow
def test_derivatives_of_the_function_are_learned_from():
    """80 points in five dimensions are too few for values alone."""
    kwargs = {"key": jax.random.key(0), "evaluations": 200}
    jacobian = lambda x: fs.friedman_slope(x).astype(np.float32)
    with_slopes = sx.fit_surrogate(fs.friedman, BOX5, gradients=jacobian, **kwargs)
    X = points(BOX5)
    exact = [fs.friedman_slope(x) for x in X]
    assert fs.cosine(jax.vmap(jax.grad(with_slopes))(X), exact) > 0.97
    assert with_slopes.report.evaluations <= 200


@pytest.mark.slow
@pytest.mark.parametrize(
    "via",
    [
        sx.Manual(vjp=lambda x, y, ct: (ct[0] * np.cos(x) + ct[1] * 2 * x).astype(x.dtype)),
        sx.Manual(jvp=lambda x, y, v: np.array([np.sum(np.cos(x) * v), np.sum(2 * x * v)], y.dtype)),
    ],
)
def test_the_derivative_of_a_black_box_is_learned_from(via):
    f = sx.blackbox(lambda x: np.array([np.sin(x).sum(), (x**2).sum()]), jax.ShapeDtypeStruct((2,), float), via=via)
    model = sx.fit_surrogate(f, BOX2, key=jax.random.key(0), evaluations=250)
    x = jnp.array([0.5, -1.0])
    np.testing.assert_allclose(jax.jacobian(model)(x), [np.cos(x), 2 * x], atol=0.05)
    assert f.stats().evaluations == model.report.evaluations <= 250


def test_a_wrong_derivative_shows_in_the_check():
    wrong = lambda x: -np.cos(x) * np.ones(1, np.float32)[0]
    with pytest.raises(sx.SpanaxError):
        model = sx.fit_surrogate(np.sin, (0.0, 1.5), key=jax.random.key(0), evaluations=100, gradients=wrong)
        jax.grad(model)(0.5)


@pytest.mark.slow
def test_noise_is_measured_and_allowed_for():
    noise = np.random.default_rng(0)
    f = lambda x: np.sum(x**2) + 0.5 * noise.standard_normal()
    model = sx.fit_surrogate(f, BOX2, key=jax.random.key(0), evaluations=400, noisy=True)
    X = points(BOX2)
    assert fs.cosine(jax.vmap(jax.grad(model))(X), 2 * X) > 0.9
    assert 0.3 < model.report.noise[0] < 0.8 and model.report.distance > 0.01
    assert model.report.cosine > 0.8 and "no function of x has" in str(model)


def test_noise_that_a_seed_cancels_is_not_subtracted():
    # Large noise that depends on the seed alone is not in the changes: taken off them, it would leave less than nothing.
    f = lambda x, seed: np.sum(x**2) + np.random.default_rng(seed).standard_normal()
    model = sx.fit_surrogate(f, BOX2, key=jax.random.key(0), evaluations=300, noisy=True)
    assert model.report.cosine_error > 0 and 0.3 < model.report.cosine < 0.9999


@pytest.mark.slow
def test_a_module_of_the_users_is_trained():
    import equinox as eqx

    module = eqx.nn.MLP(2, "scalar", 32, 2, activation=jnp.tanh, key=jax.random.key(0))
    model = sx.fit_surrogate(fs.bowl, BOX2, key=jax.random.key(0), evaluations=200, model=module)
    x = jnp.array([1.0, -1.0])
    np.testing.assert_allclose(jax.grad(model)(x), 2 * (x - 0.25), atol=0.3)
    assert np.isnan(model.report.spread[0]) and model.report.r2[0] > 0.98


@pytest.mark.slow
def test_failed_points_are_left_out_and_counted():
    f = lambda x: np.nan if x[0] > 1.5 else fs.bowl(x)
    run = sx.Run(on_failure="drop", retries=0)
    model = sx.fit_surrogate(f, BOX2, key=jax.random.key(0), evaluations=200, run=run)
    assert 0 < model.report.failures < 60 and model.report.r2[0] > 0.98
    with pytest.raises(sx.SpanaxError, match="returned NaN"):
        sx.fit_surrogate(f, BOX2, key=jax.random.key(0), evaluations=200)


def test_a_store_is_learned_from_without_an_evaluation(tmp_path):
    store, calls = sx.Store(tmp_path / "runs.db", version="1"), []

    def counted(x):
        calls.append(x)
        return fs.camel(x)

    f = sx.blackbox(counted, jax.ShapeDtypeStruct((), float), via=sx.SPSA(0.1), store=store, name="camel")
    f.evaluate(points(BOX2, 230))
    model = sx.fit_surrogate(store, BOX2, key=jax.random.key(0))
    assert len(calls) == 230 == model.report.evaluations and not model.report.probed
    assert "no probes were made" in str(model) and model.report.r2[0] > 0.97
    assert fs.cosine(jax.grad(model)(jnp.ones(2)), fs.camel_slope(np.ones(2))) > 0.9
    with pytest.raises(sx.SpanaxError, match="lie between the bounds"):
        sx.fit_surrogate(store, (np.full(2, -0.1), np.full(2, 0.1)), key=jax.random.key(0))
    with pytest.raises(sx.SpanaxError, match="0 tables of the store"):
        sx.fit_surrogate(store, (-1.0, 1.0), key=jax.random.key(0))


def test_a_fit_that_is_interrupted_goes_on_where_it_was(model, tmp_path):
    """`tests/surrogate/test_killed_fits.py` kills it."""
    calls, ends = [], iter([70, 150, 260, 10**9])

    def interrupted(x):
        if len(calls) == end:
            raise KeyboardInterrupt
        calls.append(x.tobytes())
        return fs.camel(x)

    for end in ends:  # noqa: B007, the function reads it
        store = sx.Store(tmp_path / "runs.db", version="1")
        try:
            again = sx.fit_surrogate(
                interrupted, BOX2, key=jax.random.key(1), evaluations=300, store=store, name=model.report.name
            )
        except KeyboardInterrupt:
            store.close()
    X = points(BOX2, 50)
    assert np.array_equal(jax.vmap(again)(X), jax.vmap(model)(X)) and str(again) == str(model)
    # Each is in the store before it is used, the first one among them: it finds the form of the result.
    assert len(set(calls)) == len(calls) <= 300


def test_the_picture(model, tmp_path):
    pytest.importorskip("matplotlib")
    model.plot(tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    with pytest.raises(sx.SpanaxError, match=r"a\.png"):
        model.plot(tmp_path / "a.gif")
