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


def loop(step, xs, init=0.0):
    return lax.scan(lambda c, x: (step(c, x), None), init, xs)[0]


def a_row_and_a_scan(theta, *, key):
    keys = jax.random.split(key, 3)
    return flip(keys[0], theta) + loop(lambda c, k: c * flip(k, theta), keys, 1.0)


def a_row_and_a_vmap(theta, *, key):
    keys = jax.random.split(key, 3)
    return flip(keys[2], theta) * jnp.prod(jax.vmap(lambda k: flip(k, theta))(keys))


def child_of_a_row_and_of_the_rows(theta, *, key):
    keys = jax.random.split(key, 3)
    child = lambda k: flip(jax.random.split(k)[1], theta)
    return child(keys[1]) * loop(lambda c, k: c * child(k), keys, 1.0)


def children_in_a_vmap_and_of_a_row(theta, *, key):
    keys = jax.random.split(key, 3)
    child = lambda k: flip(jax.random.fold_in(k, 1), theta)
    return child(keys[1]) * jnp.prod(jax.vmap(child)(keys))


def drawn_from_then_carried(theta, *, key):
    def step(carry, _):
        total, key = carry
        return (total + flip(key, theta), jax.random.split(key)[0]), None

    return flip(key, theta) * lax.scan(step, (0.0, key), None, length=3)[0][0]


def children_of_what_is_carried(theta, *, key):
    def step(carry, _):
        total, key = carry
        key, mine = jax.random.split(key)
        return (total + flip(mine, theta), key), None

    return flip(jax.random.split(key)[1], theta) * lax.scan(step, (0.0, key), None, length=3)[0][0]


def last_of_a_loop_again(theta, *, key):
    def step(carry, _):
        key = jax.random.fold_in(carry[1], 1)
        return (carry[0] + flip(key, theta), key), None

    total, key = lax.scan(step, (0.0, key), None, length=3)[0]
    return total * flip(key, theta)


def rows_that_a_loop_returns(theta, *, key):
    def step(total, k):
        return total + flip(k, theta), k

    total, keys = lax.scan(step, 0.0, jax.random.split(key, 3))
    return total * flip(keys[0], theta)


def broadcast_key(theta, *, key):
    keys = jnp.broadcast_to(key, (3, *key.shape))
    return loop(lambda c, k: c + flip(k, theta), keys)


def broadcast_key_in_a_vmap(theta, *, key):
    return jnp.prod(jax.vmap(lambda k: flip(k, theta))(jnp.broadcast_to(key, (3, *key.shape))))


def repeated_key(theta, *, key):
    return loop(lambda c, k: c + flip(k, theta), jnp.repeat(key[None], 3, axis=0))


def tiled_keys(theta, *, key):
    keys = jax.random.split(key)
    return loop(lambda c, k: c + flip(k, theta), jnp.concatenate([keys, keys]))


def stacked_key(theta, *, key):
    return loop(lambda c, k: c + flip(k, theta), jnp.stack([key, key]))


def child_of_a_broadcast_key(theta, *, key):
    keys = jax.vmap(lambda k: jax.random.split(k)[0])(jnp.broadcast_to(key, (3, *key.shape)))
    return loop(lambda c, k: c + flip(k, theta), keys)


def traced_row_and_static_row(theta, *, key):
    keys = jax.random.split(key, 3)
    return flip(keys[jnp.astype(theta > 0, int)], theta) * flip(keys[1], theta)


def counted_rows_and_static_row(theta, *, key):
    keys = jax.random.split(key, 3)
    return lax.fori_loop(0, 3, lambda i, c: c + flip(keys[i], theta), 0.0) * flip(keys[1], theta)


def folded_count_and_number(theta, *, key):
    total = lax.fori_loop(0, 3, lambda i, c: c + flip(jax.random.fold_in(key, i), theta), 0.0)
    return total * flip(jax.random.fold_in(key, 2), theta)


def folded_range_and_number(theta, *, key):
    total = loop(lambda c, i: c + flip(jax.random.fold_in(key, i), theta), jnp.arange(3))
    return total * flip(jax.random.fold_in(key, 2), theta)


def noise_in_a_branch(theta, *, key):
    return flip(key, theta) * lax.cond(theta > 0, lambda: jax.random.normal(key), lambda: 1.0)


def noise_in_a_loop(theta, *, key):
    a, b = jax.random.split(key)
    return flip(a, theta) * loop(lambda c, k: c + jax.random.normal(k), jnp.stack([a, b]))


def parent_of_a_draw_that_splits(theta, *, key):
    return sx.sample(key, dist.StudentT(3.0, theta)) * jax.random.normal(jax.random.split(key)[0])


