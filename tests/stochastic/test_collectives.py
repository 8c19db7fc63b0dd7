"""Collectives inside f over an axis that is bound outside of the expectation."""

import inspect

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx

LANES = 4


def traced(f, **options):
    """Traces the gradient of the expectation in one lane of four: what is refused is refused here."""
    key = jax.random.key(0)
    gradient = jax.grad(lambda t: sx.expectation(f, **options)(t, key=key))
    return jax.make_jaxpr(gradient, axis_env=[("i", LANES)])(0.3)


def coin(key, logits, via=None, **options):
    return sx.sample(key, dist.Bernoulli(logits=logits), via=via or sx.ScoreFunction(), **options)


def row(x):
    return x * jnp.arange(LANES * 1.0)


def ragged(x):
    ones, at = jnp.ones(LANES, int), jnp.arange(LANES)
    return lax.ragged_all_to_all(row(x), row(0.0), at, ones, at, ones, axis_name="i")


NEXT = [(lane, (lane + 1) % LANES) for lane in range(LANES)]
COLLECTIVES = {
    "psum": lambda x: lax.psum(x, "i"),
    "pmean": lambda x: lax.pmean(x, "i"),
    "pmax": lambda x: lax.pmax(lax.stop_gradient(x), "i"),
    "pmin": lambda x: lax.pmin(lax.stop_gradient(x), "i"),
    "all_gather": lambda x: lax.all_gather(x, "i"),
    "all_to_all": lambda x: lax.all_to_all(row(x), "i", 0, 0),
    "pbroadcast": lambda x: lax.pbroadcast(x, "i", 0),
    "ppermute": lambda x: lax.ppermute(x, "i", NEXT),
    "pshuffle": lambda x: lax.pshuffle(x, "i", [1, 2, 3, 0]),
    "psum_scatter": lambda x: lax.psum_scatter(row(x), "i"),
    "pswapaxes": lambda x: lax.pswapaxes(row(x), "i", 0),
    "ragged_all_to_all": ragged,
}
# Nothing of another lane comes in.
HARMLESS = {"axis_index", "axis_size", "pcast"}
# Between two meshes, and for GPUs alone: no result that could be a cost. Newer versions of JAX have no such functions.
ELSEWHERE = {"psend", "precv"}


def test_every_collective_of_jax_is_decided():
    functions = {name: f for name, f in vars(lax).items() if inspect.isfunction(f)}
    over_an_axis = {name for name, f in functions.items() if "axis_name" in inspect.signature(f).parameters}
    assert over_an_axis - ELSEWHERE == COLLECTIVES.keys() | HARMLESS


@pytest.mark.parametrize("name", COLLECTIVES)
def test_a_collective_that_a_scored_draw_reaches_is_refused(name):
    def f(t, *, key):
        return jnp.sum(COLLECTIVES[name](coin(key, t, name="z")) * t)

    with pytest.raises(
        sx.SpanaxError, match=r"over the axis 'i'.* of what 'z' \(at .*test_collectives.*\) reaches"
    ) as error:
        traced(f)
    function = COLLECTIVES[name].__code__
    lines = range(function.co_firstlineno, function.co_firstlineno + 4)
    assert any(f"test_collectives.py:{line}:" in error.value.where for line in lines)
    assert "jax.lax.pmean of the values" in error.value.remedies[0]


def with_a_rule(g):
    ruled = jax.custom_jvp(g)
    ruled.defjvp(lambda primals, tangents: (ruled(*primals), tangents[0]))
    return ruled


def total(x):
    return lax.psum(x, "i")


def solved(t, z):
    return lax.custom_linear_solve(total, z * jnp.ones(1), lambda _, b: b, lambda _, b: b)[0]


def in_a_scan(t, z):
    """It reaches the sum from an earlier pass."""
    return lax.scan(lambda c, _: (total(c) + z, None), 0.0 * t, None, length=2)[0]


