"""Parameters at their edges: logits of 0 and far out, probabilities of exactly 0 and 1, rates of 0."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

EXTREME = [20.0, 80.0, 1000.0]
SIGNED = [0.0, *EXTREME, *(-x for x in EXTREME)]

BRIDGES = {
    "score function": sx.ScoreFunction(None),
    "leave-one-out": sx.LeaveOneOut(3),
    "DisARM": sx.DisARM(2),
    "enumerate": sx.Enumerate(),
    "straight-through": sx.StraightThrough(),
    "ReinMax": sx.ReinMax(),
    "Gumbel-softmax": sx.GumbelSoftmax(0.5),
    "hard Gumbel-softmax": sx.GumbelSoftmax(0.5, hard=True),
}


def squares(z):
    return jnp.sum((z + 1) ** 2)


def gradient_of(make, via, f=squares, samples=1):
    """theta -> the gradient of one estimate of E[f(z)]."""

    def program(theta, *, key):
        return f(sx.sample(key, make(theta), via=via).astype(theta.dtype))

    return jax.jit(jax.grad(sx.expectation(program, samples=samples)))


def p_and_q(logit):
    """p and 1 - p in float64, both to full relative accuracy; 0 where float64 underflows."""
    small, large = math.exp(-abs(logit)) / (1 + math.exp(-abs(logit))), 1 / (1 + math.exp(-abs(logit)))
    return (large, small) if logit >= 0 else (small, large)


def relative(dtype):
    return 1e-5 if dtype == jnp.float32 else 1e-12


def bernoulli(logit):
    return dist.Bernoulli(logits=logit)


# -- logits


@pytest.mark.few(5)
@pytest.mark.parametrize("logit", SIGNED)
def test_enumerate_bernoulli_logits(logit, key, dtype):
    """p (1 - p) (f(1) - f(0)), in relative terms: neither clipped nor rounded to 0."""
    p, q = p_and_q(logit)
    gradient = gradient_of(bernoulli, sx.Enumerate())(dtype(logit), key=key)
    np.testing.assert_allclose(gradient, p * q * 3, rtol=relative(dtype))


@pytest.mark.few(4)
@pytest.mark.parametrize("logit", SIGNED)
def test_enumerate_binomial_logits(logit, key, dtype):
    """n p (1 - p) sum_k C(n - 1, k) p^k (1 - p)^(n - 1 - k) (f(k + 1) - f(k))."""
    n, (p, q) = 4, p_and_q(logit)
    rises = sum(math.comb(n - 1, k) * p**k * q ** (n - 1 - k) * ((k + 2) ** 2 - (k + 1) ** 2) for k in range(n))
    gradient = gradient_of(lambda t: dist.Binomial(n, logits=t), sx.Enumerate())(dtype(logit), key=key)
    np.testing.assert_allclose(gradient, n * p * q * rises, rtol=relative(dtype))


def middle(z, p, q):
    """2 m (1 - m) - p q/2 with m = (p + z)/2: ReinMax's derivative of z."""
    return 2 * (p + z) / 2 * (q + (1 - z)) / 2 - p * q / 2


# The derivative of one estimate, given its draw z, of f = (z + 1)^2.
GIVEN_DRAW = {
    "score function": lambda z, p, q: (z + 1) ** 2 * (q if z else -p),
    "straight-through": lambda z, p, q: 2 * (z + 1) * p * q,
    "ReinMax": lambda z, p, q: 2 * (z + 1) * middle(z, p, q),
}


@pytest.mark.few(14)
@pytest.mark.parametrize("logit", SIGNED)
@pytest.mark.parametrize("bridge", GIVEN_DRAW)
def test_each_estimate_is_right_given_its_draw(bridge, logit, key, dtype):
    """In relative terms, and at logit 0 for both values of the draw: weights of -1/2 and 1/2 of the score."""

    def program(theta, *, key):
        z = sx.sample(key, bernoulli(theta), via=BRIDGES[bridge])
        return squares(z), z

    estimate = jax.value_and_grad(sx.expectation(program, has_aux=True), has_aux=True)
    keys = jax.random.split(key, 32)
    (_, z), gradients = jax.jit(jax.vmap(lambda k: estimate(dtype(logit), key=k)))(keys)
    z = np.asarray(z)[:, 0]
    assert set(z.tolist()) == ({0.0, 1.0} if logit == 0 else {float(logit > 0)})
    truth = [GIVEN_DRAW[bridge](x, *p_and_q(logit)) for x in z.tolist()]
    np.testing.assert_allclose(gradients, truth, rtol=relative(dtype))


