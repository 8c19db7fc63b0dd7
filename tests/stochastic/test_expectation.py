"""The face of `sample`, `cost`, `expectation` and `expect`: arguments, transformations, precisions."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx


def coin(logits):
    return dist.Bernoulli(logits=logits)


def two_draws(theta, *, key, via=None):
    """E = sum over (a, b) of p(a) p(b | a) f; the tests below know it in closed form."""
    key_a, key_b = jax.random.split(key)
    a = sx.sample(key_a, coin(theta[0]), via=via, name="a")
    b = sx.sample(key_b, coin(theta[1] + a), via=via, name="b")
    return (a + 2 * b - 0.4) ** 2 * jnp.cos(theta[0])


def two_draws_exact(theta):
    total = 0.0
    for a in (0.0, 1.0):
        for b in (0.0, 1.0):
            p_a, p_b = jax.nn.sigmoid(theta[0]), jax.nn.sigmoid(theta[1] + a)
            p = (p_a if a else 1 - p_a) * (p_b if b else 1 - p_b)
            total += p * (a + 2 * b - 0.4) ** 2 * jnp.cos(theta[0])
    return total


ENUMERATED = {"a": sx.Enumerate(), "b": sx.Enumerate()}


def test_plain_call_draws(key):
    z = sx.sample(key, coin(jnp.zeros(1000)))
    assert z.shape == (1000,) and z.dtype == jnp.float32
    assert set(np.unique(z)) == {0.0, 1.0}
    np.testing.assert_array_equal(z, jax.jit(lambda k: sx.sample(k, coin(jnp.zeros(1000))))(key))
    sx.cost(1.0)


def test_default_bridge_is_pathwise_where_it_can_be(key):
    slope = jax.grad(lambda m: sx.sample(key, dist.Normal(m, 1.0)))(0.3)
    assert slope == 1.0
    with pytest.raises(sx.SpanaxError, match=r"ScoreFunction\(baseline='auto'\)"):
        jax.grad(lambda m: sx.sample(key, coin(m)))(0.3)


@pytest.mark.few(2)
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, eqx.filter_jit], ids=["eager", "jit", "filter_jit"])
def test_value_and_gradient_exact(transform, dtype, key):
    theta = jnp.array([0.3, -0.7], dtype)
    value, grad = transform(jax.value_and_grad(sx.expectation(two_draws, via=ENUMERATED)))(theta, key=key)
    truth, slope = jax.value_and_grad(two_draws_exact)(theta)
    assert value.dtype == grad.dtype == dtype
    tolerance = 1e-5 if dtype == jnp.float32 else 1e-12
    np.testing.assert_allclose(value, truth, rtol=tolerance)
    np.testing.assert_allclose(grad, slope, rtol=tolerance)


def test_vmap_outside(key):
    thetas = jnp.linspace(-1.0, 1.0, 10).reshape(5, 2)
    keys = jax.random.split(key, 5)
    estimate = sx.expectation(two_draws, samples=3)
    slope = jax.jit(lambda t, k: jax.grad(estimate)(t, key=k))
    together = jax.jit(jax.vmap(slope))(thetas, keys)
    apart = jnp.stack([slope(t, k) for t, k in zip(thetas, keys, strict=True)])
    np.testing.assert_allclose(together, apart, rtol=1e-5, atol=1e-6)


def test_forward_and_reverse_mode_agree(key):
    estimate = sx.expectation(two_draws, samples=5)
    theta = jnp.array([0.3, -0.7])
    np.testing.assert_allclose(
        jax.jacfwd(estimate)(theta, key=key), jax.jacrev(estimate)(theta, key=key), rtol=1e-5, atol=1e-6
    )


def test_via_replaces_a_named_bridge(key):
    theta = jnp.array([0.3, -0.7])
    given = jax.grad(sx.expectation(lambda t, *, key: two_draws(t, key=key, via=sx.Enumerate())))(theta, key=key)
    named = jax.grad(sx.expectation(two_draws, via=ENUMERATED))(theta, key=key)
    np.testing.assert_allclose(given, named, rtol=1e-6)


def test_aux_is_stacked_over_samples(key):
    def f(theta, *, key):
        z = sx.sample(key, coin(theta))
        return z * theta, {"z": z, "shape": jnp.ones((2, 3)), "name": "kept", "count": 3}

    value, aux = sx.expectation(f, samples=7, has_aux=True)(0.4, key=key)
    assert aux["z"].shape == (7,) and aux["shape"].shape == (7, 2, 3) and aux["count"].shape == (7,)
    assert aux["name"] == "kept"
    np.testing.assert_allclose(value, 0.4 * aux["z"].mean(), rtol=1e-6)


def test_aux_of_a_branching_program_is_one_plain_run(key):
    def f(theta, *, key):
        z = sx.sample(key, coin(theta), via=sx.Enumerate())
        return z * theta, z

    value, aux = sx.expectation(f, has_aux=True)(0.4, key=key)
    assert aux.shape == (1,) and aux[0] in (0.0, 1.0)
    np.testing.assert_allclose(value, 0.4 * jax.nn.sigmoid(0.4), rtol=1e-6)


def test_modules_kwargs_and_closures(key):
    model = eqx.nn.MLP(2, 3, 8, 1, activation=jnp.tanh, key=key)

    def outer(scale):
        def f(model, x, *, key, power=1):
            z = sx.sample(key, dist.Bernoulli(logits=model(x)).to_event(1), via=sx.Enumerate())
            return scale * jnp.sum(z) ** power  # closes over a traced value

        value, grads = eqx.filter_value_and_grad(sx.expectation(f))(model, jnp.array([0.5, -1.0]), key=key, power=1)
        return value, grads

    def exact(model, scale):
        return scale * jnp.sum(jax.nn.sigmoid(model(jnp.array([0.5, -1.0]))))

    value, slope = jax.value_and_grad(lambda s: outer(s)[0])(1.7)
    np.testing.assert_allclose(value, exact(model, 1.7), rtol=1e-5)
    np.testing.assert_allclose(slope, exact(model, 1.0), rtol=1e-5)
    mine, theirs = outer(1.7)[1], eqx.filter_grad(exact)(model, 1.7)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6),
        *(eqx.filter(t, eqx.is_array) for t in (mine, theirs)),
    )


def test_expect_has_both_terms(key):
    def g(theta):
        return sx.expect(lambda a: jnp.exp(theta * a), coin(theta), key=key, via=sx.Enumerate())

    p = jax.nn.sigmoid(0.3)
    distribution_term = p * (1 - p) * (jnp.exp(0.3) - 1)
    own_term = p * jnp.exp(0.3)
    np.testing.assert_allclose(jax.grad(g)(0.3), distribution_term + own_term, rtol=1e-5)


def test_expect_by_score_function(key):
    # 4 standard errors of 400 independent estimates: false-alarm rate 6e-5
    slopes = jax.vmap(
        jax.grad(lambda t, k: sx.expect(lambda a: jnp.exp(t * a), coin(t), key=k, samples=50)), (None, 0)
    )(0.3, jax.random.split(key, 400))
    p = jax.nn.sigmoid(0.3)
    truth = p * (1 - p) * (jnp.exp(0.3) - 1) + p * jnp.exp(0.3)
    assert abs(slopes.mean() - truth) < 4 * slopes.std() / np.sqrt(400)


def test_costs_add_to_the_objective(key):
    def f(theta, *, key):
        z = sx.sample(key, coin(theta), via=sx.Enumerate())
        sx.cost(jnp.array([z, 2 * z]), name="pair")  # an array is summed
        return theta * z

    p = jax.nn.sigmoid(0.3)
    value, slope = jax.value_and_grad(sx.expectation(f))(0.3, key=key)
    np.testing.assert_allclose(value, 3.3 * p, rtol=1e-6)
    np.testing.assert_allclose(slope, 3.3 * p * (1 - p) + p, rtol=1e-6)


def test_nested_expectations(key):
    """The inner estimate enters nonlinearly: only its own mean over replicates is what the outer one sees."""

    def outer(theta, *, key):
        key_a, key_b = jax.random.split(key)
        a = sx.sample(key_a, coin(theta))
        inner = sx.expectation(lambda s, *, key: s * sx.sample(key, coin(theta)), samples=2)
        return inner(1.0 + a, key=key_b)

    # E = (1 + p) p. 4 standard errors of 2000 estimates: false-alarm rate 6e-5
    slopes = jax.vmap(lambda k: jax.grad(sx.expectation(outer, samples=4))(0.3, key=k))(jax.random.split(key, 2000))
    p = jax.nn.sigmoid(0.3)
    assert abs(slopes.mean() - (1 + 2 * p) * p * (1 - p)) < 4 * slopes.std() / np.sqrt(2000)


def test_mixed_precision_under_strict_promotion(x64, key):
    def f(theta, *, key):
        z = sx.sample(key, coin(theta.astype(jnp.float32)))
        sx.cost(z)
        return theta * z.astype(jnp.float64)

    value, slope = jax.value_and_grad(sx.expectation(f, samples=4))(jnp.asarray(0.3, jnp.float64), key=key)
    assert value.dtype == slope.dtype == jnp.float64


def test_raw_keys_work_too():
    key = jax.random.PRNGKey(0)
    assert jnp.isfinite(jax.grad(sx.expectation(two_draws, samples=2))(jnp.array([0.3, -0.7]), key=key)).all()


def test_fields_of_a_bridge_can_be_traced(key):
    def f(temperature):
        return sx.expectation(lambda *, key: sx.sample(key, coin(0.3), via=sx.GumbelSoftmax(temperature)) ** 2)(key=key)

    h = 1e-3
    np.testing.assert_allclose(jax.jit(jax.grad(f))(0.5), (f(0.5 + h) - f(0.5 - h)) / (2 * h), rtol=1e-2)


def test_moving_average_threads_through_a_loop(key):
    def f(theta, average, *, key):
        z = sx.sample(key, coin(theta), via=sx.ScoreFunction(baseline=average))
        return (z - 0.25) ** 2 + 10.0

    @jax.jit
    def step(carry, key):
        average = carry
        value, slope = jax.value_and_grad(sx.expectation(f))(0.0, average, key=key)
        return average.update(value), slope

    average, slopes = jax.lax.scan(step, sx.MovingAverage(0.9).update(10.3), jax.random.split(key, 4000))
    assert abs(average.value - 10.3125) < 0.3
    # 4 standard errors of 4000 estimates: false-alarm rate 6e-5; without the baseline the spread would be 5
    assert abs(slopes.mean() - 0.125) < 4 * slopes.std() / np.sqrt(4000)
    assert slopes.std() < 0.5
