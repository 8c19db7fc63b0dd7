"""Costs and draws under the derivatives, checkpoints and jits that a program makes by itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx

TIMES = 2.0  # how often each of them says its cost


def in_a_scan(say):
    return lambda x: lax.scan(lambda c, _: (say() or jnp.sin(c * x), None), x, None, length=2)[0]


def in_a_cond(say):
    return lambda x: lax.cond(x > 0, lambda: say() or say() or x**2, lambda: x)


def in_a_jit(say):
    return jax.jit(lambda x: say() or say() or jnp.sin(x))


def in_a_checkpoint(say):
    return jax.checkpoint(lambda x: say() or say() or jnp.sin(x) * x)


def in_a_custom_jvp(say):
    g = jax.custom_jvp(lambda x: say() or say() or x)
    g.defjvp(lambda primals, tangents: (g(*primals), 2 * tangents[0]))
    return g


DERIVATIVES = {
    "none": lambda g: g,
    "grad": jax.grad,
    "value_and_grad": lambda g: lambda x: jax.value_and_grad(g)(x)[1],
    "vjp": lambda g: lambda x: jax.vjp(g, x)[1](1.0)[0],
    "jvp": lambda g: lambda x: jax.jvp(g, (x,), (1.0,))[1],
    "linearize": lambda g: lambda x: jax.linearize(g, x)[1](1.0),
    "jacrev": jax.jacrev,
}


KEPT = [
    *itertools.product([in_a_cond, in_a_jit, in_a_checkpoint], DERIVATIVES),
    (in_a_scan, "none"),
    (in_a_scan, "jvp"),
]


@pytest.mark.few(5)
@pytest.mark.parametrize("around, derivative", KEPT)
def test_an_inner_derivative_keeps_the_costs(around, derivative, x64, key):
    """d/dtheta of 2 E[z] = 2 sigmoid(theta); also at the second call, which JAX answers from its cache."""

    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        return 0.0 * DERIVATIVES[derivative](around(lambda: sx.cost(z)))(1.0 + 0.0 * theta)

    for theta in (0.3, -0.8):
        value, slope = jax.value_and_grad(sx.expectation(f))(theta, key=key)
        p = jax.nn.sigmoid(theta)
        np.testing.assert_allclose([value, slope], [TIMES * p, TIMES * p * (1 - p)], rtol=1e-12)


def scan_in_a_checkpoint(say):
    return jax.checkpoint(in_a_scan(say))


def checkpoint_in_a_scan(say):
    step = jax.checkpoint(lambda c, x: (say() or jnp.sin(c * x), None))
    return lambda x: lax.scan(lambda c, _: step(c, x), x, None, length=2)[0]


def scan_in_a_cond(say):
    return lambda x: lax.cond(x > 0, in_a_scan(say), lambda x: x, x)


@pytest.mark.parametrize("derivative", sorted(set(DERIVATIVES) - {"none", "jvp"}))
@pytest.mark.parametrize(
    "around", [in_a_scan, scan_in_a_checkpoint, checkpoint_in_a_scan, scan_in_a_cond], ids=lambda f: f.__name__
)
def test_a_scan_with_a_cost_under_reverse_mode_is_refused(around, derivative, key):
    """JAX moves what is the same in each pass out of the loop, where it would count once."""

    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        return 0.0 * DERIVATIVES[derivative](around(lambda: sx.cost(z)))(1.0 + 0.0 * theta)

    for _ in range(2):
        with pytest.raises(sx.SpanaxError, match=r"how often it counts would be lost\n  at .*test_inner"):
            jax.grad(sx.expectation(f))(0.3, key=key)


def test_a_cost_in_a_custom_rule(x64, key):
    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        return 0.0 * in_a_custom_jvp(lambda: sx.cost(z))(1.0)

    p = jax.nn.sigmoid(0.3)
    np.testing.assert_allclose(jax.grad(sx.expectation(f))(0.3, key=key), 2 * p * (1 - p), rtol=1e-12)


def test_a_custom_rule_that_closes_over_an_intermediate_is_refused(key):
    def f(theta, *, key):
        a, b = jax.random.split(key)
        z = sx.sample(a, dist.Bernoulli(logits=theta), via=sx.ScoreFunction())
        g = jax.custom_jvp(lambda x: x * sx.sample(b, dist.Bernoulli(logits=x), via=sx.StraightThrough()))
        g.defjvp(lambda primals, tangents: (g(*primals), z * tangents[0]))
        return g(theta) * z

    with pytest.raises(sx.SpanaxError, match=r"closes over an intermediate value of f\n  at .*test_inner"):
        jax.grad(sx.expectation(f))(0.3, key=key)


def test_a_helper_used_with_and_without_a_derivative(x64, key):
    def helper(x, z):
        sx.cost(z)
        return x**2

    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        inner = jax.jit(helper)
        return 0.0 * (inner(theta, z) + jax.grad(inner)(theta, z))

    p = jax.nn.sigmoid(0.3)
    np.testing.assert_allclose(jax.grad(sx.expectation(f))(0.3, key=key), 2 * p * (1 - p), rtol=1e-12)


def test_shapes_may_be_asked_for(x64, key):
    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta), via=sx.Enumerate())
        g = lambda: sx.cost(z) or z**2
        assert jax.eval_shape(g).shape == ()
        return g()

    p = jax.nn.sigmoid(0.3)
    np.testing.assert_allclose(jax.grad(sx.expectation(f))(0.3, key=key), 2 * p * (1 - p), rtol=1e-12)


def test_an_unmapped_cost_in_a_vmap_is_refused(key):
    def f(theta, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=theta))
        return jnp.sum(jax.vmap(lambda x: sx.cost(z) or x)(theta * jnp.arange(3.0)))

    with pytest.raises(sx.SpanaxError, match=r"a cost inside a vmap.*\n  at .*test_inner_transformations"):
        sx.expectation(f)(0.3, key=key)
    assert f(0.3, key=key) == 3 * jnp.float32(0.3)  # a plain call does nothing


def test_an_infinite_cost_is_nobody_elses(x64, key):
    def f(theta, *, key):
        a, b = jax.random.split(key)
        z = sx.sample(a, dist.Bernoulli(logits=theta[0]), via=sx.ScoreFunction())
        sx.cost(jnp.where(z > 2, 0.0, jnp.inf))
        return sx.sample(b, dist.Bernoulli(logits=theta[1]), via=sx.ScoreFunction()) + 1.0

    slopes = jax.grad(sx.expectation(f))(jnp.array([0.3, 0.4]), key=key)
    assert not jnp.isfinite(slopes[0]) and jnp.isfinite(slopes[1])


def seen(theta, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=theta))
    return z * theta, {"z": z, "scaled": theta * z, "count": jnp.int32(3)}


@pytest.mark.few(1)
@pytest.mark.parametrize("samples", [1, 3])
def test_aux_has_no_derivative(samples, key):
    f = sx.expectation(seen, samples=samples, has_aux=True)
    (value, aux), slope = jax.jit(jax.value_and_grad(f, has_aux=True))(0.3, key=key)
    assert jnp.isfinite(value) and jnp.isfinite(slope)
    assert aux["z"].shape == aux["scaled"].shape == aux["count"].shape == (samples,)
    with pytest.raises(sx.SpanaxError, match="the derivative of aux"):
        jax.grad(lambda t: f(t, key=key)[0] + jnp.sum(f(t, key=key)[1]["scaled"]))(0.3)
    tangent = jax.jvp(lambda t: f(t, key=key)[1]["scaled"], (0.3,), (1.0,))[1]
    assert jnp.all(jnp.isnan(tangent))
    stopped = jax.grad(lambda t: jnp.sum(lax.stop_gradient(f(t, key=key)[1]["scaled"])) * t)(0.3)
    assert jnp.isfinite(stopped)


def test_aux_beside_a_branching_draw_has_no_derivative(key):
    f = sx.expectation(
        lambda t, *, key: (sx.sample(key, dist.Bernoulli(logits=t), via=sx.Enumerate()), t**2), has_aux=True
    )
    assert f(0.3, key=key)[1].shape == (1,)
    with pytest.raises(sx.SpanaxError, match="the derivative of aux"):
        jax.grad(lambda t: f(t, key=key)[1][0])(0.3)


def test_nested_conds_are_traced_once(key):
    """Once a level: tracing each branch for its shapes and again for the cond would take 2**12 draws."""
    traced = []

    class Counted(sx.Pathwise):
        def draw(self, key, distribution):
            traced.append(1)
            return super().draw(key, distribution)

    def conds(theta, key, depth):
        if not depth:
            return sx.sample(key, dist.Normal(theta, 1.0), via=Counted())
        return lax.cond(theta < depth, lambda: conds(theta, key, depth - 1), lambda: theta * depth)

    def draws(depth):
        traced.clear()
        jax.make_jaxpr(sx.expectation(lambda theta, *, key: conds(theta, key, depth)))(0.3, key=key)
        return len(traced)

    assert 0 < draws(12) <= draws(2) + 2
