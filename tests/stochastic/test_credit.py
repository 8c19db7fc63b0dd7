"""Credit by dataflow and order: draws answer only to costs that they reach, and the variance shows it."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from tests.compiling import optimised
from tests.stochastic.programs.forced import Forced

STEPS, REPLICATES, RUNS = 50, 32, 20_000


def walk(theta, *, key):
    """Steps up with probability sigmoid(theta); each step costs the squared height."""

    def step(height, key):
        up = sx.sample(key, dist.Bernoulli(logits=theta))
        height = height + 0.1 * (2 * up - 1)
        sx.cost(height**2)
        return height, None

    return 0.0 * lax.scan(step, 0.0, jax.random.split(key, STEPS))[0]


def by_hand(theta, runs):
    """Score function over replicates in NumPy, with a leave-one-out baseline at each step: by costs to go, and by all costs."""
    rng, p, estimates = np.random.default_rng(0), 1 / (1 + np.exp(-theta)), []
    for _ in range(runs // 1000):
        up = (rng.random((1000, REPLICATES, STEPS), np.float32) < p).astype(np.float32)
        cost = np.cumsum(0.1 * (2 * up - 1), -1) ** 2
        to_go = np.cumsum(cost[..., ::-1], -1)[..., ::-1]
        for returns in (to_go, np.broadcast_to(to_go[..., :1], to_go.shape)):
            baseline = (np.sum(returns, 1, keepdims=True) - returns) / (REPLICATES - 1)
            estimates.append(np.mean(np.sum((up - p) * (returns - baseline), -1), -1))
    return np.concatenate(estimates[::2]), np.concatenate(estimates[1::2])


@pytest.mark.slow
def test_walk_has_the_variance_of_reward_to_go_with_leave_one_out(key):
    ours = optimised(jax.vmap(lambda k: jax.grad(sx.expectation(walk, samples=REPLICATES))(0.2, key=k)))
    a = ours(jax.random.split(key, RUNS))
    b, c = by_hand(0.2, RUNS)
    # Variances of 20,000 nearly normal estimates: their ratio has a standard error of sqrt(4 / 20,000) = 1.4%, so 5% is
    # 3.5 standard errors: false-alarm rate 5e-4
    assert abs(a.var() / b.var() - 1) < 0.05
    assert c.var() > 1.2 * b.var()
    # two means, 4 standard errors: false-alarm rate 6e-5
    assert abs(a.mean() - b.mean()) < 4 * np.sqrt((a.var() + b.var()) / RUNS)


def independent_pair(theta, *, key):
    key_a, key_b = jax.random.split(key)
    a = sx.sample(key_a, dist.Bernoulli(logits=theta[0]))
    b = sx.sample(key_b, dist.Bernoulli(logits=theta[1]))
    sx.cost(100 * b)
    return a


def test_independent_draws_do_not_pay_for_each_other(key):
    slopes = jax.vmap(lambda k: jax.grad(sx.expectation(independent_pair))(jnp.zeros(2), key=k))(
        jax.random.split(key, 500)
    )
    # a's own estimate: (a - 1/2) a is 0 or 1/2, whatever b costs
    assert set(np.unique(slopes[:, 0])) == {0.0, 0.5}
    assert set(np.unique(slopes[:, 1])) == {0.0, 50.0}


def test_independence_is_seen_through_loops_and_branches(key):
    def f(theta, *, key):
        k1, k2, k3 = jax.random.split(key, 3)
        a = sx.sample(k1, dist.Bernoulli(logits=theta[0]))

        def step(carry, k):
            x, y = carry
            z = sx.sample(k, dist.Bernoulli(logits=theta[1]))
            return (x + a, y + z), None

        x, y = lax.scan(step, (0.0, 0.0), jax.random.split(k2, 3))[0]
        b = lax.cond(theta[0] > 0, lambda: sx.sample(k3, dist.Bernoulli(logits=theta[2])), lambda: 0.0)
        sx.cost(1000 * y)
        sx.cost(1000 * b)
        return x

    slopes = jax.vmap(lambda k: jax.grad(sx.expectation(f))(jnp.full(3, 1e-9), key=k))(jax.random.split(key, 300))
    assert set(np.unique(slopes[:, 0])) == {0.0, 1.5}  # (a - 1/2) 3 a


def test_costs_before_a_draw_are_not_its_own(key):
    def f(theta, *, key):
        key_a, key_b = jax.random.split(key)
        a = sx.sample(key_a, dist.Bernoulli(logits=theta[0]))
        sx.cost(1000 * a)
        return sx.sample(key_b, dist.Bernoulli(logits=theta[1] * a))

    slopes = jax.vmap(lambda k: jax.grad(sx.expectation(f))(jnp.zeros(2), key=k))(jax.random.split(key, 300))
    assert np.abs(slopes[:, 1]).max() == 0.5


def test_an_unrolled_program_compiles_in_linear_size(key):
    """One constant matrix for draws that share no loop: the program grows linearly with their number."""

    def unrolled(n):
        def f(theta, *, key):
            total = 0.0
            for k in range(n):
                total = total + sx.sample(jax.random.fold_in(key, k), dist.Bernoulli(logits=theta + total))
            return total

        return len(jax.make_jaxpr(sx.expectation(f))(0.3, key=key).eqns)

    assert unrolled(60) < 3.2 * unrolled(20)


@pytest.mark.few(1)
@pytest.mark.parametrize("samples", [1, 8])
def test_hessian_of_two_draws_is_unbiased(samples, key):
    def f(theta, *, key):
        key_a, key_b = jax.random.split(key)
        a = sx.sample(key_a, dist.Bernoulli(logits=theta[0]))
        b = sx.sample(key_b, dist.Bernoulli(logits=theta[1] + a))
        return (1 + theta[0]) * (a + 2 * b) ** 2

    def exact(theta):
        p = lambda x, logits: jax.nn.sigmoid(logits if x else -logits)
        pairs = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
        return sum(p(a, theta[0]) * p(b, theta[1] + a) * (1 + theta[0]) * (a + 2 * b) ** 2 for a, b in pairs)

    theta = jnp.array([0.3, -0.5])
    n = 20_000 // samples
    found = jax.jit(jax.vmap(lambda k: jax.hessian(sx.expectation(f, samples=samples))(theta, key=k)))(
        jax.random.split(key, n)
    )
    # three distinct entries, 4 standard errors: false-alarm rate 2e-4
    error = np.abs(found.mean(0) - jax.jit(jax.hessian(exact))(theta))
    assert (error < 4 * found.std(0) / np.sqrt(n)).all()


def both(g):
    return lambda theta: (jax.grad(g)(theta), jax.hessian(g)(theta))


@functools.cache
def exact_derivatives_of_mixed(theta):
    """Gradient and Hessian of the next test's expectation, summed over both draws."""

    def exact(theta):
        p = lambda x, logits: jax.nn.sigmoid(logits if x else -logits)
        pairs = [(a, b) for a in (0.0, 1.0) for b in (0.0, 1.0)]
        cost = lambda a, b: theta[1] * a + (1 + theta[0]) * (a + 2 * b) + (theta[0] * b) ** 2 + 1
        return sum(p(a, theta[0]) * p(b, theta[1] + a) * cost(a, b) for a, b in pairs)

    return jax.jit(both(exact))(jnp.array(theta))


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "vias",
    [
        {"a": sx.LeaveOneOut(3), "b": sx.LeaveOneOut(2)},
        {"a": sx.ScoreFunction(), "b": sx.Enumerate()},
        {"a": sx.Enumerate(), "b": sx.ScoreFunction()},
        {"a": sx.LeaveOneOut(2), "b": sx.ScoreFunction(0.5)},
        {"a": sx.ScoreFunction(None), "b": sx.LeaveOneOut(2)},
    ],
    ids=str,
)
def test_mixed_bridges_have_unbiased_gradient_and_hessian(vias, key):
    def f(theta, *, key):
        key_a, key_b, key_c = jax.random.split(key, 3)
        a = sx.sample(key_a, dist.Bernoulli(logits=theta[0]), name="a")
        sx.cost(theta[1] * a)
        b = sx.sample(key_b, dist.Bernoulli(logits=theta[1] + a), name="b")
        c = sx.sample(key_c, dist.Normal(theta[0] * b, 1.0))
        return (1 + theta[0]) * (a + 2 * b) + c**2

    theta, n = (0.3, -0.5), 8000
    estimate = lambda k: both(lambda t: sx.expectation(f, samples=2, via=vias)(t, key=k))(jnp.array(theta))
    estimates = jax.jit(jax.vmap(estimate))(jax.random.split(key, n))
    # two entries of the gradient and three of the Hessian, 4 standard errors: false-alarm rate 3e-4 for each case
    for found, truth in zip(estimates, exact_derivatives_of_mixed(theta), strict=True):
        assert (np.abs(found.mean(0) - truth) < 4 * found.std(0) / np.sqrt(n) + 1e-4).all()


