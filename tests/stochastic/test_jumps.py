"""The default bridge of a draw: pathwise where the program is continuous in it, the score function where it jumps."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest
from jax import lax
from jax.scipy.stats import norm

import spanax as sx
from spanax import _errors

T = 0.3
TABLE = jnp.arange(7.0) ** 2 / 10


@pytest.fixture(autouse=True)
def anew():
    _errors._warned.clear()


def normal(key, t, shape=(), **how):
    return sx.sample(key, dist.Normal(jnp.full(shape, 1.0) * t, 1.0).to_event(len(shape)), **how)


def of_one(h):
    """The program h(z), z ~ Normal(t, 1)."""
    return lambda t, *, key: h(normal(key, t))


def of_three(h):
    return lambda t, *, key: h(normal(key, t, (3,)))


# -- right values


def table(t, *, key):
    return TABLE[jnp.clip(jnp.floor(normal(key, t + 2)).astype(int), 0, 6)]


def argmax_of_two(t, *, key):
    first, second = jax.random.split(key)
    return jnp.argmax(jnp.stack([normal(first, 0.0), normal(second, t)])).astype(float)


def logits_of_a_later_draw(t, *, key):
    first, second = jax.random.split(key)
    return sx.sample(second, dist.Bernoulli(logits=jnp.where(normal(first, t) > 0, 1.0, -2.0)), via=sx.Enumerate())


def one_of_two_jumps(t, *, key):
    first, second = jax.random.split(key)
    return jnp.where(normal(first, t) > 0, 1.0, 0.0) + normal(second, t) ** 2


def chain(t, *, key):
    first, second = jax.random.split(key)
    x = normal(first, t)
    return jnp.where(normal(second, x) > 0, 1.0, 0.0) + x


def carried(t, *, key):
    def step(steps, key):
        return steps + jnp.where(normal(key, t) > 0, 1.0, 0.0), None

    return lax.scan(step, 0.0, jax.random.split(key, 3))[0]


def in_lanes(t, *, key):
    return jnp.mean(jax.vmap(lambda k: jnp.where(normal(k, t) > 0, 1.0, 0.0))(jax.random.split(key, 4)))


def compiled_and_rematerialised(t, *, key):
    return jax.jit(jax.checkpoint(lambda z: jnp.where(z > 0, 1.0, 0.0)))(normal(key, t))


def kink_of_an_inner_gradient(t, *, key):
    return jax.grad(lambda x: jnp.where(x > 0, x, 0.0))(normal(key, t))


def of_an_inner_gradient(h):
    """Of h(z, 0.2), by z: the derivative of a max is 1 where z is the larger."""
    return of_one(lambda z: jax.grad(lambda x: h(jnp.stack([x, jnp.float32(0.2)])))(z))


def pooled(x):
    return lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "VALID")[0]


def cost_in_a_branch(t, *, key):
    z = normal(key, t)
    lax.cond(z > 0, lambda: sx.cost(1.0), lambda: None)
    return 0.0 * t


def that_feeds_an_unmarked_one(t, *, key):
    first, second = jax.random.split(key)
    return jax.random.bernoulli(second, norm.cdf(normal(first, t))).astype(float)  # P(1) = norm.cdf(t / 2**.5)


def drawn_in_a_branch(t, *, key):
    return lax.cond(t > 0, lambda: jnp.where(normal(key, t) > 0, 1.0, 0.0), lambda: 0.0)


PHI, CDF = float(norm.pdf(T)), float(norm.cdf(T))
HALF = float(norm.pdf(T / 2**0.5) / 2**0.5)  # of the difference of two
VALUES = {  # the derivative of E[f], in closed form
    "step": (of_one(lambda z: jnp.where(z > 0, 1.0, 0.0)), PHI),
    "infinity made finite": (of_one(lambda z: jnp.exp(jnp.where(z > 0, 0.0, -jnp.inf))), PHI),
    "cond": (of_one(lambda z: lax.cond(z > 0, lambda: 1 + z, lambda: 0.0)), PHI + CDF),
    "table": (table, float(sum((2 * k - 1) / 10 * norm.pdf(k - T - 2) for k in range(1, 7)))),
    "argmax": (argmax_of_two, HALF),
    "logits": (logits_of_a_later_draw, float(jax.nn.sigmoid(1.0) - jax.nn.sigmoid(-2.0)) * PHI),
    "one of two": (one_of_two_jumps, PHI + 2 * T),
    "chain": (chain, HALF + 1),
    "scan": (carried, 3 * PHI),
    "vmap": (in_lanes, PHI),
    "calls": (compiled_and_rematerialised, PHI),
    "inner gradient": (kink_of_an_inner_gradient, PHI),
    "inner gradient of a max": (of_an_inner_gradient(jnp.max), float(norm.pdf(0.2 - T))),
    "inner gradient of a pooled max": (of_an_inner_gradient(pooled), float(norm.pdf(0.2 - T))),
    "sign as a quotient": (of_one(lambda z: z / jnp.abs(z)), 2 * PHI),
    "NaN": (of_one(lambda z: jnp.where(jnp.isnan(jnp.sqrt(z)), 0.0, 1.0)), PHI),
    "not finite": (of_one(lambda z: jnp.where(jnp.isfinite(jnp.log(z)), 1.0, 0.0)), PHI),
    "exponent": (
        of_one(lambda z: jnp.where(jnp.frexp(z)[1] > 0, 1.0, 0.0)),  # |z| >= 1
        float(norm.pdf(1 - T) - norm.pdf(1 + T)),
    ),
    "cost in a branch": (cost_in_a_branch, PHI),
    "draw in a branch": (drawn_in_a_branch, PHI),
    "feeds an unmarked draw": (that_feeds_an_unmarked_one, HALF),
    "float16": (of_one(lambda z: jnp.sign(z.astype(jnp.float16)).astype(float)), 2 * PHI),
}


def noted(f, *args):
    """f, whose warnings are expected."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sx.SpanaxWarning)
        return f(*args)


