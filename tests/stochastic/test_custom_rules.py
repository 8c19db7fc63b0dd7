"""Derivatives of the user's own around a draw: one of the two is the gradient, the rule or the score, and never their sum."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx
from tests.stochastic.programs.forced import Forced

THETA = 0.3
Q = 1 / (1 + np.exp(-THETA))


def coin(theta, key, via):
    return sx.sample(key, dist.Bernoulli(logits=theta), via=via, name="coin")


def slope_of_mean(theta):
    return jax.nn.sigmoid(theta) * jax.nn.sigmoid(-theta)


def with_jvp(body, rule):
    """`rule(theta, key, via) -> slope`."""

    def made(via):
        f = jax.custom_jvp(lambda theta, key: body(theta, key, via))
        f.defjvp(lambda primals, tangents: (f(*primals), rule(*primals, via) * tangents[0]))
        return f

    return made


def with_vjp(body, rule):
    def made(via):
        f = jax.custom_vjp(lambda theta, key: body(theta, key, via))
        f.defvjp(lambda theta, key: (f(theta, key), (theta, key)), lambda kept, ct: (ct * rule(*kept, via), None))
        return f

    return made


def scaled(theta, key, via):
    return theta**2 * coin(theta, key, via)


CROSSING = {
    "straight-through": (coin, lambda theta, key, via: slope_of_mean(theta)),
    "in part": (scaled, lambda theta, key, via: 2 * theta * coin(theta, key, via) + theta**2 * slope_of_mean(theta)),
    "an identity": (coin, lambda theta, key, via: 1.0),
    "clipped": (lambda t, k, via: 3 * scaled(t, k, via), lambda t, k, via: jnp.clip(6 * t * coin(t, k, via), -1, 1)),
}
HOLDING = {  # the derivative of the function with the draw held, written by hand
    "of a product": (scaled, lambda theta, key, via: 2 * theta * coin(theta, key, via)),
    "none": (lambda theta, key, via: 3 * coin(theta, key, via), lambda theta, key, via: 0.0 * theta),
    "of a logarithm": (
        lambda theta, key, via: jnp.log(theta) + coin(theta, key, via),
        lambda theta, key, via: 1 / theta,
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("make", [with_jvp, with_vjp], ids=["custom_jvp", "custom_vjp"])
@pytest.mark.parametrize("case", CROSSING)
def test_a_rule_that_crosses_a_draw_with_a_score_is_refused(case, make, key):
    for via in (None, sx.ScoreFunction(), sx.LeaveOneOut()):
        f = make(*CROSSING[case])(via)
        with pytest.raises(sx.SpanaxError, match=r"(?s)'coin'.*\n  at .*test_custom_rules.*\(a\)"):
            jax.grad(sx.expectation(lambda theta, *, key, f=f: f(theta, key)))(THETA, key=key)


@pytest.mark.parametrize("make", [with_jvp, with_vjp], ids=["custom_jvp", "custom_vjp"])
def test_around_a_local_draw_the_rule_alone_is_the_derivative(make, x64, key):
    f = make(*CROSSING["straight-through"])(sx.StraightThrough())
    slope = jax.jit(jax.grad(sx.expectation(lambda theta, *, key: 3 * f(theta, key))))(THETA, key=key)
    np.testing.assert_allclose(slope, 3 * Q * (1 - Q), rtol=1e-12)


@pytest.mark.few(2)
@pytest.mark.parametrize("make", [with_jvp, with_vjp], ids=["custom_jvp", "custom_vjp"])
@pytest.mark.parametrize("case", HOLDING)
def test_beside_a_rule_that_holds_its_draw_the_score_counts(case, make, x64, key):
    def estimate(theta, z):
        return sx.expectation(lambda theta, *, key: make(*HOLDING[case])(Forced(z))(theta, key))(theta, key=key)

    def truth(theta):
        return jax.nn.sigmoid(-theta) * held(case, theta, 0.0) + jax.nn.sigmoid(theta) * held(case, theta, 1.0)

    slopes = [jax.grad(estimate)(THETA, jnp.array(z)) for z in (0.0, 1.0)]
    np.testing.assert_allclose((1 - Q) * slopes[0] + Q * slopes[1], jax.grad(truth)(THETA), rtol=1e-10)


def held(case, theta, z):
    return {"of a product": theta**2 * z, "none": 3 * z, "of a logarithm": jnp.log(theta) + z}[case]


@jax.custom_vjp
def value_of_one(z, p):
    """z, with the derivative of p."""
    return z


value_of_one.defvjp(lambda z, p: (z, None), lambda _, g: (jnp.zeros_like(g), g))


@jax.custom_jvp
def twice_the_slope(z):
    """z, with twice its derivative."""
    return z


twice_the_slope.defjvp(lambda primals, tangents: (twice_the_slope(*primals), 2 * tangents[0]))


@jax.custom_jvp
def product_and_draw(z, p):
    return z * p, z


product_and_draw.defjvp(lambda x, d: (product_and_draw(*x), (x[0] * d[1], jnp.zeros_like(d[0]))))
BY_HAND = {
    "(z + p) - stop(p)": lambda z, p: z + p - lax.stop_gradient(p),
    "z + (p - stop(p))": lambda z, p: z + (p - lax.stop_gradient(p)),
    "(p - stop(p)) + z": lambda z, p: (p - lax.stop_gradient(p)) + z,
    "(z - stop(p)) + p": lambda z, p: z - lax.stop_gradient(p) + p,
    "p + stop(z - p)": lambda z, p: p + lax.stop_gradient(z - p),
    "stop(z - p) + p": lambda z, p: lax.stop_gradient(z - p) + p,
    "in a jit": jax.jit(lambda z, p: p + lax.stop_gradient(z - p)),
    "of what is near the draw": lambda z, p: (2 * z - 1) + p - lax.stop_gradient(p),
    "in a branch": lambda z, p: lax.cond(z > 0, lambda: z + p - lax.stop_gradient(p), lambda: z),
    "in a loop": lambda z, p: lax.scan(lambda c, _: (c + z + (p - lax.stop_gradient(p)), None), 0.0, None, 2)[0],
    "p - (stop(p) - z)": lambda z, p: p - (lax.stop_gradient(p) - z),
    "z - (stop(p) - p)": lambda z, p: z - (lax.stop_gradient(p) - p),
    "scaled": lambda z, p: z + 2 * (p - lax.stop_gradient(p)),
    "p * 1 - stop(p)": lambda z, p: lax.stop_gradient(z) + p * 1.0 - lax.stop_gradient(p),
    "a sum of an array": lambda z, p: jnp.sum(jnp.stack([z, p, -lax.stop_gradient(p)])),
    "a custom rule after the draw": value_of_one,
    "custom_gradient": jax.custom_gradient(lambda z, p: (z, lambda g: (jnp.zeros_like(g), g))),
    "computed twice": lambda z, p: z + jnp.sin(p) - lax.stop_gradient(jnp.sin(p)),
}


@pytest.mark.parametrize("by_hand", BY_HAND)
def test_straight_through_by_hand_around_a_score_is_refused(by_hand, key):
    def f(theta, *, key, via=None):
        return 3 * BY_HAND[by_hand](coin(theta, key, via), jax.nn.sigmoid(theta))

    for via in (None, sx.Enumerate()):
        with pytest.raises(sx.SpanaxError, match=r"straight-through by hand.*\n  at .*test_custom_rules"):
            jax.grad(sx.expectation(f))(THETA, via=via, key=key)


ALLOWED = {
    "around a local draw": lambda theta, key: (lambda z, p: z + p - lax.stop_gradient(p))(
        coin(theta, key, sx.StraightThrough()), jax.nn.sigmoid(theta)
    ),
    "around a hard step after the draw": lambda theta, key: (lambda y: y + lax.stop_gradient(jnp.round(y) - y))(
        theta * coin(theta, key, None)
    ),
    "a rule of what the value depends on": lambda theta, key: twice_the_slope(coin(theta, key, None)) * theta,
    "a rule that hands the draw on": lambda theta, key: sum(product_and_draw(coin(theta, key, None), theta)),
    "beside it in an array": lambda theta, key: jnp.sum(
        (jnp.stack([coin(theta, key, None), theta - lax.stop_gradient(theta)]) + 1) ** 2
    ),
    "a loss with a term that has a gradient only": lambda theta, key: (
        jnp.exp(jnp.sin(jnp.cos(coin(theta, key, None) * theta) ** 2) + 1) + theta - lax.stop_gradient(theta)
    ),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("case", ALLOWED)
def test_what_does_not_cross_a_score_is_allowed(case, key):
    assert jnp.isfinite(jax.grad(sx.expectation(lambda theta, *, key: ALLOWED[case](theta, key)))(THETA, key=key))