def test_score_of_binomial_logits_at_zero(key, dtype):
    """z - n/2; NumPyro 0.22's own derivative is z."""

    def program(theta, *, key):
        z = sx.sample(key, dist.Binomial(4, logits=theta), via=sx.ScoreFunction(None))
        return squares(z.astype(theta.dtype)), z

    estimate = jax.grad(sx.expectation(program, has_aux=True), has_aux=True)
    gradients, z = jax.jit(jax.vmap(lambda k: estimate(dtype(0.0), key=k)))(jax.random.split(key, 64))
    z = np.asarray(z, np.float64)[:, 0]
    assert set(z.tolist()) == {0, 1, 2, 3, 4}
    np.testing.assert_allclose(gradients, (z + 1) ** 2 * (z - 2), rtol=relative(dtype))


@pytest.mark.few(6)
@pytest.mark.parametrize("logit", [x for x in SIGNED if x])
@pytest.mark.parametrize("bridge", ["leave-one-out", "DisARM"])
def test_estimates_from_equal_draws_are_zero(bridge, logit, key, dtype):
    """Every draw is the likelier value (the other has a chance below 1e-8), and costs that agree teach nothing."""
    f = gradient_of(bernoulli, BRIDGES[bridge])
    assert not np.any(jax.vmap(lambda k: f(dtype(logit), key=k))(jax.random.split(key, 8)))


@pytest.mark.few(1)
@pytest.mark.parametrize("value", [0.0, 1.0])
def test_disarm_never_draws_the_impossible(value):
    """Of 2^24 uniforms in float32 one is exactly 0 here: it is no reason to draw 0 where p is exactly 1."""
    logits = jnp.full(2**24, 1000.0 if value else -1000.0)
    assert jnp.all(sx.DisARM().draw(jax.random.key(0), bernoulli(logits)) == value)


@pytest.mark.few(6)
@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("logit", [0.0, 20.0, -20.0, 80.0, -80.0])
def test_gumbel_softmax_given_its_noise(logit, hard, key, dtype):
    """The derivative s (1 - s)/temperature in relative terms, on both sides alike; the noise is seen at logit 0."""
    unit = np.asarray(sx.GumbelSoftmax(1.0).draw(key, bernoulli(jnp.zeros(200, dtype))), np.float64)
    noise = np.log(unit / (1 - unit))
    likely = np.abs(noise) < 6  # beyond, the noise read off a float32 is too rough
    s, rest = np.array([p_and_q(logit + x) for x in noise]).T

    def total(theta):
        return jnp.sum(sx.GumbelSoftmax(1.0, hard=hard).draw(key, bernoulli(theta)))

    slope = np.asarray(jax.grad(total)(jnp.full(200, logit, dtype)))
    np.testing.assert_allclose(slope[likely], (s * rest)[likely], rtol=1e-3)


CATEGORICAL_LOGITS = [
    [0.0, -np.inf, 1.0],
    [-np.inf, 0.5, -np.inf],
    [0.0, 1000.0, -1000.0],
    [1000.0, 1000.0, 999.0],
    [-1000.0, -1000.0, -1001.0],
    [80.0, 0.0, -80.0],
]
CATEGORICAL = [name for name in BRIDGES if name != "DisARM"]


def categorical(logits):
    return dist.Categorical(logits=logits, validate_args=False)  # NumPyro's check refuses -inf


@pytest.mark.parametrize("logits", CATEGORICAL_LOGITS, ids=str)
def test_enumerate_categorical_logits(logits, key, dtype):
    """p_j (f(j) - E[f]); absolute to rounding."""
    p = np.exp(np.array(logits) - max(logits))
    p /= np.sum(p)
    f = np.array([1.0, 4.0, 9.0])
    gradient = gradient_of(categorical, sx.Enumerate())(jnp.asarray(logits, dtype), key=key)
    np.testing.assert_allclose(gradient, p * (f - p @ f), rtol=relative(dtype), atol=relative(dtype))


@pytest.mark.parametrize("bridge", CATEGORICAL)
def test_categorical_logits_give_no_nan(bridge, key):
    """Finite, and no derivative for a category that is impossible."""
    logits = jnp.asarray(CATEGORICAL_LOGITS)
    one = gradient_of(categorical, BRIDGES[bridge])
    gradients = jax.vmap(lambda x: jax.vmap(lambda k: one(x, key=k))(jax.random.split(key, 16)))(logits)
    assert np.all(np.isfinite(gradients))
    impossible = np.isneginf(logits)[:, None] & np.ones((1, 16, 1), bool)
    assert not np.any(np.asarray(gradients)[impossible])