@pytest.mark.few(1)
@pytest.mark.parametrize("samples", [1, 4])
def test_right_derivatives(samples, key):
    """False-alarm rate: 21 values, each within 5 standard errors: 1.2e-5."""

    def slopes(key):
        return {n: jax.grad(sx.expectation(f, samples=samples))(T, key=key) for n, (f, _) in VALUES.items()}

    found = noted(jax.jit(jax.vmap(slopes)), jax.random.split(key, 16_000 // samples))
    for name, slope in found.items():
        error = float(slope.std()) / len(slope) ** 0.5
        assert abs(float(slope.mean()) - VALUES[name][1]) < 5 * error < 0.2, name


def test_second_derivative_in_double_precision(key):
    """P(z > 0) has the second derivative -t phi(t). 5 standard errors: false-alarm rate 6e-7."""
    with jax.enable_x64(True):
        slope = jax.grad(jax.grad(lambda t, k: sx.expectation(VALUES["step"][0])(t, key=k)))
        found = noted(jax.jit(jax.vmap(slope, (None, 0))), jnp.float64(T), jax.random.split(key, 20_000))
        assert found.dtype == jnp.float64
        assert abs(float(found.mean()) + T * PHI) < 5 * float(found.std()) / 20_000**0.5 < 0.1


# -- continuous programs keep the pathwise draw, in silence (warnings are errors)


def masks(z):
    positive = (z > 0).astype(float)
    return positive * z + (1 - positive) * 0.1 * z


def wrapped_angle(z):
    return ((z + jnp.pi) % (2 * jnp.pi) - jnp.pi) ** 2


def through_a_network(t, *, key):
    z = normal(key, t, (4, 8))
    h = jax.nn.leaky_relu(z @ jnp.full((8, 8), 0.2))
    return jnp.sum(jax.nn.elu(h @ jnp.full((8, 2), -0.3)))


def in_a_loop(t, *, key):
    def step(x, key):
        return jax.nn.leaky_relu(x + normal(key, t)), None

    return lax.scan(step, 0.0, jax.random.split(key, 3))[0]


def elbo(guide, log_density):
    def f(t, *, key):
        q = guide(jnp.exp(t * jnp.ones(3)))
        z = sx.sample(key, q, name="z")
        return jnp.sum(q.log_prob(z)) - jnp.sum(log_density(z))

    return f


def in_a_mixture(z):
    parts = dist.Normal(z, 0.5)
    return dist.MixtureSameFamily(dist.Categorical(logits=jnp.zeros(3)), parts).log_prob(1.0)


def added_in_a_loop(t, *, key):
    def step(total, z):
        return total + dist.HalfNormal(1.0).log_prob(z), None

    return lax.scan(step, 0.0, jnp.abs(normal(key, t, (3,))))[0]


def sorted_by_index(z):
    return jnp.sum(z[jnp.argsort(z)] * jnp.arange(3.0))


CONTINUOUS = {
    "relu": of_one(jax.nn.relu),
    "where": of_one(lambda z: jnp.where(z > 0, z, 0.0)),
    "leaky_relu": of_one(jax.nn.leaky_relu),
    "elu": of_one(jax.nn.elu),
    "selu": of_one(jax.nn.selu),
    "gelu": of_one(jax.nn.gelu),
    "hard_tanh": of_one(jax.nn.hard_tanh),
    "logaddexp": of_one(lambda z: jnp.logaddexp(z, 0.0)),
    "absolute values": of_one(lambda z: z / (1 + jnp.abs(z)) + jnp.abs(jnp.exp(z)) + jnp.sqrt(jnp.abs(z))),
    "what is not finite is guarded": of_one(lambda z: (lambda x: jnp.where(jnp.isfinite(x), x, 0.0))(z * jnp.exp(z))),
    "masks": of_one(masks),
    "product with a mask": of_one(lambda z: z * (z > 0).astype(float)),
    "a small number is guarded": of_one(lambda z: jnp.where(jnp.abs(z) < 1e-12, 1.0, jnp.sin(z) / z)),
    "log_prob": of_one(lambda z: dist.Laplace(0.0, 1.0).log_prob(z) + dist.StudentT(3.0).log_prob(z)),
    "interp": of_one(lambda z: jnp.interp(z, jnp.arange(5.0) - 2, jnp.asarray([0.0, 1, 3, 2, 5]))),
    "huber": of_three(lambda z: jnp.sum(optax.huber_loss(z, jnp.ones(3)))),
    "cond": of_one(lambda z: lax.cond(z > 0, lambda: 2 * z, lambda: 3 * z)),
    "piecewise": of_one(lambda z: jnp.piecewise(z, [z < 0, z >= 0], [lambda x: -x, lambda x: x])),
    "select": of_one(lambda z: jnp.select([z < -1, z < 1], [-1.0, z], 1.0)),
    "wrapped angle": of_one(wrapped_angle),
    "order statistics": of_three(lambda z: jnp.sort(z)[0] + jnp.median(z) + jnp.max(z) + jnp.linalg.norm(z)),
    "sorted by index": of_three(sorted_by_index),
    "pairs": of_three(lambda z: jnp.sum(jnp.where(z[:, None] > z[None], z[:, None], 0.0))),  # the larger of each
    "softmax": of_three(lambda z: jax.nn.softmax(z)[0] + jax.nn.logsumexp(z)),
    "dot with a mask": of_three(lambda z: jnp.dot((z > 0).astype(float), z)),
    "a straight-through by hand": of_one(lambda z: z + lax.stop_gradient(jnp.round(z) - z)),
    "straight-through": of_one(lambda z: sx.hard.greater(z, 0.0, via=sx.StraightThrough(sx.Soft(0.5)))),
    "bfloat16": lambda t, *, key: jax.nn.leaky_relu(normal(key, t.astype(jnp.bfloat16))).astype(float),
    "large": lambda t, *, key: jnp.sum(masks(normal(key, t, (300, 200)))),
    "network": through_a_network,
    "loop": in_a_loop,
    "wrapped angles": of_three(lambda z: jnp.sum(jnp.cos((z - jnp.mean(z)) % jnp.asarray(jnp.pi * 2)))),
    "evidence bound": elbo(lambda s: dist.Normal(0.0, s).to_event(1), in_a_mixture),
    "evidence bound on (0, 1)": elbo(lambda s: dist.Beta(s[0], 2.0), dist.Beta(2.0, 1.0).log_prob),
    "evidence bound on a simplex": elbo(dist.Dirichlet, dist.Dirichlet(jnp.ones(3)).log_prob),
    "evidence bound of a scale": elbo(lambda s: dist.InverseGamma(s + 3).to_event(1), dist.HalfNormal(1.0).log_prob),
    "support that is never left": of_one(lambda z: dist.Uniform(0.0, 1.0).log_prob(jax.nn.sigmoid(z)) + z),
    "support in a loop": added_in_a_loop,
}


@pytest.mark.few(12)
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_programs_keep_the_pathwise_draw(name, key):
    jax.make_jaxpr(jax.grad(lambda t: sx.expectation(CONTINUOUS[name])(t, key=key)))(T)


# -- every kind of jump is seen


def jumping_network(t, *, key):
    h = jax.nn.leaky_relu(normal(key, t, (4, 8)) @ jnp.full((8, 3), 0.2))
    return jnp.sum(jnp.argmax(h, -1).astype(float))


def passes_of_a_loop(t, *, key):
    return lax.while_loop(lambda x: x > 0, lambda x: x - 1, normal(key, t))


JUMPS = {
    "floor": of_one(jnp.floor),
    "ceil": of_one(jnp.ceil),
    "round": of_one(jnp.round),
    "cast": of_one(lambda z: z.astype(int).astype(float)),
    "remainder": of_one(lambda z: z % 1.0),
    "angle": of_one(lambda z: jnp.arctan2(z, -1.0)),
    "a small jump on a large value": of_one(lambda z: 1e4 + jnp.where(z > 0, 1.0, 0.0)),
    "pole": of_one(lambda z: jnp.where(z > 0, 1 / z, 0.0)),
    "searchsorted": of_one(lambda z: jnp.searchsorted(jnp.arange(4.0), z).astype(float)),
    "one-hot by hand": of_three(lambda z: jnp.dot((z == z.max()).astype(float), jnp.arange(3.0))),
    "top_k": of_three(lambda z: jnp.sum(lax.top_k(z, 2)[1]).astype(float)),
    "order": of_three(lambda z: jnp.sum(jnp.arange(3.0)[jnp.argsort(z)] * jnp.arange(3.0))),
    "pairs": of_three(lambda z: jnp.sum(jnp.where(z[:, None] > z[None], jnp.arange(3.0)[None] * z[:, None], 0.0))),
    "count": lambda t, *, key: jnp.where(jnp.sum(normal(key, t, (20,)) > -1) >= 20, 1.0, 0.0),
    "all": lambda t, *, key: jnp.where(jnp.all(normal(key, t, (20,)) > -1), 1.0, 0.0),
    "one element of many": lambda t, *, key: jnp.where(normal(key, t, (50,)) > 0, 1.0, 0.0)[17],
    "one weight of many": lambda t, *, key: jnp.dot(
        jnp.where(normal(key, t, (50,)) > 0, 1.0, 0.0), (jnp.arange(50) == 3).astype(float)
    ),
    "large": lambda t, *, key: jnp.mean((normal(key, t, (300, 200)) > 0).astype(float)),
    "infinity made finite": of_one(lambda z: jnp.exp(jnp.where(z > 0, 0.0, -jnp.inf))),
    "infinity cut off": of_one(lambda z: jnp.maximum(jnp.where(z > 0, 1.0, -jnp.inf), -3.0)),
    "moving support in a mixture": of_one(lambda z: jax.nn.logsumexp(dist.Uniform(z, 3.0).log_prob(jnp.arange(3.0)))),
    "network": jumping_network,
    "while": passes_of_a_loop,
}


@pytest.mark.few(10)
@pytest.mark.parametrize("name", JUMPS)
def test_jumps_are_seen(name, key):
    with pytest.warns(sx.SpanaxWarning, match=r"(?s)the program jumps in it.*test_jumps\.py:\d+.*via=sx\.Pathwise\(\)"):
        jax.make_jaxpr(jax.jacfwd(lambda t: sx.expectation(JUMPS[name])(t, key=key)))(T)


def test_only_costs_count(key):
    """What jumps in aux, in what is never used, or behind a stop_gradient, leaves the draw as it is."""

    def f(t, *, key):
        z = normal(key, t)
        unused = jnp.floor(z) * 2
        return z**2 + jnp.where(lax.stop_gradient(z) > 0, 1.0, 0.0), (z > 0, unused)

    slope, _ = jax.grad(sx.expectation(f, has_aux=True), has_aux=True)(T, key=key)
    np.testing.assert_allclose(slope, 2 * normal(key, T), rtol=1e-6)


# -- Pathwise() that the user wrote


def test_pathwise_is_refused_where_all_of_it_is_lost(key):
    dead = lambda t, *, key: jnp.where(normal(key, t, via=sx.Pathwise(), name="z") > 0, 1.0, 0.0)
    with pytest.raises(sx.SpanaxError, match=r"(?s)'z' via Pathwise.*is cut.*test_jumps\.py:\d+.*ScoreFunction"):
        jax.grad(sx.expectation(dead))(T, key=key)
    assert jax.jit(lambda t: sx.expectation(dead)(t, key=key))(T) in (0.0, 1.0)  # only a derivative is wrong
    named = lambda t, *, key: jnp.where(normal(key, t, name="z") > 0, 1.0, 0.0)
    with pytest.raises(sx.SpanaxError, match="is cut"):
        jax.grad(sx.expectation(named, via={"z": sx.Pathwise()}))(T, key=key)


def test_pathwise_warns_where_it_is_piecewise(key):
    f = lambda t, *, key: (lambda z: jnp.where(z > 0, 1 + z, z))(normal(key, t, via=sx.Pathwise()))
    with pytest.warns(sx.SpanaxWarning, match=r"(?s)via Pathwise.*jumps.*find_jumps"):
        assert jax.grad(sx.expectation(f))(T, key=key) == 1.0


def test_pathwise_is_let_alone_where_the_program_is_continuous(key):
    f = lambda t, *, key: jax.nn.leaky_relu(normal(key, t, via=sx.Pathwise()))
    assert jax.grad(sx.expectation(f))(T, key=key) in (1.0, np.float32(0.01))


def test_a_draw_compared_with_what_is_differentiated(key):
    """The score function sees the draw's parameters, and not what the draw is compared with."""
    f = lambda t, *, key: jnp.where(normal(key, 0.0) > t, 1.0, 0.0)
    with pytest.raises(sx.SpanaxError, match=r"(?s)compares a draw with.*test_jumps\.py:\d+.*mean - threshold"):
        jax.grad(sx.expectation(f))(T, key=key)
    meant = lambda t, *, key: t * jnp.where(normal(key, 0.0) > lax.stop_gradient(t), 1.0, 0.0)
    assert jax.grad(sx.expectation(meant))(T, key=key) in (0.0, 1.0)
    coin = lambda t, *, key: t * jnp.where(sx.sample(key, dist.Bernoulli(0.5), via=sx.ScoreFunction()) > t, 1.0, 0.0)
    assert jax.grad(sx.expectation(coin))(T, key=key) in (0.0, 1.0)  # almost surely no coin lies at t


def test_a_moving_bound_at_a_jump(key):
    f = lambda t, *, key: jnp.where(sx.sample(key, dist.Uniform(0.0, t)) > 0.1, 1.0, 0.0)
    with pytest.raises(sx.SpanaxError, match=r"(?s)bound of its support.*continuous in the draw"):
        noted(lambda: jax.grad(sx.expectation(f))(T, key=key))