def numpyro_draw(theta, *, key):
    return flip(key, theta) * dist.Normal(0.0, 1.0).sample(key)


def chosen_key(theta, *, key):
    a, b = jax.random.split(key)
    chosen = lax.cond(theta > 0, lambda: a, lambda: b)
    return flip(chosen, theta) * flip(b, theta)


def checkpoint_under_a_derivative(theta, *, key):
    g = jax.checkpoint(lambda x: jnp.sin(x * flip(key, 1.0)) * x)
    return jax.grad(g)(theta) ** 2


def row_and_fold(theta, *, key):
    return flip(jax.random.split(key)[1], theta) * flip(jax.random.fold_in(key, 1), theta)


def row_and_folded_counter(theta, *, key):
    total = lax.fori_loop(0, 3, lambda i, c: c + flip(jax.random.fold_in(key, i), theta), 0.0)
    return total * flip(jax.random.split(key)[1], theta)


def drawn_again_in_the_next_pass(theta, *, key):
    def step(carry, _):
        total, key = carry
        first = flip(key, theta)
        key = jax.random.split(key)[0]
        return (total + first * flip(key, theta), key), None

    return lax.scan(step, (0.0, key), None, length=3)[0][0]


def sliding_keys(theta, *, key):
    def step(carry, _):
        total, a, b = carry
        return (total + flip(a, theta) * flip(b, theta), b, jax.random.split(b)[0]), None

    return lax.scan(step, (0.0, *jax.random.split(key)), None, length=3)[0][0]


def swapped_keys(theta, *, key):
    step = lambda c, _: ((c[0] + flip(c[1], theta), c[2], c[1]), None)
    return lax.scan(step, (0.0, *jax.random.split(key)), None, length=4)[0][0]


def second_pass_by_hand(theta, *, key):
    def step(carry, _):
        total, key = carry
        key, mine = jax.random.split(key)
        return (total + flip(mine, theta), key), None

    total = lax.scan(step, (0.0, key), None, length=3)[0][0]
    return total * flip(jax.random.split(jax.random.split(key)[0])[1], theta)


def index_beyond_the_end(theta, *, key):
    keys = jax.random.split(key, 2)
    return lax.fori_loop(0, 4, lambda i, c: c + flip(keys[i], theta), 0.0)


def advanced_sometimes(theta, *, key):
    def step(carry, i):
        total, key = carry
        key = lax.cond(i > 1, lambda: jax.random.split(key)[0], lambda: key)
        return (total + flip(key, theta), key), None

    return lax.scan(step, (0.0, key), jnp.arange(4))[0][0]


def one_of_two_keys(theta, *, key):
    a, b = jax.random.split(key)
    return loop(lambda c, i: c + flip(jnp.where(i == 0, a, b), theta), jnp.arange(3))


def even_or_odd(theta, *, key):
    return lax.fori_loop(0, 4, lambda i, c: c + flip(jax.random.fold_in(key, i % 2), theta), 0.0)


def equal_numbers(theta, *, key):
    return jnp.prod(jax.vmap(lambda i: flip(jax.random.fold_in(key, i), theta))(jnp.array([1, 1, 2])))


def equal_indices(theta, *, key):
    return loop(lambda c, k: c + flip(k, theta), jax.random.split(key, 3)[jnp.array([0, 0, 1])])


def branches_in_a_loop(theta, *, key):
    keys = jax.random.split(key, 4)
    choose = lambda i: lax.cond(i % 2 == 0, lambda: flip(keys[i + 1], theta), lambda: flip(keys[i], theta))
    return lax.fori_loop(0, 3, lambda i, c: c + choose(i), 0.0)


def split_array(theta, *, key):
    keys = jax.random.split(key, 4)
    first, _ = jnp.split(keys, 2)
    return flip(first[0], theta) * flip(keys[0], theta)


def copied_key(theta, *, key):
    return flip(key, theta) * flip(lax.optimization_barrier(key), theta)


def replaced_row(theta, *, key):
    a, b = jax.random.split(key)
    keys = jax.random.split(a, 3)
    again = keys.at[0].set(b)
    return flip(keys[1], theta) * flip(again[1], theta)


def returned_by_each_pass(theta, *, key):
    keys = lax.scan(lambda c, _: (c, key), 0.0, None, length=3)[1]
    return jnp.prod(jax.vmap(lambda k: flip(k, theta))(keys))


def backwards_and_a_row(theta, *, key):
    keys = jax.random.split(key, 3)
    return loop(lambda c, i: c + flip(keys[i], theta), jnp.arange(3)[::-1]) * flip(keys[1], theta)