REACHED = {
    "scan": in_a_scan,
    "cond": lambda t, z: lax.cond(t > 0, total, lambda x: x, z),
    "decided by a draw": lambda t, z: lax.cond(z > 0, total, lambda x: x, t),
    "while": lambda t, z: lax.fori_loop(0, 2, lambda _, c: total(c), lax.stop_gradient(z)) + 0.0 * t,
    "jit": lambda t, z: jax.jit(total)(z),
    "checkpoint": lambda t, z: jax.checkpoint(total)(z),
    "custom rule": lambda t, z: with_a_rule(total)(z),
    "linear solve": solved,
    "inner vmap": lambda t, z: jnp.sum(jax.vmap(total)(z * jnp.arange(3.0))),
    "a derivative inside": lambda t, z: jax.grad(lambda x: total(x * z) ** 2)(t),
    "cost": lambda t, z: sx.cost(total(z)) or t,
    "two axes": lambda t, z: jax.vmap(lambda x: lax.psum(x, ("i", "j")), axis_name="j")(z * jnp.arange(3.0))[0],
}


@pytest.mark.parametrize("how", REACHED)
@pytest.mark.parametrize("via", [sx.ScoreFunction(), sx.Enumerate(), sx.DisARM()], ids=lambda via: type(via).__name__)
def test_it_is_found_wherever_it_is(how, via):
    with pytest.raises(sx.SpanaxError, match=r"over the axis 'i'.* of what 'z' "):
        traced(lambda t, *, key: REACHED[how](t, coin(key, t, via, name="z")))


def as_logits(t, *, key):
    a, b = jax.random.split(key)
    return coin(b, total(coin(a, t, name="z")), sx.StraightThrough())


def normal(t, *, key):
    return total(sx.sample(key, dist.Normal(t, 1.0), name="z"))


REFUSED = {
    "logits of a later draw": (as_logits, {}),
    "a bridge put there": (normal, {"via": {"z": sx.ScoreFunction()}}),
    "replicates": (as_logits, {"samples": 3}),
}


@pytest.mark.parametrize("how", REFUSED)
def test_so_is_what_it_reaches_through_another_draw(how):
    f, options = REFUSED[how]
    with pytest.raises(sx.SpanaxError, match=r"over the axis 'i'.* of what 'z' "):
        traced(f, **options)


def of_parameters(t, *, key):
    return coin(key, total(t)) * total(t)


def in_aux(t, *, key):
    z = coin(key, t)
    return z * t, total(z)


def of_a_relaxed_draw(t, *, key):
    return total(coin(key, t, name="z"))


def where_no_draw_is(t, *, key):
    z = coin(key, t)
    return z + lax.scan(lambda c, _: (total(c), None), t, None, length=2)[0] + lax.cond(t > 0, total, lambda x: x, t)


def over_an_axis_of_its_own(t, *, key):
    lanes = jax.vmap(lambda k: lax.pmean(coin(k, t), "j") ** 2, axis_name="j")
    return jnp.sum(lanes(jax.random.split(key, 3)))


def index():
    return lax.axis_index("i").astype(float)


ALLOWED = {
    "axis_index": (lambda t, *, key: coin(key, t) * index(), {}),
    "a decided axis_index": (lambda t, *, key: lax.cond(coin(key, t) > 0, lambda: index() * t, lambda: t), {}),
    "of parameters": (of_parameters, {}),
    "aux": (in_aux, {"has_aux": True}),
    "a bridge put there": (of_a_relaxed_draw, {"via": {"z": sx.GumbelSoftmax()}}),
    "pathwise": (normal, {}),
    "where no draw is": (where_no_draw_is, {"samples": 2}),
    "an axis of its own": (over_an_axis_of_its_own, {"samples": 2}),
}


@pytest.mark.parametrize("how", ALLOWED)
def test_what_is_right_is_left_alone(how):
    f, options = ALLOWED[how]
    key = jax.random.key(0)
    gradient = jax.grad(lambda t: sx.expectation(f, **options)(t, key=key), has_aux="has_aux" in options)
    jax.make_jaxpr(gradient, axis_env=[("i", LANES)])(0.3)
