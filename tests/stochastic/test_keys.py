"""A key that serves two draws, two passes or two lanes raises; one that does not, does not."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
import pytest
from jax import lax

import spanax as sx


def flip(key, theta):
    return sx.sample(key, dist.Bernoulli(logits=theta))


def twice(theta, *, key):
    return flip(key, theta) * flip(key, theta)


def twice_through_jit(theta, *, key):
    inner = jax.jit(flip)
    return inner(key, theta) * inner(key, theta + 1)


def inside_and_outside_of_a_jit(theta, *, key):
    return jax.jit(lambda k: flip(jax.random.split(k)[1], theta))(key) * flip(jax.random.split(key)[1], theta)


def same_split_twice(theta, *, key):
    return flip(jax.random.split(key)[0], theta) * flip(jax.random.split(key, 2)[0], theta)


def same_fold_twice(theta, *, key):
    return flip(jax.random.fold_in(key, 3), theta) * flip(jax.random.fold_in(key, 3), theta)


def noise_and_draw(theta, *, key):
    return flip(key, theta) * jax.random.normal(key)


def pathwise_and_score(theta, *, key):
    return sx.sample(key, dist.Normal(theta, 1.0)) * flip(key, theta)


def before_and_in_a_scan(theta, *, key):
    keys = jax.random.split(key)
    first = flip(keys[0], theta)
    return first + lax.scan(lambda c, k: (c + flip(k, theta) + flip(keys[0], theta), None), 0.0, keys)[0]


def in_a_branch_and_after(theta, *, key):
    z = lax.cond(theta > 0, lambda: flip(key, theta), lambda: 0.0)
    return z + flip(key, theta)


def two_scans_over_the_same_keys(theta, *, key):
    keys = jax.random.split(key, 3)
    first = lax.scan(lambda c, k: (c + flip(k, theta), None), 0.0, keys)[0]
    return first * lax.scan(lambda c, k: (c + 2 * flip(k, theta), None), 0.0, keys)[0]


def two_loops_that_fold_the_same_index(theta, *, key):
    loop = lambda: lax.fori_loop(0, 3, lambda i, c: c + flip(jax.random.fold_in(key, i), theta), 0.0)
    return loop() * loop()


def a_scan_and_a_vmap_over_the_same_keys(theta, *, key):
    keys = jax.random.split(key, 3)
    first = lax.scan(lambda c, k: (c + flip(k, theta), None), 0.0, keys)[0]
    return first * jnp.prod(jax.vmap(lambda k: flip(k, theta))(keys))


def handed_on_by_a_jit(theta, *, key):
    step = jax.jit(lambda c: (c[0] + flip(c[1], theta), c[1]))
    return lax.scan(lambda c, _: (step(c), None), (0.0, key), None, length=3)[0][0]


def first_row_of_two_splits(theta, *, key):
    return flip(jax.random.split(key, 2)[0], theta) * flip(jax.random.split(key, 3)[0], theta)


def twice_in_one_branch(theta, *, key):
    return lax.cond(theta > 0, lambda: flip(key, theta) + 2 * flip(key, theta), lambda: 0.0)


def carried_through_a_while(theta, *, key):
    step = lambda c: (c[0] + 1, c[1] + flip(c[2], theta), c[2])
    return lax.while_loop(lambda c: c[0] < 3, step, (0, 0.0, key))[1]


def same_key_in_each_pass(theta, *, key):
    return lax.scan(lambda c, _: (c + flip(key, theta), None), 0.0, None, length=3)[0]


def carried_but_never_split(theta, *, key):
    step = lambda carry, _: ((carry[0] + flip(carry[1], theta), carry[1]), None)
    return lax.scan(step, (0.0, key), None, length=3)[0][0]


def varies_with_the_inner_loop_only(theta, *, key):
    inner = lambda c, _: (lax.fori_loop(0, 2, lambda i, c: c + flip(jax.random.fold_in(key, i), theta), c), None)
    return lax.scan(inner, 0.0, None, length=2)[0]


def same_key_in_a_while(theta, *, key):
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, c[1] + flip(key, theta)), (0, 0.0))[1]


def one_key_for_all_lanes(theta, *, key):
    return jnp.prod(jax.vmap(lambda t: flip(key, t))(theta * jnp.arange(3.0)))


SHARED = [
    twice,
    twice_through_jit,
    inside_and_outside_of_a_jit,
    same_split_twice,
    same_fold_twice,
    noise_and_draw,
    pathwise_and_score,
    before_and_in_a_scan,
    in_a_branch_and_after,
    two_scans_over_the_same_keys,
    two_loops_that_fold_the_same_index,
    a_scan_and_a_vmap_over_the_same_keys,
    handed_on_by_a_jit,
    first_row_of_two_splits,
    twice_in_one_branch,
    carried_through_a_while,
    same_key_in_each_pass,
    carried_but_never_split,
    varies_with_the_inner_loop_only,
    same_key_in_a_while,
    one_key_for_all_lanes,
]


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("f", SHARED, ids=lambda f: f.__name__)
def test_shared_keys_raise(f, raw):
    key = jax.random.PRNGKey(0) if raw else jax.random.key(0)
    with pytest.raises(sx.SpanaxError, match=r"not independent\n  at .*test_keys\.py:\d+.*\n  \(a\) "):
        sx.expectation(f)(0.3, key=key)


def split_in_each_pass(theta, *, key):
    def step(carry, _):
        total, key = carry
        key, mine = jax.random.split(key)
        return (total + flip(mine, theta), key), None

    return lax.scan(step, (0.0, key), None, length=3)[0][0]


def folded_in_nested_loops(theta, *, key):
    def outer(c, k):
        return lax.fori_loop(0, 2, lambda i, c: c + flip(jax.random.fold_in(k, i), theta), c), None

    return lax.scan(outer, 0.0, jax.random.split(key, 2))[0]


def either_branch(theta, *, key):
    return lax.cond(theta > 0, lambda: flip(key, theta), lambda: 2 * flip(key, theta))


def rows_of_a_split(theta, *, key):
    keys = jax.random.split(key, 3)
    return flip(keys[0], theta) + flip(keys[1], theta) + jax.random.normal(keys[2])


def split_after_a_draw_of_the_parent(theta, *, key):
    a, b = jax.random.split(key)
    return jax.jit(flip)(a, theta) + jax.jit(flip)(b, theta)


def gamma_beside(theta, *, key):
    a, b = jax.random.split(key)
    return jax.random.gamma(a, 2.0) * flip(b, theta)


def two_scans_over_halves(theta, *, key):
    keys = jax.random.split(key, 6)
    scan = lambda keys: lax.scan(lambda c, k: (c + flip(k, theta), None), 0.0, keys)[0]
    return scan(keys[:3]) * scan(keys[3:])


def two_loops_that_fold_apart(theta, *, key):
    a, b = jax.random.split(key)
    loop = lambda k: lax.fori_loop(0, 3, lambda i, c: c + flip(jax.random.fold_in(k, i), theta), 0.0)
    return loop(a) * loop(b)


def mapped_keys(theta, *, key):
    return jnp.prod(jax.vmap(lambda k: flip(k, theta))(jax.random.split(key, 3)))


def folded_in_a_while(theta, *, key):
    step = lambda c: (c[0] + 1, c[1] + flip(jax.random.fold_in(key, c[0]), theta))
    return lax.while_loop(lambda c: c[0] < 3, step, (0, 0.0))[1]


DISTINCT = [
    split_in_each_pass,
    folded_in_nested_loops,
    either_branch,
    rows_of_a_split,
    split_after_a_draw_of_the_parent,
    gamma_beside,
    mapped_keys,
    two_scans_over_halves,
    two_loops_that_fold_apart,
    folded_in_a_while,
]


@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("f", DISTINCT, ids=lambda f: f.__name__)
def test_distinct_keys_do_not(f, raw):
    key = jax.random.PRNGKey(0) if raw else jax.random.key(0)
    assert jnp.isfinite(sx.expectation(f, samples=2)(0.3, key=key))
