"""Draws inside scan, fori_loop, nested and reversed scans, cond, switch, jit, checkpoint, custom rules: against enumeration.

Each program gives every draw a forced value; the estimates, weighted by the probability of the values, sum to the exact
expectation of the estimator.
"""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from tests.stochastic.programs.forced import Forced


def step(state, logits, z):
    """What each draw does: an update that later draws depend on, and a cost."""
    return jnp.tanh(state + z * logits), state * z


def draw(key, logits, forced):
    return sx.sample(key, dist.Bernoulli(logits=logits), via=Forced(forced))


def straight(theta, zs, key):
    """Four steps, written out: the reference for all the others."""
    state, total = theta[0], 0.0
    for i in range(4):
        z = zs[i] if key is None else draw(jax.random.fold_in(key, i), theta[1] + state, zs[i])
        state, cost = step(state, theta[1] + state, z)
        total += cost
    return state + total


def body(theta, key):
    def run(state, x):
        i, z = x
        z = draw(jax.random.fold_in(key, i), theta[1] + state, z)
        return step(state, theta[1] + state, z)

    return run


def scanned(theta, zs, key):
    state, costs = lax.scan(body(theta, key), theta[0], (jnp.arange(4), zs))
    return state + jnp.sum(costs)


def scanned_with_costs(theta, zs, key):
    def run(state, x):
        state, cost = body(theta, key)(state, x)
        sx.cost(cost)
        return state, None

    return lax.scan(run, theta[0], (jnp.arange(4), zs))[0]


def reversed_scan(theta, zs, key):
    xs = (jnp.arange(4)[::-1], zs[::-1])
    state, costs = lax.scan(body(theta, key), theta[0], xs, reverse=True)
    return state + jnp.sum(costs)


def reversed_scan_with_costs(theta, zs, key):
    """Each draw answers to the costs of the iterations after it, which are those of smaller indices."""

    def run(state, x):
        state, cost = body(theta, key)(state, x)
        sx.cost(cost)
        return state, None

    return lax.scan(run, theta[0], (jnp.arange(4)[::-1], zs[::-1]), reverse=True)[0]


def unrolled_scan(theta, zs, key):
    state, costs = lax.scan(body(theta, key), theta[0], (jnp.arange(4), zs), unroll=2)
    return state + jnp.sum(costs)


def fori(theta, zs, key):
    def run(i, carry):
        state, total = carry
        state, cost = body(theta, key)(state, (i, zs[i]))
        return state, total + cost

    return sum(lax.fori_loop(0, 4, run, (theta[0], jnp.zeros_like(theta[0]))))


def nested_scan(theta, zs, key):
    def outer(state, x):
        state, costs = lax.scan(body(theta, key), state, x)
        sx.cost(jnp.sum(costs))
        return state, None

    return lax.scan(outer, theta[0], (jnp.arange(4).reshape(2, 2), zs.reshape(2, 2)))[0]


def jitted(theta, zs, key):
    run = jax.jit(lambda state, x: body(theta, key)(state, x))
    state, total = theta[0], 0.0
    for i in range(4):
        state, cost = run(state, (jnp.asarray(i), zs[i]))
        total += cost
    return state + total


def rematted(theta, zs, key):
    run = jax.checkpoint(lambda state, x: body(theta, key)(state, x))
    state, costs = lax.scan(run, theta[0], (jnp.arange(4), zs))
    return state + jnp.sum(costs)


def in_cond(theta, zs, key):
    def run(state, x):
        return lax.cond(state < 5.0, lambda: body(theta, key)(state, x), lambda: (state, 100.0 * state))

    state, costs = lax.scan(run, theta[0], (jnp.arange(4), zs))
    return state + jnp.sum(costs)


def in_switch(theta, zs, key):
    def run(state, x):
        other = lambda: (state, -state)
        return lax.switch(x[0] * 0 + 1, [other, lambda: body(theta, key)(state, x), other])

    state, costs = lax.scan(run, theta[0], (jnp.arange(4), zs))
    return state + jnp.sum(costs)


def in_custom_vjp(theta, zs, key):
    """The user's rule differentiates the state with the draw held fixed; the scores come from the body."""

    @jax.custom_vjp
    def run(state, slope, i, z):
        return body((None, slope), key)(state, (i, z))

    def fixed(z):
        return lambda state, slope: step(state, slope + state, z)

    def forward(state, slope, i, z):
        return fixed(z)(state, slope), (state, slope, z)

    def backward(saved, ct):
        state, slope, z = saved
        return (*jax.vjp(fixed(z), state, slope)[1](ct), None, None)

    run.defvjp(forward, backward)
    state, total = theta[0], 0.0
    for i in range(4):
        state, cost = run(state, theta[1], jnp.asarray(i), zs[i])
        total += cost
    return state + total