def down_and_a_number(theta, *, key):
    total = loop(lambda c, i: c + flip(jax.random.fold_in(key, 3 - i), theta), jnp.arange(3))
    return total * flip(jax.random.fold_in(key, 2), theta)


def rows_of_two_grids(theta, *, key):
    return flip(jax.random.split(key, (3, 2))[1, 0], theta) * flip(jax.random.split(key, 6)[2], theta)


def joins_of_other_lengths(theta, *, key):
    a, b = jax.random.split(key)
    split = jax.random.split
    x, y = jnp.concatenate([split(a, 2), split(b, 2)]), jnp.concatenate([split(a, 3), split(b, 1)])
    return flip(x[2], theta) * flip(y[3], theta)


def equal_constants(theta, *, key):
    own = jax.random.key(99) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.PRNGKey(99)
    inner = jax.jit(lambda t: t * flip(own, theta))
    return inner(flip(key, theta)) * flip(own, theta)


SHARED = [
    row_and_fold,
    row_and_folded_counter,
    drawn_again_in_the_next_pass,
    sliding_keys,
    swapped_keys,
    second_pass_by_hand,
    index_beyond_the_end,
    advanced_sometimes,
    one_of_two_keys,
    even_or_odd,
    equal_numbers,
    equal_indices,
    branches_in_a_loop,
    split_array,
    copied_key,
    replaced_row,
    returned_by_each_pass,
    backwards_and_a_row,
    down_and_a_number,
    rows_of_two_grids,
    joins_of_other_lengths,
    equal_constants,
    a_row_and_a_scan,
    a_row_and_a_vmap,
    child_of_a_row_and_of_the_rows,
    children_in_a_vmap_and_of_a_row,
    drawn_from_then_carried,
    children_of_what_is_carried,
    last_of_a_loop_again,
    rows_that_a_loop_returns,
    broadcast_key,
    broadcast_key_in_a_vmap,
    repeated_key,
    tiled_keys,
    stacked_key,
    child_of_a_broadcast_key,
    traced_row_and_static_row,
    counted_rows_and_static_row,
    folded_count_and_number,
    folded_range_and_number,
    noise_in_a_branch,
    noise_in_a_loop,
    parent_of_a_draw_that_splits,
    numpyro_draw,
    chosen_key,
    checkpoint_under_a_derivative,
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


@pytest.mark.few(10)
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


def a_row_and_a_scan_over_the_others(theta, *, key):
    keys = jax.random.split(key, 4)
    return flip(keys[0], theta) * loop(lambda c, k: c + flip(k, theta), keys[1:])


def even_and_odd_rows(theta, *, key):
    keys = jax.random.split(key, 4)
    return loop(lambda c, k: c + flip(k, theta), keys[::2]) * loop(lambda c, k: c + flip(k, theta), keys[1::2])


def counted_even_and_odd_rows(theta, *, key):
    keys = jax.random.split(key, 6)
    step = lambda i, c: c + flip(keys[2 * i], theta) * flip(keys[2 * i + 1], theta)
    return lax.fori_loop(0, 3, step, 0.0)


def counted_rows_and_the_next(theta, *, key):
    keys = jax.random.split(key, 4)
    return lax.fori_loop(0, 3, lambda i, c: c + flip(keys[i], theta), 0.0) * flip(keys[3], theta)


def folded_count_and_a_number_beyond(theta, *, key):
    total = lax.fori_loop(0, 3, lambda i, c: c + flip(jax.random.fold_in(key, i), theta), 0.0)
    return total * flip(jax.random.fold_in(key, 3), theta)


def stacked_keys(theta, *, key):
    a, b, c = jax.random.split(key, 3)
    keys = jnp.stack([a, b])
    return flip(keys[0], theta) * flip(keys[1], theta) * flip(c, theta)


def scan_over_stacked_keys(theta, *, key):
    return loop(lambda c, k: c + flip(k, theta), jnp.stack(list(jax.random.split(key, 3))))


def columns_of_a_grid(theta, *, key):
    grid = jax.random.split(key, (3, 2))
    return loop(lambda c, row: c + flip(row[0], theta) * flip(row[1], theta), grid)


def grid_in_nested_maps(theta, *, key):
    grid = jax.random.split(key, 6).reshape(3, 2, *key.shape)
    return jnp.prod(jax.vmap(jax.vmap(lambda k: flip(k, theta)))(grid))


def carried_and_left(theta, *, key):
    def step(carry, _):
        total, key = carry
        key, mine = jax.random.split(key)
        return (total + flip(mine, theta), key), None

    key, mine = jax.random.split(key)
    first = flip(mine, theta)
    total, key = lax.scan(step, (first, key), None, length=3)[0]
    return total * flip(key, theta)


def one_pass(theta, *, key):
    return lax.scan(lambda c, _: (c + flip(key, theta), None), 0.0, None, length=1)[0]


def mapped_folds(theta, *, key):
    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(3))
    return loop(lambda c, k: c + flip(k, theta), keys) * flip(jax.random.fold_in(key, 3), theta)