@pytest.mark.parametrize("hard", [False, True])
def test_gumbel_softmax_is_never_nan(hard, key):
    """1e5 float32 draws at temperature .1, of values and of gradients (torch's can be NaN: pytorch#22442)."""
    bridge = sx.GumbelSoftmax(0.1, hard=hard)
    extreme = jnp.array([-1000.0, -80.0, 0.0, 80.0, 1000.0])

    def weighted(make, theta, key):
        z = bridge.draw(key, make(theta))
        return jnp.sum(z * jnp.arange(1.0, z.size + 1).reshape(z.shape))

    for make, theta in [(bernoulli, extreme), (categorical, extreme), (categorical, jnp.asarray(CATEGORICAL_LOGITS))]:
        one = jax.value_and_grad(lambda t, k, make=make: weighted(make, t, k))
        drawn = jax.jit(jax.vmap(one, (None, 0)))(theta, jax.random.split(key, 100_000 // theta.size + 1))
        assert all(np.all(np.isfinite(x)) for x in drawn)


# -- probabilities of exactly 0 and 1


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_enumerate_bernoulli_probs(p, key, dtype):
    """Of E[sum z] = sum p: 1 for each of three, where clipped probabilities give a silent 0."""
    f = gradient_of(lambda t: dist.Bernoulli(probs=t).to_event(1), sx.Enumerate(), jnp.sum)
    np.testing.assert_array_equal(f(jnp.full(3, p, dtype), key=key), [1, 1, 1])


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_enumerate_bernoulli_probs_of_a_nonlinear_cost(p, key, dtype):
    """d/dp_i E[f] = f(z with z_i = 1) - f(z with z_i = 0), the others where they surely are."""
    f = gradient_of(lambda t: dist.Bernoulli(probs=t).to_event(1), sx.Enumerate(), lambda z: jnp.sum(z) ** 3)
    np.testing.assert_allclose(f(jnp.full(3, p, dtype), key=key), [27 - 8 if p else 1] * 3, rtol=relative(dtype))


@pytest.mark.parametrize("p", [[0.0, 0.5, 0.5], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]], ids=str)
def test_enumerate_categorical_probs(p, key, dtype):
    """Of the normalised probabilities: f(j) - E[f], also where p_j is 0."""
    f = np.array([1.0, 4.0, 9.0])
    gradient = gradient_of(lambda t: dist.Categorical(probs=t), sx.Enumerate())(jnp.asarray(p, dtype), key=key)
    np.testing.assert_allclose(gradient, f - p @ f, rtol=relative(dtype))


@pytest.mark.parametrize("p, truth", [(0.0, 4 * (4 - 1)), (1.0, 4 * (25 - 16))])
def test_enumerate_binomial_probs(p, truth, key, dtype):
    """n (f(1) - f(0)) and n (f(n) - f(n - 1)); the second derivative likewise: n (n - 1) times the second difference."""
    f = gradient_of(lambda t: dist.Binomial(4, probs=t), sx.Enumerate())
    np.testing.assert_allclose(f(dtype(p), key=key), truth, rtol=relative(dtype))
    np.testing.assert_allclose(jax.grad(f)(dtype(p), key=key), 4 * 3 * 2, rtol=relative(dtype))


PROBS = {
    "Bernoulli 0": (lambda t: dist.Bernoulli(probs=t), 0.0, -1),
    "Bernoulli 1": (lambda t: dist.Bernoulli(probs=t), 1.0, 4),
    "Binomial 0": (lambda t: dist.Binomial(4, probs=t), 0.0, -4 * 1),
    "Binomial 1": (lambda t: dist.Binomial(4, probs=t), 1.0, 4 * 25),
    "Categorical": (lambda t: dist.Categorical(probs=t), [0.0, 1.0, 0.0], [-4, 0, -4]),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("make, p, share", PROBS.values(), ids=PROBS)
def test_score_function_at_probs_0_and_1_has_the_share_of_what_is_drawn(make, p, share, key, dtype):
    """f(z) d log p(z), finite; the share of the value that is never drawn is missing, as the docstring says."""
    p = jnp.asarray(p, dtype)
    f = gradient_of(make, sx.ScoreFunction(None))
    np.testing.assert_allclose(f(p, key=key), share, rtol=relative(dtype))
    assert np.all(np.isfinite(jax.jit(jax.jacfwd(f))(p, key=key)))


def says_so(bridge):
    doc = " ".join((type(bridge).__doc__ or "").split())
    return "exactly 0 or 1" in doc


@pytest.mark.few(6)
@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("bridge", BRIDGES)
def test_at_probs_0_and_1_a_bridge_is_right_or_its_docstring_says_so(bridge, p, key):
    right = {"enumerate": 3.0, "straight-through": 4.0 if p else 2.0}  # exact, and f'(z) dp/dp
    gradient = gradient_of(lambda t: dist.Bernoulli(probs=t), BRIDGES[bridge])(jnp.float32(p), key=key)
    assert gradient == right.get(bridge) or says_so(BRIDGES[bridge])


# -- infinite supports


def bounded(z):
    return jnp.sum(1 / (1 + z) + 0.5)


INFINITE = {
    "Poisson of rate 0": (lambda t: dist.Poisson(t), 0.0),
    "Geometric of probability 1": (lambda t: dist.Geometric(probs=t), 1.0),
    "Geometric of logit 80": (lambda t: dist.Geometric(logits=t), 80.0),
    "Geometric of logit -80": (lambda t: dist.Geometric(logits=t), -80.0),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("via, samples", [(sx.ScoreFunction(None), 1), (sx.ScoreFunction(), 2), (sx.LeaveOneOut(3), 1)])
@pytest.mark.parametrize("make, theta", INFINITE.values(), ids=INFINITE)
def test_infinite_supports_give_no_nan(make, theta, via, samples, key, dtype):
    def program(theta, *, key):
        return bounded(sx.sample(key, make(theta), via=via).astype(theta.dtype))

    estimate = sx.expectation(program, samples=samples)
    orders = jax.jit(lambda t: [f(t, key=key) for f in (estimate, jax.grad(estimate), jax.grad(jax.grad(estimate)))])
    assert np.all(np.isfinite(orders(dtype(theta))))


@pytest.mark.parametrize("name", ["Poisson", "Geometric"])
@pytest.mark.parametrize("bridge", [sx.ScoreFunction, sx.LeaveOneOut])
def test_the_missing_share_at_the_edge_of_an_infinite_support_is_documented(bridge, name):
    """Poisson(0) only ever draws 0, so f(1) is missing of d/drate E[f] = f(1) - f(0); Geometric(probs=1) likewise."""
    assert name in bridge.__doc__


FIXED_SUPPORTS = {
    "affine of a normal vector": lambda t: dist.TransformedDistribution(
        dist.MultivariateNormal(jnp.zeros(2), jnp.eye(2)), dist.transforms.AffineTransform(t, 2.0)
    ),
    "power of a gamma": lambda t: dist.TransformedDistribution(
        dist.Gamma(2.0, jnp.exp(t)), dist.transforms.PowerTransform(jnp.asarray(2.0))
    ),
}


@pytest.mark.few(1)
@pytest.mark.parametrize("name", FIXED_SUPPORTS)
def test_score_function_of_a_transform_with_a_fixed_support(name, key):
    """Within 5 standard errors of the pathwise gradient: a false alarm in fewer than 1e-5 of the keys."""

    def slopes(via):
        f = lambda t, *, key: jnp.mean(jnp.log1p(sx.sample(key, FIXED_SUPPORTS[name](t), via=via) ** 2))
        keys = jax.random.split(key, 20_000)
        return jax.jit(jax.vmap(jax.grad(lambda t, k: sx.expectation(f)(t, key=k)), (None, 0)))(0.3, keys)

    score, pathwise = slopes(sx.ScoreFunction()), slopes(sx.Pathwise())
    error = jnp.sqrt((jnp.var(score) + jnp.var(pathwise)) / len(score))
    assert jnp.abs(jnp.mean(score) - jnp.mean(pathwise)) < 5 * error


def test_nothing_is_enumerated_as_one_value(key):
    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        return jnp.sum(z) + 3.0

    value, slope = jax.value_and_grad(sx.expectation(f))(jnp.zeros((0,)), key=key)
    assert value == 3
    assert slope.shape == (0,)


def test_reinmax_promises_nothing_at_another_temperature():
    assert sx.ReinMax().facts.unbiased_for.startswith("f quadratic")
    assert sx.ReinMax(2.0).facts.unbiased_for.startswith("nothing exactly")