PROGRAMS = [
    scanned_with_costs,
    straight,
    nested_scan,
    scanned,
    in_custom_vjp,
    reversed_scan_with_costs,
    unrolled_scan,
    rematted,
    reversed_scan,
    fori,
    in_cond,
    jitted,
    in_switch,
]
THETA = np.array([0.4, -0.7])
ASSIGNMENTS = np.array(list(itertools.product([0.0, 1.0], repeat=4)))


def probability(theta, zs):
    state, p = theta[0], 1.0
    for i in range(4):
        logits = theta[1] + state
        p = p * jax.nn.sigmoid(jnp.where(zs[i] > 0, logits, -logits))
        state, _ = step(state, logits, zs[i])
    return p


def exact(theta):
    return jnp.sum(jax.vmap(lambda zs: probability(theta, zs) * straight(theta, zs, None))(jnp.asarray(ASSIGNMENTS)))


@functools.cache
def weights():
    """The probability of each assignment."""
    return np.asarray(jax.jit(jax.vmap(probability, (None, 0)))(jnp.asarray(THETA), ASSIGNMENTS))


@functools.cache
def truth(derivative):
    return jax.tree.map(np.asarray, jax.jit(derivative(exact))(jnp.asarray(THETA)))


def expected(derivative, program, key):
    """The mean of a derivative of the estimates, over all assignments."""

    def estimate(theta, zs):
        return sx.expectation(lambda theta, *, key: program(theta, zs, key))(theta, key=key)

    each = jax.jit(jax.vmap(derivative(estimate), (None, 0)))(jnp.asarray(THETA), ASSIGNMENTS)
    return jax.tree.map(lambda found: np.tensordot(weights(), found, 1), each)


@pytest.mark.few(7)
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda f: f.__name__)
def test_gradient_is_exactly_unbiased(program, x64, key):
    (value, slope), (true_value, true_slope) = expected(jax.value_and_grad, program, key), truth(jax.value_and_grad)
    np.testing.assert_allclose(value, true_value, rtol=1e-12)
    np.testing.assert_allclose(slope, true_slope, rtol=1e-10)


@pytest.mark.few(1)
@pytest.mark.parametrize("program", [scanned_with_costs, nested_scan, rematted, in_cond], ids=lambda f: f.__name__)
def test_hessian_in_a_loop_is_exactly_unbiased(program, x64, key):
    np.testing.assert_allclose(expected(jax.hessian, program, key), truth(jax.hessian), rtol=1e-9)


def third(f):
    """The third derivative along a direction."""
    direction = jnp.array([0.6, -0.8])
    along = lambda theta, *others: lambda t: f(theta + t * direction, *others)
    return lambda theta, *others: jax.grad(jax.grad(jax.grad(along(theta, *others))))(0.0)


@pytest.mark.slow
def test_third_derivative_in_nested_scans(x64, key):
    np.testing.assert_allclose(expected(third, nested_scan, key), truth(third), rtol=1e-8)


def hitting_time(theta, *, key):
    """Flips until three heads: E = 3 / p."""

    def flip(carry):
        i, heads, flips = carry
        z = sx.sample(jax.random.fold_in(key, i), dist.Bernoulli(logits=theta))
        return i + 1, heads + z, flips + 1.0

    return lax.while_loop(lambda carry: carry[1] < 3, flip, (0, 0.0, 0.0))[2]


def test_while_loop_in_forward_mode(key):
    # E = 3/p = 3 (1 + exp(-t)): first derivative -3 exp(-t), second 3 exp(-t).
    # 4 standard errors of 200 independent estimates, two figures: false-alarm rate 1.3e-4
    estimate = sx.expectation(hitting_time, samples=100)
    first = jax.jacfwd(lambda t, k: estimate(t, key=k))
    both = jax.jit(jax.vmap(lambda k: (first(0.4, k), jax.jacfwd(first)(0.4, k))))
    for found, truth in zip(both(jax.random.split(key, 200)), (-3 * np.exp(-0.4), 3 * np.exp(-0.4)), strict=True):
        assert abs(found.mean() - truth) < 4 * found.std() / np.sqrt(200)


