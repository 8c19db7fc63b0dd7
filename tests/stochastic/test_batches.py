"""A batched loss inside one expectation warns, once a site; anything else does not."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest

import spanax as sx
from spanax import _errors

KEY = jax.random.key(5)
W = 0.1 * jax.random.normal(KEY, (6, 4))
X = jax.random.uniform(KEY, (10, 6))


@pytest.fixture(autouse=True)
def forget_warnings():
    _errors._warned.clear()


def loss(w, x, *, key):
    """Of one example or of a batch: x is (6,) or (n, 6)."""
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1), name="z")
    logits = jnp.tanh(z) @ w.T
    return jnp.mean(jnp.sum(jax.nn.softplus(logits) - x * logits, -1))


def inner_vmap(w, x, *, key):
    return jnp.mean(jax.vmap(lambda x, k: loss(w, x, key=k))(x, jax.random.split(key, len(x))))


def said_as_costs(w, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1), name="z")
    sx.cost(jnp.sum(z, -1))
    return jnp.zeros(())


def lanes_meet(w, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1))
    return jnp.sum(jnp.mean(z, 0) ** 2)


def squared_sum(w, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1))
    return jnp.sum(z) ** 2


def product_of_sums(w, x, *, key):
    total = jnp.sum(sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1)))
    return total * jnp.tanh(1.0) * total


def contracted_over_lanes(w, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1))
    return jnp.sum(jnp.tanh(jnp.ones(len(x)) @ z))


def transposed(w, x, *, key):
    z = sx.sample(key, dist.Bernoulli(logits=x @ w).to_event(1), name="z").T
    return jnp.mean(jnp.sum(z, 0) ** 2)


def pathwise(w, x, *, key):
    return jnp.mean(sx.sample(key, dist.Normal(x @ w, 1.0).to_event(1)) ** 2)


@pytest.mark.few(1)
@pytest.mark.parametrize("f", [loss, inner_vmap, said_as_costs, transposed], ids=lambda f: f.__name__)
def test_batched_loss_warns_once_and_names_the_remedy(f):
    estimate = sx.expectation(f, samples=2)
    with pytest.warns(
        sx.SpanaxWarning, match=r"batch of 10(.|\n)*test_batches.py:\d+(.|\n)*jax\.vmap\(sx\.expectation"
    ):
        estimate(W, X, key=KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        _errors._warned.clear()
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("default")
            estimate(W, X, key=KEY)
            estimate(W, X, key=KEY)
    assert len(seen) == 1


@pytest.mark.parametrize(
    "f", [lanes_meet, squared_sum, product_of_sums, contracted_over_lanes, pathwise], ids=lambda f: f.__name__
)
def test_anything_else_does_not(f):
    sx.expectation(f, samples=2)(W, X, key=KEY)  # warnings are errors here


def test_vmap_outside_does_not():
    sx.expectation(loss, samples=2)(W, X[0], key=KEY)
    jax.vmap(lambda x, k: sx.expectation(loss, samples=2)(W, x, key=k))(X, jax.random.split(KEY, 10))


@pytest.mark.slow
def test_the_warning_is_true():
    """Both forms have one mean; the variance of the batched one is larger."""

    def squares(theta, key_shape, *, key):
        z = sx.sample(key, dist.Bernoulli(logits=jnp.broadcast_to(theta, (*key_shape, 3))).to_event(1))
        return jnp.mean(jnp.sum(z, -1) ** 2)

    def batched(theta, key):
        return sx.expectation(squares, samples=4)(theta, (40,), key=key)

    def mapped(theta, key):
        keys = jax.random.split(key, 40)
        return jnp.mean(jax.vmap(lambda k: sx.expectation(squares, samples=4)(theta, (), key=k))(keys))

    keys = jax.random.split(KEY, 2000)
    with pytest.warns(sx.SpanaxWarning):
        a = jax.jit(jax.vmap(jax.grad(batched), (None, 0)))(0.3, keys)
    b = jax.jit(jax.vmap(jax.grad(mapped), (None, 0)))(0.3, keys)
    assert a.var() > 5 * b.var()
    # 4 standard errors: false-alarm rate 6e-5
    assert abs(a.mean() - b.mean()) < 4 * np.sqrt((a.var() + b.var()) / 2000)