def steered_cond(a, theta, key):
    return lax.cond(a > 0.5, lambda: jnp.sin(theta), lambda: theta**2)


def steered_without_computing(a, theta, key):
    return lax.cond(a > 0.5, lambda: theta, lambda: jnp.asarray(2.0))


def steered_costs(a, theta, key):
    lax.cond(a > 0.5, lambda: sx.cost(jnp.sin(theta)), lambda: sx.cost(theta**2))
    return jnp.zeros_like(theta)


def steered_scan(a, theta, key):
    step = lambda c, x: (lax.cond(a > 0.5, lambda: c + jnp.sin(theta), lambda: c), c * x)
    c, ys = lax.scan(step, theta, jnp.arange(3.0))
    return c + jnp.sum(ys)


def delayed_in_a_scan(a, theta, key):
    """The draw moves through the carry by one place a pass, and is read at the end."""
    return lax.scan(lambda c, _: ((theta, *c[:-1]), None), (a, a * theta, theta), None, length=2)[0][-1]


def indexed(a, theta, key):
    return jnp.stack([theta, jnp.cos(theta)])[a.astype(int)]


def passes(a, theta, key):
    return lax.while_loop(lambda c: c[0] < a + 1, lambda c: (c[0] + 1, c[1] * theta), (0.0, theta))[1]


STEERED = [steered_cond, steered_without_computing, steered_costs, steered_scan, delayed_in_a_scan, indexed, passes]


@pytest.mark.few(3)
@pytest.mark.parametrize("program", STEERED, ids=lambda f: f.__name__)
def test_a_draw_that_only_steers_still_pays(program, x64, key):
    """Exact: the estimates for both values of the draw, weighted by their probabilities."""

    def f(theta, value, *, key):
        a = sx.sample(key, dist.Bernoulli(logits=theta), via=Forced(value))
        return program(a, theta, key)

    def enumerated(theta, *, key):
        return program(sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate()), theta, key)

    theta, p = 0.4, jax.nn.sigmoid(0.4)
    forced = jax.jit(lambda v: jax.jacfwd(lambda t: sx.expectation(f)(t, v, key=key))(theta))
    off, on = forced(jnp.zeros(())), forced(jnp.ones(()))
    truth = jax.jit(jax.jacfwd(lambda t: sx.expectation(enumerated)(t, key=key)))(theta)
    np.testing.assert_allclose(p * on + (1 - p) * off, truth, rtol=1e-10)
