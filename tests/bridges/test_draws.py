"""Draws: in single precision at least, with counts that are arrays, and of concentrations so small that floats underflow."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

from .reference import assert_mean_is, central_differences, sigmoid

# -- low precision


def rare(via):
    """100 E[z] of a Bernoulli of probability 3.35e-4, far below the 1/128 of a uniform number in bfloat16."""
    return lambda t, *, key: 100 * sx.sample(key, dist.Bernoulli(logits=t), via=via)


BRIDGES = [
    sx.ScoreFunction(None),
    sx.LeaveOneOut(8),
    sx.DisARM(4),
    sx.StraightThrough(),
    sx.ReinMax(),
    sx.Enumerate(),
    sx.GumbelSoftmax(0.5),
    sx.GumbelSoftmax(0.5, hard=True),
    sx.Componentwise(None),
]


@pytest.fixture(scope="module")
def drawn():
    """Of each bridge, in each precision: 80,000 values and gradients, from the same keys."""
    keys = jax.random.split(jax.random.key(2026), 80_000)
    found = {}
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
        t = jnp.asarray(-8.0, dtype)
        each = [jax.value_and_grad(sx.expectation(rare(via))) for via in BRIDGES]
        run = jax.jit(jax.vmap(lambda k, each=each, t=t: [f(t, key=k) for f in each]))
        found[dtype] = [[np.asarray(x, np.float64) for x in pair] for pair in run(keys)]
    return found


def biased(via):
    return isinstance(via, sx.GumbelSoftmax)


# 2 x 7 means of about 27 of 80,000 draws, each allowed 4 standard errors: a false alarm in .1% of the keys.
@pytest.mark.few(1)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_rare_draws_have_their_probability(drawn, dtype):
    p = sigmoid(-8.0)
    for via, (values, gradients) in zip(BRIDGES, drawn[dtype], strict=True):
        if not biased(via):
            for found, truth in ((values, 100 * p), (gradients, 100 * p * (1 - p))):
                error = np.std(found) / len(found) ** 0.5
                assert abs(np.mean(found) - truth) < 4 * error + 0.01 * truth, via
                assert error < truth / 2


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_draws_are_those_of_single_precision(drawn, dtype):
    for via, single, low in zip(BRIDGES, drawn[jnp.float32], drawn[dtype], strict=True):
        for x, y in zip(single, low, strict=True):
            np.testing.assert_allclose(np.mean(y), np.mean(x), rtol=0.02, err_msg=repr(via))


@pytest.mark.few(1)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_dtypes_stay(dtype):
    key, t = jax.random.key(0), jnp.asarray(0.3, dtype)
    assert sx.sample(key, dist.Bernoulli(logits=t)).dtype == dtype
    assert sx.sample(key, dist.Categorical(logits=jnp.stack([t, t])), via=sx.GumbelSoftmax()).dtype == dtype
    assert sx.sample(key, dist.Poisson(t)).dtype == jnp.int32
    value, slope = jax.value_and_grad(sx.expectation(rare(sx.ScoreFunction())))(t, key=key)
    assert value.dtype == slope.dtype == dtype
    assert jnp.isclose(jnp.std(sx.hard.round(jnp.zeros(1, dtype), via=sx.Perturbed(1.0, 1000), key=key)), 0)


# -- counts that are arrays


def of_counts(z):
    return jnp.sum(z.astype(jnp.float32) * jnp.array([1.0, 2.0, -0.5]), -1) ** 2


PROBS = jnp.array([0.2, 0.3, 0.5])


@pytest.mark.few(1)
@pytest.mark.parametrize("most", [6, None])
@pytest.mark.parametrize(
    "make",
    [lambda n, **k: dist.Multinomial(n, probs=PROBS, **k), lambda n, **k: dist.DirichletMultinomial(2 * PROBS, n, **k)],
)
def test_a_traced_count_is_what_is_drawn(make, most, key):
    """numpyro 0.22 draws `total_count_max` of them."""
    n = jnp.array([0, 3, 5])
    drawn = jax.jit(jax.vmap(lambda n, k: sx.sample(k, make(n, total_count_max=most))))(n, jax.random.split(key, 3))
    np.testing.assert_array_equal(jnp.sum(drawn, -1), n)
    together = jax.jit(lambda n: sx.sample(key, make(n, total_count_max=most)))(n)
    np.testing.assert_array_equal(jnp.sum(together, -1), n)
    assert jnp.all(sx.sample(key, make(n)) >= 0) and drawn.dtype == together.dtype == sx.sample(key, make(n)).dtype


# 3 cases with 9 components: a false alarm in .1% of the keys.
@pytest.mark.parametrize("program", ["closed over", "in a scan", "raw probabilities"])
def test_the_gradient_with_counts_that_are_arrays(program, key):
    def mean(p):
        q, w = p / np.sum(p), np.array([1.0, 2.0, -0.5])
        return 3 * (q @ w**2 - (q @ w) ** 2) + (3 * q @ w) ** 2

    def one(p, n, key, **options):
        return of_counts(sx.sample(key, dist.Multinomial(n, probs=p, **options)))

    def f(p, *, key):
        if program == "in a scan":
            step = lambda c, kn: (c, one(p, kn[1], kn[0], total_count_max=4))
            return jnp.mean(jax.lax.scan(step, 0, (jax.random.split(key, 2), jnp.array([3, 3])))[1])
        if program == "closed over":
            return jax.jit(lambda n: one(p, n, key, total_count_max=4))(jnp.int32(3))
        return one(p, 3, key)

    p = np.array([0.3, 0.4, 0.7])
    estimate = jax.grad(sx.expectation(f))
    keys = jax.random.split(key, 20_000)
    assert_mean_is(
        central_differences(mean, p),
        np.asarray(jax.jit(jax.vmap(lambda k: estimate(jnp.asarray(p, jnp.float32), key=k)))(keys)),
    )


def drift(t, x, s):
    return -t * x, 0.5 + 0 * x


def walk(function):
    return dist.EulerMaruyama(jnp.arange(3.0), function, dist.Normal(1.0, 0.5))


def test_a_function_in_a_static_field(key):
    """E[the sum of a walk of two steps] = 1 + (1 - t) + (1 - t)^2. One component: a false alarm in .01% of the keys."""

    def seen(t, *, key):
        return jnp.sum(sx.sample(key, walk(jax.tree_util.Partial(drift, t))))

    def captured(t, *, key):
        return jnp.sum(sx.sample(key, walk(lambda x, s: drift(t, x, s))))

    keys = jax.random.split(key, 20_000)
    drawn = jax.jit(jax.vmap(lambda k: jax.grad(sx.expectation(seen))(0.3, key=k)))(keys)
    assert_mean_is(np.array(-1 - 2 * 0.7), np.asarray(drawn))
    with pytest.raises(sx.SpanaxError, match=r"(?s)captured a traced array.*Partial"):
        jax.grad(sx.expectation(captured))(0.3, key=key)


def test_what_is_no_numpyro_distribution_is_refused(key):
    class Foreign:
        def sample(self, seed):
            return 0.0

        log_prob = sample

    with pytest.raises(sx.SpanaxError, match=r"(?s)Foreign.*a numpyro distribution"):
        sx.sample(key, Foreign())


@pytest.mark.parametrize("make", [dist.LeftCensoredDistribution, dist.RightCensoredDistribution])
def test_a_censored_distribution_is_refused(make, key):
    censored = make(dist.Normal(0.0, 1.0), jnp.array(True))
    for d in (censored, censored.expand((3,)).to_event(1)):
        with pytest.raises(sx.SpanaxError, match=r"(?s)base_dist"):
            sx.sample(key, d, via=sx.ScoreFunction())


# -- small concentrations, in float32

SMALL = {
    "Beta": (lambda a: dist.Beta(a, 1.0), 0.01, lambda a: a / (1 + a)),
    "Dirichlet": (lambda a: dist.Dirichlet(jnp.stack([a, 1 + 0 * a])), 0.01, lambda a: a / (1 + a)),
    "Kumaraswamy": (lambda a: dist.Kumaraswamy(a, 1.0), 0.01, lambda a: a / (1 + a)),
    "sharp relaxed Bernoulli": (lambda a: dist.RelaxedBernoulliLogits(0.01, a), 0.3, lambda a: sigmoid(a)),
}


# 4 components: a false alarm in .03% of the keys. E[z] of the relaxed one is that of a Bernoulli, to .0001.
@pytest.mark.few(1)
@pytest.mark.parametrize("name", SMALL)
def test_scores_of_draws_that_underflow(name, key):
    make, a, mean = SMALL[name]

    def f(a, *, key):
        return sx.sample(key, make(a), via=sx.ScoreFunction(None)).reshape(-1)[0]

    keys = jax.random.split(key, 60_000)
    drawn = jax.jit(jax.vmap(lambda k: jax.grad(sx.expectation(f))(a, key=k)))(keys)
    assert_mean_is(central_differences(mean, a), np.asarray(drawn, np.float64))
