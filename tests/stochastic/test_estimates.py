"""Estimates inside f: the derivative of the outer expectation is that of E[value of f], whatever f does with them.

Every draw is forced to a value, so that the expectation of the estimator is a sum over outcomes, to be compared with that of
the program itself, whose draws are plain arguments there: to rounding, not statistically.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from tests.stochastic.programs.forced import Forced

THETA = jnp.array([0.3, -0.5])
OUTCOMES = list(itertools.product([0.0, 1.0], repeat=2))


def p(z, logits):
    return jnp.where(z > 0, jax.nn.sigmoid(logits), jax.nn.sigmoid(-logits))


class Drawn:
    """As Spanax has it: `draw` is a site, `estimate` an inner expectation of one draw."""

    def __init__(self, key):
        self.keys = iter(jax.random.split(key, 2))

    def draw(self, z, logits):
        return sx.sample(next(self.keys), dist.Bernoulli(logits=logits), via=Forced(z))

    def estimate(self, g, z, logits, theta):
        f = lambda theta, *, key: g(sx.sample(key, dist.Bernoulli(logits=logits(theta)), via=Forced(z)), theta)
        return sx.expectation(f)(theta, key=next(self.keys))

    def slope(self, g, z, logits, theta):
        key = next(self.keys)
        f = lambda theta, *, key: g(sx.sample(key, dist.Bernoulli(logits=logits(theta)), via=Forced(z)), theta)
        return jax.grad(lambda t: sx.expectation(f)(t, key=key))(theta)


class Known:
    """As the definition has it: draws have their values, and the estimates what those make of them."""

    def __init__(self):
        self.probability = 1.0

    def draw(self, z, logits):
        self.probability *= p(z, logits)
        return z

    def estimate(self, g, z, logits, theta):
        return g(self.draw(z, logits(theta)), theta)

    def slope(self, g, z, logits, theta):
        """The score-function estimate, by its formula."""
        self.draw(z, logits(theta))
        score = jax.grad(lambda t: jnp.log(p(z, logits(t))))
        return jax.grad(lambda t: g(z, t))(theta) + g(z, theta) * score(theta)


def first(theta):
    return theta[0]


def g(z, theta):
    return 3 * z + theta[0] * theta[1] + 1


def square(say, theta, z):
    return say.estimate(g, z[0], first, theta) ** 2


def logarithm(say, theta, z):
    return jnp.log(2 + say.estimate(g, z[0], first, theta)) * theta[1]


def threshold(say, theta, z):
    return jnp.where(say.estimate(g, z[0], first, theta) > 2, 5 * theta[1], theta[0])


def branch(say, theta, z):
    s = say.estimate(g, z[0], first, theta)
    return lax.cond(s > 2, lambda: 5 * theta[1] + s, lambda: theta[0])


def logits_of_a_later_draw(say, theta, z):
    return say.draw(z[1], say.estimate(g, z[0], first, theta)) * theta[1]


def affine(say, theta, z):
    return jnp.sum(jnp.stack([say.estimate(g, z[0], first, theta), 2.0]) * theta) / theta[1]


def affine_and_beside_a_draw(say, theta, z):
    return say.draw(z[1], theta[1]) * say.estimate(g, z[0], first, theta)


def affine_after_a_draw(say, theta, z):
    a = say.draw(z[1], theta[1])
    return say.estimate(lambda z, t: g(z, t) * a, z[0], lambda t: t[0] * (a + 1), theta) * theta[0]


def square_after_a_draw(say, theta, z):
    a = say.draw(z[1], theta[1])
    return say.estimate(lambda z, t: g(z, t) * a, z[0], lambda t: t[0] * (a + 1), theta) ** 2


def product_of_two(say, theta, z):
    return say.estimate(g, z[0], first, theta) * say.estimate(g, z[1], lambda t: t[1], theta)


def product_with_a_descendant(say, theta, z):
    s = say.estimate(g, z[0], first, theta)
    return s * say.estimate(lambda z, t: g(z, t) * s, z[1], lambda t: t[1], theta)


def step_of_descent(say, theta, z):
    moved = theta - 0.5 * say.slope(g, z[0], first, theta)
    return jnp.sum(moved**2) + say.draw(z[1], moved[0])


def used_twice(say, theta, z):
    s = say.estimate(g, z[0], first, theta)
    return theta[0] * s + jnp.sin(s)


def scan_over_it(say, theta, z):
    s = say.estimate(g, z[0], first, theta)
    return lax.scan(lambda c, _: (0.5 * c * s + theta[1], None), theta[0], None, length=2)[0]


def in_a_scan(say, theta, z):
    step = lambda c, x: (c * 0.5 + jnp.sin(say.estimate(g, z[0], first, theta)) * x, None)
    return step(theta[1], 2.0)[0] if isinstance(say, Known) else lax.scan(step, theta[1], jnp.array([2.0]))[0]


def exponential(say, theta, z):
    return jnp.exp(0.3 * say.estimate(g, z[0], first, theta))


def in_a_jit(say, theta, z):
    return exponential(say, theta, z) if isinstance(say, Known) else jax.jit(lambda t: exponential(say, t, z))(theta)


def in_a_checkpoint(say, theta, z):
    return (lambda f: f if isinstance(say, Known) else jax.checkpoint(f))(lambda t: exponential(say, t, z))(theta)


def in_a_branch(say, theta, z):
    taken = lambda: say.estimate(g, z[0], first, theta) ** 2
    return taken() if isinstance(say, Known) else lax.cond(theta[0] > 0, taken, lambda: theta[1])


def an_inner_derivative_of_it(say, theta, z):
    """d/dx (x S)^2 at x = theta[1]: S is a constant to it."""
    s = say.estimate(g, z[0], first, theta)
    return jax.grad(lambda x: (x * s) ** 2)(theta[1])


def a_constant(say, theta, z):
    """What is stopped is a constant, and its draw has no say."""
    return lax.stop_gradient(say.estimate(g, z[0], first, theta) if isinstance(say, Drawn) else 0.0) * 0 + theta[0] ** 2


def three_deep(say, theta, z):
    if isinstance(say, Known):
        return jnp.sin(g(say.draw(z[0], theta[0]), theta) ** 2)
    innermost = lambda t, *, key: g(sx.sample(key, dist.Bernoulli(logits=t[0]), via=Forced(z[0])), t)
    middle = lambda t, *, key: sx.expectation(innermost)(t, key=key) ** 2
    return jnp.sin(sx.expectation(middle)(theta, key=next(say.keys)))


def three_deep_affine_at_the_top(say, theta, z):
    if isinstance(say, Known):
        return theta[1] * g(say.draw(z[0], theta[0]), theta) ** 2
    innermost = lambda t, *, key: g(sx.sample(key, dist.Bernoulli(logits=t[0]), via=Forced(z[0])), t)
    middle = lambda t, *, key: sx.expectation(innermost)(t, key=key) ** 2
    return theta[1] * sx.expectation(middle)(theta, key=next(say.keys))


def lanes(say, theta, z):
    if isinstance(say, Known):
        return jnp.log(sum(g(say.draw(z[k], theta[0]), theta) ** 2 for k in range(2)))
    f = lambda z, *, key: g(sx.sample(key, dist.Bernoulli(logits=theta[0]), via=Forced(z)), theta)
    values = jax.vmap(lambda z, k: sx.expectation(f)(z, key=k))(jnp.stack(z), jnp.stack(list(say.keys)))
    return jnp.log(jnp.sum(values**2))


def costs_inside(say, theta, z):
    if isinstance(say, Known):
        return (2 * say.draw(z[0], theta[0]) + theta[1]) ** 2

    def f(theta, *, key):
        a = sx.sample(key, dist.Bernoulli(logits=theta[0]), via=Forced(z[0]))
        sx.cost(2 * a)
        return theta[1]

    return sx.expectation(f)(theta, key=next(say.keys)) ** 2


def a_loop_inside(say, theta, z):
    if isinstance(say, Known):
        return (say.draw(z[0], theta[0]) + say.draw(z[1], theta[0]) * theta[1]) ** 2

    def f(theta, *, key):
        step = lambda c, x: (c * theta[1] + sx.sample(x[0], dist.Bernoulli(logits=theta[0]), via=Forced(x[1])), None)
        return lax.scan(step, 0.0, (jax.random.split(key, 2), jnp.stack(z[::-1])))[0]

    return sx.expectation(f)(theta, key=next(say.keys)) ** 2


USES = [
    square,
    logarithm,
    threshold,
    branch,
    logits_of_a_later_draw,
    affine,
    affine_and_beside_a_draw,
    affine_after_a_draw,
    square_after_a_draw,
    product_of_two,
    product_with_a_descendant,
    step_of_descent,
    used_twice,
    scan_over_it,
    in_a_scan,
    in_a_jit,
    in_a_checkpoint,
    in_a_branch,
    an_inner_derivative_of_it,
    a_constant,
    three_deep,
    three_deep_affine_at_the_top,
    lanes,
    costs_inside,
    a_loop_inside,
]


def exact(use, theta):
    total = 0.0
    for z in OUTCOMES:
        say = Known()
        value = use(say, theta, jnp.array(z))
        total += say.probability * value / (1 if _draws_two(use) else 2)
    return total


def _draws_two(use):
    two = (logits_of_a_later_draw, product_of_two, product_with_a_descendant, step_of_descent, lanes, a_loop_inside)
    return use in (*two, affine_and_beside_a_draw, affine_after_a_draw, square_after_a_draw)


def probability(use, theta, z):
    say = Known()
    use(say, theta, z)
    return say.probability / (1 if _draws_two(use) else 2)


@pytest.fixture(scope="module")
def found():
    """Value, gradient and Hessian times a direction of each use: (of the estimator, exactly summed; of the definition)."""
    with jax.enable_x64(True):
        theta, key, forced = THETA.astype(float), jax.random.key(2026), jnp.array(OUTCOMES, float)

        def estimated(use):
            f = sx.expectation(lambda theta, z, *, key: use(Drawn(key), theta, z))
            weights = jax.vmap(lambda z: probability(use, theta, z))(forced)
            of_each = jax.vmap(lambda z: orders(lambda t: f(t, z, key=key)))(forced)
            return [jnp.tensordot(weights, x, 1) for x in of_each]

        def orders(h):
            (value, slope), (_, bend) = jax.jvp(jax.value_and_grad(h), (theta,), (jnp.array([1.0, -0.7]),))
            return value, slope, bend

        return jax.jit(
            lambda: {use.__name__: (estimated(use), orders(lambda t, use=use: exact(use, t))) for use in USES}
        )()


@pytest.mark.few(10)
@pytest.mark.parametrize("use", USES, ids=lambda use: use.__name__)
def test_the_derivatives_are_those_of_the_value(use, found):
    for order, (ours, truth) in enumerate(zip(*found[use.__name__], strict=True)):
        np.testing.assert_allclose(ours, truth, rtol=1e-9, atol=1e-9, err_msg=f"order {order}")


def test_an_affine_estimate_keeps_its_own_credit(key):
    """Its draws pay for their own costs: the variance does not grow with what else the program costs."""

    def f(theta, other, *, key):
        a, b = jax.random.split(key)
        inner = sx.expectation(lambda t, *, key: sx.sample(key, dist.Bernoulli(logits=t), via=sx.ScoreFunction()))
        return other * sx.sample(a, dist.Bernoulli(logits=0.3)) + 2 * inner(theta, key=b)

    slopes = jax.vmap(lambda other: jax.grad(sx.expectation(f))(0.3, other, key=key))(jnp.array([1.0, 1e3]))
    assert slopes[0] == slopes[1]


@pytest.mark.parametrize("via", [sx.LeaveOneOut(), sx.DisARM()], ids=repr)
def test_what_cannot_be_unfolded_is_refused(via, key):
    inner = sx.expectation(lambda t, *, key: sx.sample(key, dist.Bernoulli(logits=t), via=via, name="coin"))
    linear = lambda t, *, key: 3 * inner(t, key=key)
    assert jnp.isfinite(jax.grad(sx.expectation(linear))(0.3, key=key))
    uses = [lambda t, key: inner(t, key=key) ** 2, lambda t, key: jax.grad(lambda t: inner(t, key=key))(t)]
    for use in uses:
        with pytest.raises(
            sx.SpanaxError, match=r"not used linearly.*\n  at .*test_estimates.*\n.*\(a\) ScoreFunction"
        ):
            jax.grad(sx.expectation(lambda t, *, key, use=use: use(t, key)))(0.3, key=key)


def test_an_estimate_inside_an_exact_one(x64, key):
    """What the middle one runs again for each value of its draw is not seen from outside: linear, or refused."""

    def middle(t, *, key):
        a, b = jax.random.split(key)
        y = sx.sample(a, dist.Bernoulli(logits=t), via=sx.Enumerate())
        coin = lambda t, *, key: 3 * sx.sample(key, dist.Bernoulli(logits=t * (y + 1)), via=sx.ScoreFunction()) + t
        return (1 + y) * sx.expectation(coin)(t, key=b)

    def truth(t):
        q = jax.nn.sigmoid
        return t * (q(-t) * (3 * q(t) + t) + q(t) * 2 * (3 * q(2 * t) + t))

    linear = sx.expectation(lambda t, *, key: t * sx.expectation(middle)(t, key=key))
    slopes = jax.vmap(lambda k: jax.grad(linear)(0.3, key=k))(jax.random.split(key, 4000))
    # 4.5 standard errors: false-alarm rate 7e-6
    assert abs(slopes.mean() - jax.grad(truth)(0.3)) < 4.5 * slopes.std() / np.sqrt(4000)
    squared = sx.expectation(lambda t, *, key: sx.expectation(middle)(t, key=key) ** 2)
    with pytest.raises(sx.SpanaxError, match=r"not used linearly.*\n  at .*test_estimates"):
        jax.grad(squared)(0.3, key=key)


def test_an_exact_inner_expectation_may_be_used_in_any_way(x64, key):
    inner = sx.expectation(lambda t, *, key: sx.sample(key, dist.Bernoulli(logits=t), via=sx.Enumerate()))
    slope = jax.grad(sx.expectation(lambda t, *, key: inner(t, key=key) ** 2))(0.3, key=key)
    np.testing.assert_allclose(slope, jax.grad(lambda t: jax.nn.sigmoid(t) ** 2)(0.3), rtol=1e-12)


def test_a_program_that_jax_has_kept(x64, key):
    """One traced program of an inner estimate, first used outside of any expectation, where it is an estimate by itself."""
    inner = jax.jit(lambda t, z, key: sx.expectation(lambda t, *, key: coin(t, z, key))(t, key=key))
    coin = lambda t, z, key: sx.sample(key, dist.Bernoulli(logits=t), via=Forced(z)) + 1.0
    outer = sx.expectation(lambda t, z, *, key: inner(t, z, key) ** 2)
    q = jax.nn.sigmoid(0.3)
    for _ in range(2):
        alone, within = (
            (1 - q) * jax.grad(f)(0.3, jnp.array(0.0)) + q * jax.grad(f)(0.3, jnp.array(1.0))
            for f in (lambda t, z: inner(t, z, key), lambda t, z: outer(t, z, key=key))
        )
        np.testing.assert_allclose([alone, within], [q * (1 - q), 3 * q * (1 - q)], rtol=1e-12)
