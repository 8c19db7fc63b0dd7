"""Every unbiased bridge through every discrete family, against sums over the support."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx

from .reference import assert_mean_is, central_differences, estimates, outcomes, sigmoid, softmax

WEIGHTS = (1.0, 0.6, -0.8)


class Family(NamedTuple):
    name: str
    make: Callable[[Any], Any]
    theta: Any
    table: Callable[[np.ndarray], np.ndarray]  # theta -> the probabilities, (elements, values)
    finite: bool = True


def bernoulli(p):
    return np.stack([1 - p, p], -1)


def binomial(p, n=4):
    k = np.arange(n + 1)
    return np.array([math.comb(n, i) for i in k]) * p[:, None] ** k * (1 - p[:, None]) ** (n - k)


def poisson(rate, n=60):
    k = np.arange(n)
    return np.exp(k * np.log(rate[:, None]) - rate[:, None] - np.array([math.lgamma(i + 1) for i in k]))


def geometric(p, n=80):
    return p[:, None] * (1 - p[:, None]) ** np.arange(n)


def normalised(p):
    return p / np.sum(p, -1, keepdims=True)


def each(table):
    """The table of independent elements from a scalar or a vector of parameters."""
    return lambda theta: table(np.atleast_1d(theta))


def rows(table):
    """The table of independent Categoricals, one for each row of parameters."""
    return lambda theta: table(np.atleast_2d(theta))


def joint(family):
    """The family, its batch made one draw of an event."""
    return lambda theta: family(theta).to_event(1)


LOGITS = np.array([0.6, -0.4, 0.9])
PROBS = np.array([0.35, 0.6, 0.25])
ROWS = np.array([[0.5, -0.3, 0.2], [-0.6, 0.4, 0.1]])

# The truncated tails hold less than 1e-12: .7**80 = 4e-13, and a Poisson of rate 1.3 beyond 60.
FAMILIES = [
    Family("bernoulli logits", joint(lambda t: dist.Bernoulli(logits=t)), LOGITS, lambda t: bernoulli(sigmoid(t))),
    Family("bernoulli logits scalar", lambda t: dist.Bernoulli(logits=t), 0.6, each(lambda t: bernoulli(sigmoid(t)))),
    Family("bernoulli probs batch", lambda t: dist.Bernoulli(probs=t), PROBS, bernoulli),
    Family("bernoulli probs scalar", lambda t: dist.Bernoulli(probs=t), 0.35, each(bernoulli)),
    Family("categorical logits", joint(lambda t: dist.Categorical(logits=t)), ROWS, softmax),
    Family("categorical logits scalar", lambda t: dist.Categorical(logits=t), ROWS[0], rows(softmax)),
    Family("categorical probs batch", lambda t: dist.Categorical(probs=t), softmax(ROWS), normalised),
    Family("categorical probs scalar", lambda t: dist.Categorical(probs=t), softmax(ROWS[0]), rows(normalised)),
    Family("binomial logits", joint(lambda t: dist.Binomial(4, logits=t)), LOGITS[:2], lambda t: binomial(sigmoid(t))),
    Family("binomial probs scalar", lambda t: dist.Binomial(4, probs=t), 0.35, each(binomial)),
    Family("poisson", joint(lambda t: dist.Poisson(t)), np.array([1.3, 0.7]), poisson, finite=False),
    Family("poisson scalar", lambda t: dist.Poisson(t), 0.7, each(poisson), finite=False),
    Family("geometric probs", joint(lambda t: dist.Geometric(probs=t)), np.array([0.6, 0.7]), geometric, finite=False),
    Family(
        "geometric logits scalar",
        lambda t: dist.Geometric(logits=t),
        1.5,
        each(lambda t: geometric(sigmoid(t))),
        finite=False,
    ),
]

# Made inside the test, so that the arrays of a moving average have its precision. Each with its number of replicates.
BRIDGES = {
    "score function, leave-one-out": (lambda: sx.ScoreFunction(), 3),
    "score function": (lambda: sx.ScoreFunction(None), 1),
    "score function, constant": (lambda: sx.ScoreFunction(0.3), 1),
    "score function, moving average": (lambda: sx.ScoreFunction(sx.MovingAverage(0.9).update(0.8).update(0.4)), 2),
    "leave-one-out": (lambda: sx.LeaveOneOut(3), 1),
    "DisARM": (lambda: sx.DisARM(2), 1),
}


def cost(z, theta, xp):
    """Neither linear nor quadratic in the draw, and with a derivative of its own; z: (..., elements)."""
    total = xp.sum(xp.asarray(WEIGHTS[: z.shape[-1]], z.dtype) * z, -1)
    return xp.sin(0.9 * total) + 0.3 * total * xp.mean(theta**2)


def exact(family, theta):
    z, probabilities = outcomes(family.table(theta))
    return np.sum(probabilities * cost(z.astype(np.float64), theta, np))


def program(family, via):
    def f(theta, *, key):
        z = sx.sample(key, family.make(theta), via=via)
        return cost(jnp.atleast_1d(z.astype(theta.dtype)), theta, jnp)

    return f


def check(family, bridge, key, dtype):
    make, samples = BRIDGES[bridge]
    values, gradients = estimates(program(family, make()), jnp.asarray(family.theta, dtype), key, samples=samples)
    assert_mean_is(exact(family, family.theta), values)
    assert_mean_is(central_differences(lambda t: exact(family, t), family.theta), gradients)


def takes(bridge, family):
    if bridge == "DisARM":
        return family.name.startswith("bernoulli")
    # Its sampler takes seconds to compile, and a baseline does not know the family.
    return not (
        family.name.startswith("binomial") and bridge in ("score function, constant", "score function, moving average")
    )


def named(family):
    return family.name.replace(" ", "-")


CASES = [pytest.param(f, b, id=f"{b}-{f.name}".replace(" ", "-")) for b in BRIDGES for f in FAMILIES[1:] if takes(b, f)]


# 64 cases with 223 components in all: a false alarm in 1.5% of the keys for the whole table.
@pytest.mark.few(14)
@pytest.mark.parametrize("family, bridge", CASES)
def test_mean_is_the_exact_value_and_gradient(family, bridge, key, x64):
    check(family, bridge, key, jnp.float64)


# 12 cases with 48 components: a false alarm in .3% of the keys.
@pytest.mark.parametrize("bridge", BRIDGES)
def test_mean_is_exact_in_both_precisions(bridge, key, dtype):
    check(FAMILIES[0], bridge, key, dtype)


@pytest.mark.parametrize("family", [f for f in FAMILIES if f.finite], ids=named)
def test_enumerate_is_exact(family, key, dtype):
    f = jax.jit(jax.value_and_grad(sx.expectation(program(family, sx.Enumerate()))))
    value, gradient = f(jnp.asarray(family.theta, dtype), key=key)
    rtol = 3e-6 if dtype == jnp.float32 else 1e-9  # the reference's differences have an error of 1e-10
    assert value.dtype == gradient.dtype == dtype
    np.testing.assert_allclose(value, exact(family, family.theta), rtol=rtol, atol=rtol)
    truth = central_differences(lambda t: exact(family, t), family.theta)
    np.testing.assert_allclose(gradient, truth, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("bridge", ["score function, leave-one-out", "leave-one-out", "DisARM"])
def test_baselines_lower_the_variance(bridge, key, x64):
    """Not only unbiased: less noise a run of the program than the score function without a baseline."""
    theta = jnp.asarray(LOGITS)

    def spread(bridge):
        make, samples = BRIDGES[bridge]
        f = program(FAMILIES[0], make())
        runs = {"leave-one-out": 3, "DisARM": 4}.get(bridge, samples)
        return runs * np.sum(
            np.var(estimates(lambda t, *, key: 3 + f(t, key=key), theta, key, samples=samples, draws=4000)[1], 0)
        )

    # Measured over 4000 draws, with 3 added to the cost: .046, .046 and .047 of it. A fourfold error of that is no chance.
    assert spread(bridge) < 0.2 * spread("score function")