def noise_beside(theta, *, key):
    a, b = jax.random.split(key)
    noise = lax.cond(theta > 0, lambda: jax.random.poisson(b, 2.0), lambda: jnp.int32(0))
    return flip(a, theta) * noise.astype(theta.dtype if hasattr(theta, "dtype") else float)


def shuffled(theta, *, key):
    a, b = jax.random.split(key)
    keys = jax.random.split(b, 3)[jax.random.permutation(a, 3)]
    return loop(lambda c, k: c + flip(k, theta), keys)


def returned_keys(theta, *, key):
    _, keys = lax.scan(lambda k, _: tuple(jax.random.split(k)), key, None, length=3)
    return flip(keys[0], theta) * flip(keys[1], theta)


def rows_of_a_reshaped_grid(theta, *, key):
    grid = jax.random.split(key, 6).reshape(3, 2, *key.shape)
    return flip(grid[0, 0], theta) * flip(grid[0, 1], theta) * loop(lambda c, r: c + flip(r[0], theta), grid[1:])


def rows_of_shuffled_keys(theta, *, key):
    a, b = jax.random.split(key)
    keys = jax.random.split(b, 3)[jax.random.permutation(a, 3)]
    return flip(keys[0], theta) * flip(keys[1], theta)


def carried_array_of_keys(theta, *, key):
    def step(carry, _):
        total, keys = carry
        total = total + flip(keys[0], theta) * flip(keys[1], theta)
        return (total, jax.random.split(jax.random.fold_in(keys[0], 7))), None

    return lax.scan(step, (0.0, jax.random.split(key)), None, length=3)[0][0]


def reversed_stack(theta, *, key):
    keys = jnp.stack(list(jax.random.split(key, 3)))[::-1]
    return flip(keys[0], theta) * flip(keys[2], theta)


def number_of_a_pass_and_of_a_loop_in_it(theta, *, key):
    inner = lambda i, c: lax.fori_loop(0, 2, lambda j, c: c + flip(jax.random.fold_in(key, 2 * i + j), theta), c)
    return lax.fori_loop(0, 3, inner, 0.0)


def same_key_in_either_branch_of_a_pass(theta, *, key):
    step = lambda c, k: c + lax.cond(c > 1, lambda: flip(k, theta), lambda: 2 * flip(k, theta))
    return loop(step, jax.random.split(key, 3))


def advance(carry, theta):
    total, key = carry
    key, mine = jax.random.split(key)
    return total + flip(mine, theta), key


def two_loops_and_draws_between(theta, *, key):
    """The key goes through everything, one after the other."""
    carry = (0.0, key)
    for _ in range(3):
        carry = lax.scan(lambda c, _: (advance(c, theta), None), carry, None, length=3)[0]
        carry = advance(advance(carry, theta), theta)
        carry = lax.fori_loop(0, 2, lambda i, c: advance(c, theta), carry)
    return carry[0]


def nested_loops_with_one_key(theta, *, key):
    inner = lambda carry, _: (advance(carry, theta), None)
    outer = lambda carry, _: (advance(lax.scan(inner, carry, None, length=2)[0], theta), None)
    return advance(lax.scan(outer, (0.0, key), None, length=3)[0], theta)[0]


DISTINCT = [
    two_loops_and_draws_between,
    nested_loops_with_one_key,
    returned_keys,
    rows_of_a_reshaped_grid,
    rows_of_shuffled_keys,
    carried_array_of_keys,
    reversed_stack,
    number_of_a_pass_and_of_a_loop_in_it,
    same_key_in_either_branch_of_a_pass,
    a_row_and_a_scan_over_the_others,
    even_and_odd_rows,
    counted_even_and_odd_rows,
    counted_rows_and_the_next,
    folded_count_and_a_number_beyond,
    stacked_keys,
    scan_over_stacked_keys,
    columns_of_a_grid,
    grid_in_nested_maps,
    carried_and_left,
    one_pass,
    mapped_folds,
    noise_beside,
    shuffled,
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


@pytest.mark.few(6)
@pytest.mark.parametrize("raw", [False, True], ids=["typed", "raw"])
@pytest.mark.parametrize("f", DISTINCT, ids=lambda f: f.__name__)
def test_distinct_keys_do_not(f, raw):
    key = jax.random.PRNGKey(0) if raw else jax.random.key(0)
    assert jnp.isfinite(sx.expectation(f, samples=2)(0.3, key=key))
