"""`Surrogate`: unbiased whatever the model does, better where the model is good, and biased where it says so."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

SIZE, PAIRS, SIGMA = 20, 32, 0.3
W = jnp.linspace(0.5, 2, SIZE)
X0 = jnp.linspace(-1, 1, SIZE)


def f(x):
    return jnp.sum(jnp.sin(W * x)) + 0.3 * x[0] * x[1]


def exact(x):
    """The derivative of E f(x + sigma u): a sine is damped by exp(-(w sigma)^2 / 2)."""
    slope = W * jnp.exp(-((W * SIGMA) ** 2) / 2) * jnp.cos(W * x)
    return slope.at[0].add(0.3 * x[1]).at[1].add(0.3 * x[0])


MODELS = {
    "itself": f,
    "constant": lambda x: jnp.ones(()),
    "sign flipped": lambda x: -f(x),
    "half": lambda x: 0.5 * f(x),
    "another function": lambda x: jnp.sum(jnp.cos(3 * x[::-1])) * 2,
    "another slope": lambda x: jnp.sum(x * jnp.where(jnp.arange(SIZE) % 2, 1.0, -1.0)) * 2,
    "jumps": lambda x: jnp.sum(jnp.round(3 * x)),
    "wild": lambda x: jnp.sinh(8 * jnp.sum(x)),
    "nan on one side": lambda x: f(x) + jnp.where(x[3] > 0, 0, jnp.nan),
    "wiggles besides": lambda x: f(x) + 0.5 * jnp.sum(jnp.cos(5 * x)),
}
WRONG = "constant", "sign flipped", "another function", "another slope", "wild"


def estimates(via, count, x=X0):
    def one(key):
        X = via.points(x, key)
        return via.combine(x, X, jax.vmap(f)(X), y=f(x))

    keys = jax.random.split(jax.random.key(1), count)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=250))(keys), float)


@pytest.fixture(scope="module")
def plain():
    return estimates(sx.Smoothing(SIGMA, PAIRS), 3000).var(0, ddof=1).sum()


@pytest.mark.few(3)
@pytest.mark.parametrize("name", MODELS)
def test_unbiased_whatever_the_model_is(name, plain):
    # 20 numbers, 4 standard errors: a false alarm in 800 for each model, with fixed keys.
    found = estimates(sx.Surrogate(SIGMA, PAIRS, MODELS[name]), 3000)
    error = np.sqrt(found.var(0, ddof=1) / len(found))
    assert np.all(np.abs(found.mean(0) - np.asarray(exact(X0))) < 4 * error)
    ratio = found.var(0, ddof=1).sum() / plain
    if name in WRONG:
        assert ratio < 1.07
    if name in ("itself", "half"):
        assert ratio < 0.1


def test_the_coefficient_of_a_wrong_model_is_about_0():
    x, key = X0, jax.random.key(0)
    for name, most in (("constant", 0.0), ("sign flipped", 0.02), ("another slope", 0.1)):
        via = sx.Surrogate(SIGMA, PAIRS, MODELS[name])
        state = via.untrained(x, f(x))
        for k in jax.random.split(key, 8):
            X = via.points(x, k)
            state = via.learned(state, [via.holding(state).evidence(x, X, jax.vmap(f)(X), y=f(x))])
        assert 0 <= via.agreement(state).coefficient <= most
    assert via.agreement(state).slopes > 0


def test_unbiased_between_bounds():
    # For a linear f the slope itself is the estimand at a bound, whatever the model's curvature.
    box, x = sx.bridges.Box(jnp.zeros(3), jnp.ones(3)), jnp.array([0.0, 0.5, 0.95])
    slope = jnp.array([1.0, -2.0, 3.0])
    via = sx.Surrogate(0.3, 8, lambda x: jnp.sum(x**3) + jnp.dot(slope, x)).within(box)

    def one(key):
        X = via.points(x, key)
        return via.combine(x, X, X @ slope, y=jnp.dot(slope, x)), jnp.min(X), jnp.max(X)

    found, low, high = jax.lax.map(jax.jit(one), jax.random.split(jax.random.key(0), 4000), batch_size=500)
    error = np.std(found, axis=0) / np.sqrt(len(found))
    assert np.all(np.abs(np.mean(found, axis=0) - slope) < 4 * error + 1e-6)
    assert jnp.min(low) >= 0 and jnp.max(high) <= 1


def test_linear_in_the_cotangent_and_several_results():
    def g(x):
        return {"a": jnp.stack([f(x), jnp.sum(x)]), "b": 3 * f(x)}

    via, x = sx.Surrogate(SIGMA, 8, lambda x: {"a": jnp.stack([f(x), f(x)]), "b": f(x)}), X0
    X = via.points(x, jax.random.key(0))
    Y = jax.vmap(g)(X)

    @jax.jit
    def at(a, b):
        return via.combine(x, X, Y, {"a": a, "b": b}, y=g(x))

    a, b = jnp.array([1.0, -2.0]), jnp.float32(0.5)
    whole, none = at(a, b), jnp.float32(0)
    parts = at(jnp.array([1.0, 0.0]), none) - 2 * at(jnp.array([0.0, 1.0]), none)
    assert np.allclose(whole, parts + 0.5 * at(jnp.zeros(2), jnp.float32(1)), rtol=1e-3, atol=1e-3)


def trained(via, x, calls, noise=0.0):
    state, draw = via.untrained(x, f(x)), jax.random.key(7)

    @eqx.filter_jit
    def step(bridge, x, key):
        X = bridge.points(x, key)
        Y = jax.vmap(f)(X) + noise * jax.random.normal(jax.random.fold_in(key, 1), (len(X),))
        return bridge.combine(x, X, Y, y=f(x)), bridge.evidence(x, X, Y, y=f(x))

    slope = None
    for k in jax.random.split(draw, calls):
        slope, evidence = step(via.holding(jax.tree.map(jnp.asarray, state)), x, k)
        state = via.learned(state, [jax.tree.map(np.asarray, evidence)])
        x = x - 0.002 * slope
    return jax.tree.map(jnp.asarray, state), x, slope


def test_learns_along_the_way():
    via = sx.Surrogate(SIGMA, 4)
    state, x, _ = trained(via, X0, 30)
    found, plain = (estimates(v, 1000, x) for v in (via.holding(state), sx.Smoothing(SIGMA, 4)))
    error = np.sqrt(found.var(0, ddof=1) / len(found))
    assert np.all(np.abs(found.mean(0) - np.asarray(exact(x))) < 4 * error)  # false alarm in 800
    assert found.var(0, ddof=1).sum() < 0.5 * plain.var(0, ddof=1).sum()
    assert via.agreement(state).cosine > 0.8


def test_direct_averages_over_the_noise_of_evaluations():
    via = sx.Surrogate(SIGMA, 4, trust="direct")
    state, x, slope = trained(via, X0, 30, noise=0.3)
    true = np.asarray(exact(x))
    plain = np.sqrt(np.mean(np.sum((estimates(sx.Smoothing(SIGMA, 4), 500, x) - true) ** 2, axis=1)))
    assert np.linalg.norm(slope - true) < 0.5 * plain
    found = via.agreement(state)
    assert 0 < found.error < 1 and "error" in str(found)


def test_without_a_model_it_is_smoothing():
    via, x, key = sx.Surrogate(SIGMA, PAIRS), X0, jax.random.key(0)
    X = via.points(x, key)
    Y = jax.vmap(f)(X)
    assert np.array_equal(X, sx.Smoothing(SIGMA, PAIRS, blocks=2).points(x, key))
    assert np.allclose(via.combine(x, X, Y, y=f(x)), sx.Smoothing(SIGMA, PAIRS, blocks=2).combine(x, X, Y))


def test_in_a_black_box_under_jit_and_vmap():
    def fn(x):
        return np.sum(np.asarray(x["a"]) ** 2) * x["b"]

    box = sx.blackbox(
        fn, jax.ShapeDtypeStruct((), float), via=sx.Surrogate(0.1, 8, lambda x: jnp.sum(x["a"] ** 2) * x["b"])
    )
    x = {"a": jnp.array([0.5, -0.5]), "b": jnp.float32(2)}
    slope = jax.jit(jax.grad(lambda a, key: box({**x, "a": a}, key=key)))
    keys = jax.random.split(jax.random.key(0), 400)
    many = jax.vmap(slope, in_axes=(None, 0))(x["a"], keys)
    error = np.std(many, axis=0) / 20
    assert np.all(np.abs(np.mean(many, axis=0) - np.array([2.0, -2.0])) < 4 * error + 1e-4)  # false alarm in 8,000
    assert np.all(np.std(many, axis=0) < 1)  # of 1.7 by smoothing alone


def test_one_pair_one_number_and_float64():
    with jax.enable_x64(True):
        via, x = sx.Surrogate(0.1, 1, lambda x: x**2), jnp.float64(1.5)
        X = via.points(x, jax.random.key(0))
        found = via.combine(x, X, X**2, y=x**2)
        assert found.dtype == jnp.float64 and found.shape == ()
        state = via.untrained(x, x**2)
        assert via.learned(state, [via.holding(state).evidence(x, X, X**2, y=x**2)]).found.count == 1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: sx.Surrogate(0.1, 4, trust="yes"), "trust='yes'"),
        (lambda: sx.Surrogate(-0.1, 4), "sigma=-0.1"),
        (lambda: sx.Surrogate(0.1, 0), "pairs=0"),
        (lambda: sx.Surrogate(0.1, 4, model=3), "model=3"),
        (lambda: sx.Surrogate(0.1, 4, memory=0), "memory=0"),
        (lambda: sx.Surrogate(0.1, 4).points(X0, None), "key=key"),
    ],
)
def test_wrong_arguments(make, message):
    with pytest.raises(sx.SpanaxError, match=message):
        make()


def test_a_model_of_something_else_is_refused():
    via = sx.Surrogate(0.1, 4, lambda x: x)
    X = via.points(X0, jax.random.key(0))
    with pytest.raises(sx.SpanaxError, match="what f returns"):
        via.combine(X0, X, jax.vmap(f)(X), y=f(X0))
