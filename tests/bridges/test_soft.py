"""Soft, and StraightThrough of hard operations: what they take, and the hard value with exactly the soft derivative."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

import spanax as sx
from spanax import hard
from spanax._math.noise import KERNELS, units

from ..hard.reference import KERNELS as DENSITIES

X = jnp.array([0.3, -0.2, 1.7, 0.25])


# -- the noise


@pytest.mark.parametrize("name", KERNELS)
def test_noise_has_mean_0_and_deviation_1(name, x64):
    density = lambda u: float(KERNELS[name].density(jnp.asarray(u)))
    moments = [2 * integrate.quad(lambda u, k=k: u**k * density(u), 0, 60, limit=200)[0] for k in (0, 2)]
    np.testing.assert_allclose(moments, 1, atol=1e-8)
    assert density(0.7) == density(-0.7)


@pytest.mark.parametrize("name", KERNELS)
def test_cdf_and_ramp_are_its_integrals(name, x64):
    u = np.array([-30.0, -5.0, -1.0, -1e-9, 0.0, 0.3, 4.0, 25.0])
    kernel, truth = KERNELS[name], DENSITIES[name]
    np.testing.assert_allclose(kernel.density(jnp.asarray(u)), truth.pdf(u), atol=1e-14)
    np.testing.assert_allclose(kernel.cdf(jnp.asarray(u)), truth.cdf(u), atol=1e-14)
    ramp = [integrate.quad(lambda e: truth.sf(e), -v, 60, points=[0], limit=200)[0] for v in u]
    np.testing.assert_allclose(kernel.relu(jnp.asarray(u)), ramp, atol=1e-8)
    np.testing.assert_allclose(
        kernel.tail(jnp.asarray(u[:5]) * 0.5, jnp.asarray(0.5)), 0.5 * np.array(ramp[:5]), atol=1e-8
    )


def test_units_are_held_where_no_noise_reaches():
    x = jnp.array([-jnp.inf, -1e30, 0.5, 1e30, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(units(x, jnp.float32(0.25)), [-1000, -1000, 2, 1000, 1000, np.nan])
    by_x, by_softness = jax.vmap(jax.grad(units, (0, 1)), (0, None))(x[:5], jnp.float32(0.25))
    np.testing.assert_array_equal(by_x, [0, 0, 4, 0, 0])
    np.testing.assert_array_equal(by_softness, [0, 0, -8, 0, 0])


# -- what it takes


@pytest.mark.parametrize(
    "bad", [0.0, -1.0, np.nan, np.inf, "0.1", None, [0.1], jnp.ones(2), 1j, jnp.array(-0.5)], ids=repr
)
@pytest.mark.parametrize("make, name", [(sx.Soft, "softness"), (sx.Perturbed, "sigma")])
def test_what_is_no_softness(make, name, bad):
    with pytest.raises(sx.SpanaxError, match=f"{name}=") as caught:
        make(bad)
    assert "test_soft.py" in caught.value.where and f"{name}=0.1" in caught.value.remedies


@pytest.mark.parametrize("softness", [1, 0.1, np.float32(0.1), np.array(0.1), jnp.array(0.1), jnp.array(1)], ids=repr)
def test_what_is_a_softness(softness):
    for where in (lambda f: f, jax.jit):
        value = where(lambda x: hard.round(x, via=sx.Soft(softness)))(X)
        np.testing.assert_allclose(value, hard.round(X, via=sx.Soft(float(softness))), atol=1e-6)


def test_a_bridge_is_an_argument_like_others():
    f = jax.jit(lambda via: jnp.sum(hard.floor(X, via=via)))
    assert f(sx.Soft(0.2)) == f(sx.Soft(jnp.array(0.2)))
    slope = jax.grad(f)(sx.Soft(jnp.array(0.2))).softness
    h = 1e-2
    np.testing.assert_allclose(slope, (f(sx.Soft(0.2 + h)) - f(sx.Soft(0.2 - h))) / (2 * h), rtol=1e-2)


def test_an_unknown_kernel():
    with pytest.raises(sx.SpanaxError, match=r"(?s)kernel='cauchy'.*'laplace'") as caught:
        sx.Soft(0.1, "cauchy")  # pyright: ignore[reportArgumentType]
    assert "test_soft.py" in caught.value.where


# -- straight through

OPERATIONS = {
    "round": hard.round,
    "less": lambda x, **how: hard.less(x, 0.1, **how),
    "argmax": hard.argmax,
    "rank": hard.rank,
    "sort": hard.sort,
    "clip": lambda x, **how: hard.clip(x, 0.0, 1.0, **how),
    "histogram": lambda x, **how: hard.histogram(x, 3, **how)[0],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_hard_value_with_exactly_the_soft_derivative(name, dtype):
    x, f = X.astype(dtype), OPERATIONS[name]

    def both(x):
        soft, through = (lambda x, via=via: f(x, via=via) for via in (sx.Soft(0.3), sx.StraightThrough(sx.Soft(0.3))))
        second = [jax.jacfwd(jax.jacrev(g))(x) for g in (soft, through)]
        return f(x), through(x), jax.jacrev(soft)(x), jax.jacrev(through)(x), jax.jacfwd(through)(x), *second

    exact, value, soft, reverse, forward, soft2, through2 = jax.jit(both)(x)
    np.testing.assert_array_equal(value, exact)
    np.testing.assert_allclose(reverse, soft, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(forward, soft, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(through2, soft2, rtol=1e-4, atol=1e-4)


def test_the_value_is_exact_where_adding_a_stopped_difference_is_not():
    x = jnp.array([1e8, 0.1, 1e-30, 7.3e7])
    via = sx.StraightThrough(sx.Soft(0.3))
    for f in (hard.sort, hard.abs, hard.relu, hard.round, lambda x, via: hard.quantile(x, 0.25, via=via)):
        np.testing.assert_array_equal(f(x, via=via), f(x, via=None))
    sliding = lambda x: x + jax.lax.stop_gradient(hard.sign(x) - x)
    assert hard.sign(jnp.float32(1e-9), via=via) == 1 and sliding(jnp.float32(1e8 + 8)) != 1  # what it is not


def test_straight_through_of_perturbed(key):
    via = sx.Perturbed(0.3, 50)
    f = lambda x, via: hard.rank(x, via=via, key=key)
    np.testing.assert_array_equal(f(X, sx.StraightThrough(via)), hard.rank(X))
    np.testing.assert_array_equal(jax.jacrev(f)(X, sx.StraightThrough(via)), jax.jacrev(f)(X, via))


@pytest.mark.parametrize("of", [0.1, "soft", sx.Soft, sx.StraightThrough(), sx.GumbelSoftmax(0.5)], ids=repr)
def test_what_it_cannot_be_of(of):
    with pytest.raises(sx.SpanaxError, match="StraightThrough") as caught:
        sx.StraightThrough(of)
    assert "test_soft.py" in caught.value.where and caught.value.remedies


def test_of_soft_is_for_hard_operations(key):
    import numpyro.distributions as dist

    with pytest.raises(sx.SpanaxError, match="not for draws"):
        sx.sample(key, dist.Bernoulli(0.3), via=sx.StraightThrough(sx.Soft(0.1)))


# -- with the rest of the package


def test_inside_an_expectation(key):
    """A hard operation of a draw: the score function carries the draw, the bridge what else there is."""
    import numpyro.distributions as dist

    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        return hard.greater(z + theta, 0.8, via=sx.Soft(0.5)) + hard.sort(jnp.stack([theta, z]), via=sx.Soft(0.5))[1]

    def exact(theta):
        p = jax.nn.sigmoid(theta)
        value = lambda z: (
            hard.greater(z + theta, 0.8, via=sx.Soft(0.5)) + hard.sort(jnp.stack([theta, z]), via=sx.Soft(0.5))[1]
        )
        return p * value(1.0) + (1 - p) * value(0.0)

    estimate = jax.jit(jax.grad(sx.expectation(f)))(0.3, key=key)
    np.testing.assert_allclose(estimate, jax.jit(jax.grad(exact))(0.3), rtol=1e-5)


def test_find_gaps_sees_the_gap_and_the_bridge():
    assert "dead" in str(sx.find_gaps(lambda x: jnp.sum(hard.round(x)), X))
    assert "alive" in str(sx.find_gaps(lambda x: jnp.sum(hard.round(x, via=sx.StraightThrough(sx.Soft(0.1)))), X))
    assert "alive" in str(sx.find_gaps(lambda x: jnp.sum(hard.rank(x, via=sx.Soft(0.1)) ** 2), X))
