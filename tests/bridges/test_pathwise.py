"""Pathwise gradients of continuous draws, against moments in closed form."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

from .reference import assert_mean_is, central_differences, estimates

DIRECTION = np.array([1.0, -0.7])


class Moment(NamedTuple):
    make: Callable[[Any], Any]
    theta: tuple[float, ...]
    cost: Callable[[Any], Any]
    mean: Callable[[np.ndarray], float]  # E[cost], the textbook's


def rising(a, k):
    """a (a + 1) ... (a + k - 1)."""
    return math.prod(a + i for i in range(k))


def multivariate_normal(t):
    scale = jnp.stack([jnp.stack([t[2], jnp.zeros_like(t[2])]), t[3:]])
    return dist.MultivariateNormal(t[:2], scale_tril=scale)


def square_along(t):
    """E[(d.z)^2] of a normal z = (t0, t1) + [[t2, 0], [t3, t4]] noise."""
    return (DIRECTION @ t[:2]) ** 2 + np.sum((np.array([[t[2], t[3]], [0, t[4]]]) @ DIRECTION) ** 2)


MOMENTS = {
    "Normal": Moment(
        lambda t: dist.Normal(t[0], t[1]), (0.7, 0.5), lambda z: z**3, lambda t: t[0] ** 3 + 3 * t[0] * t[1] ** 2
    ),
    "LogNormal": Moment(
        lambda t: dist.LogNormal(t[0], t[1]), (0.3, 0.4), lambda z: z**2, lambda t: np.exp(2 * t[0] + 2 * t[1] ** 2)
    ),
    "Uniform": Moment(
        lambda t: dist.Uniform(t[0], t[1]),
        (0.5, 2.0),
        lambda z: z**3,
        lambda t: (t[1] ** 4 - t[0] ** 4) / (4 * (t[1] - t[0])),
    ),
    "Gamma": Moment(
        lambda t: dist.Gamma(t[0], t[1]), (1.7, 1.3), lambda z: z**2, lambda t: rising(t[0], 2) / t[1] ** 2
    ),
    "Gamma of a small shape": Moment(
        lambda t: dist.Gamma(t[0], t[1]), (0.3, 0.8), lambda z: z**2, lambda t: rising(t[0], 2) / t[1] ** 2
    ),
    "Beta": Moment(
        lambda t: dist.Beta(t[0], t[1]),
        (1.4, 0.8),
        lambda z: z**2 * (1 - z),
        lambda t: rising(t[0], 2) * t[1] / rising(t[0] + t[1], 3),
    ),
    "Dirichlet": Moment(
        lambda t: dist.Dirichlet(t),
        (0.9, 1.6, 2.3),
        lambda z: z[0] ** 2 * z[1],
        lambda t: rising(t[0], 2) * t[1] / rising(np.sum(t), 3),
    ),
    "MultivariateNormal": Moment(
        multivariate_normal,
        (0.6, -0.5, 0.9, 0.3, 0.7),
        lambda z: (jnp.asarray(DIRECTION, z.dtype) @ z) ** 2,
        square_along,
    ),
    # Not symmetric: it tells the elements apart.
    "vector of Normals": Moment(
        lambda t: dist.Normal(t[:2], t[2:]).to_event(1),
        (0.7, -0.4, 0.5, 0.9),
        lambda z: z[0] ** 2 * z[1],
        lambda t: (t[0] ** 2 + t[2] ** 2) * t[1],
    ),
}


def program(moment, via):
    return lambda theta, *, key: moment.cost(sx.sample(key, moment.make(theta), via=via))


# 18 cases with 66 components in all: a false alarm in .4% of the keys for the whole table.
@pytest.mark.few(5)
@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS)
def test_mean_is_the_moment_and_its_gradient(moment, key, dtype):
    values, gradients = estimates(program(moment, sx.Pathwise()), jnp.asarray(moment.theta, dtype), key)
    assert_mean_is(moment.mean(np.array(moment.theta)), values)
    assert_mean_is(central_differences(moment.mean, moment.theta), gradients)


# 3 cases with 17 components: a false alarm in .1% of the keys.
@pytest.mark.few(1)
@pytest.mark.parametrize("name", ["Gamma", "Beta", "Dirichlet"])
def test_second_derivative_of_an_implicit_draw(name, key, x64):
    moment = MOMENTS[name]
    hessian = jax.jacfwd(jax.grad(sx.expectation(program(moment, sx.Pathwise()))))
    drawn = jax.jit(jax.vmap(lambda k: hessian(jnp.asarray(moment.theta), key=k)))(jax.random.split(key, 20_000))
    truth = central_differences(lambda t: central_differences(moment.mean, t, 1e-4)[0], moment.theta, 1e-4)
    assert_mean_is(truth, np.asarray(drawn)[:, 0])


def test_it_is_the_default_where_a_reparametrised_draw_exists(key):
    moment = MOMENTS["Gamma"]
    theta = jnp.asarray(moment.theta, jnp.float32)
    given, default = (jax.grad(sx.expectation(program(moment, via)))(theta, key=key) for via in (sx.Pathwise(), None))
    np.testing.assert_array_equal(given, default)


def test_a_discrete_draw_is_refused_with_a_remedy(key):
    with pytest.raises(sx.SpanaxError, match=r"(?s)Poisson.*ScoreFunction\(\)"):
        sx.sample(key, dist.Poisson(1.0), via=sx.Pathwise())