def test_while_loop_with_costs_and_a_draw_before(key):
    def f(theta, *, key):
        key_a, key_b = jax.random.split(key)
        a = sx.sample(key_a, dist.Bernoulli(logits=theta))

        def flip(carry):
            i, heads = carry
            z = sx.sample(jax.random.fold_in(key_b, i), dist.Bernoulli(logits=theta))
            sx.cost(1.0 + a)
            return i + 1, heads + z

        return 0.0 * lax.while_loop(lambda carry: carry[1] < 2, flip, (0, 0.0))[1]

    # E = (1 + p) 2 / p = 2 + 2/p: derivative -2 exp(-t). 4 standard errors of 200 estimates: false-alarm rate 6e-5
    estimate = sx.expectation(f, samples=100)
    slopes = jax.jit(jax.vmap(lambda k: jax.jacfwd(lambda t: estimate(t, key=k))(0.4)))(jax.random.split(key, 200))
    assert abs(slopes.mean() + 2 * np.exp(-0.4)) < 4 * slopes.std() / np.sqrt(200)


def test_while_loop_inside_a_scan(key):
    """A while loop in each pass of a scan, each with one flip, and a cost a pass: E = 10 p for four passes."""

    def f(theta, *, key):
        def step(state, key):
            flip = lambda c: (c[0] + 1, c[1] + sx.sample(jax.random.fold_in(key, c[0]), dist.Bernoulli(logits=theta)))
            state = lax.while_loop(lambda c: c[0] < 1, flip, (0, state))[1]
            sx.cost(state)
            return state, None

        return 0.0 * lax.scan(step, 0.0, jax.random.split(key, 4))[0]

    # 4 standard errors of 1000 estimates: false-alarm rate 6e-5; without the costs of later passes it would be 4 p (1 - p)
    slopes = jax.jit(jax.vmap(lambda k: jax.jacfwd(lambda t: sx.expectation(f, samples=8)(t, key=k))(0.3)))(
        jax.random.split(key, 1000)
    )
    p = jax.nn.sigmoid(0.3)
    assert abs(slopes.mean() - 10 * p * (1 - p)) < 4 * slopes.std() / np.sqrt(1000)
    assert slopes.std() / np.sqrt(1000) < 0.1


def test_while_loop_with_costs_and_no_draw(key):
    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        lax.while_loop(lambda i: i < 2, lambda i: (sx.cost(theta * z), i + 1)[1], 0)
        return 0.0 * theta

    p = jax.nn.sigmoid(0.3)
    found = jax.jacfwd(lambda t: sx.expectation(f)(t, key=key))(0.3)
    np.testing.assert_allclose(found, 2 * p + 0.6 * p * (1 - p), rtol=1e-5)


def test_a_scan_of_no_passes(key):
    f = lambda theta, *, key: lax.scan(
        lambda c, k: (c + sx.sample(k, dist.Bernoulli(logits=theta)), None), theta, jax.random.split(key, 0)
    )[0]
    assert jax.grad(sx.expectation(f))(0.3, key=key) == 1.0


def test_branching_through_jit_and_cond(x64, key):
    """A branching draw inside a jit inside a cond, before and after score-function draws."""

    def f(theta, *, key):
        k1, k2, k3 = jax.random.split(key, 3)
        a = sx.sample(k1, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        inner = jax.jit(lambda t, k: sx.sample(k, dist.Bernoulli(logits=t), via=sx.Enumerate()) + 0.5)
        b = lax.cond(a > 0, lambda: inner(theta, k2), lambda: theta * 2)
        c = sx.sample(k3, dist.Bernoulli(logits=theta * b), via=sx.Enumerate())
        return jnp.sin(a + 2 * b) + c * b

    def exact(theta):
        total = 0.0
        for a, z, c in itertools.product([0.0, 1.0], repeat=3):
            p = lambda x, logits: jax.nn.sigmoid(logits if x else -logits)
            b = z + 0.5 if a else theta * 2
            total += p(a, theta) * p(z, theta) * p(c, theta * b) * (jnp.sin(a + 2 * b) + c * b)
        return total

    for order in (lambda f: f, jax.grad, lambda f: jax.grad(jax.grad(f))):
        found = jax.jit(order(lambda t: sx.expectation(f)(t, key=key)))(0.3)
        np.testing.assert_allclose(found, jax.jit(order(exact))(0.3), rtol=1e-10)
