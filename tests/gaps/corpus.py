"""Small functions of one array, by family, each with the verdict that `find_gaps` owes it.

alive: the gradient misses nothing; piecewise: gaps only steer branches or indices; partial: a gap cuts a value, but not
all of the gradient; dead: the gradient is zero everywhere, or taking it raises; independent: nothing to differentiate.
"""

import dataclasses
from collections.abc import Callable, Iterable

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy as jsp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from jax import lax

KEY = jax.random.key(7)
LABELS = jnp.array([1.0, -1.0, 1.0, 1.0, -1.0])
TABLE = jnp.array([0.3, -1.2, 2.0, 0.7, -0.4])
FLIP = jnp.array([4, 2, 0, 1, 3])
MIX = jnp.sin(jnp.arange(25.0).reshape(5, 5))


def vector(key):
    return jax.random.normal(key, (5,))


def scalar(key):
    return jax.random.normal(key, ())


def positive(key):
    return 0.2 + jnp.exp(0.5 * jax.random.normal(key, (5,)))


def fractions(key):
    return jax.random.uniform(key, (5,), minval=0.1, maxval=0.9)


def matrix(key):
    return jax.random.normal(key, (4, 4))


def points(key):
    return jax.random.uniform(key, (5, 1), minval=0.1, maxval=3.9)


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """A function, its verdict, and what the user would call the operations that must be among its gaps.

    `exact`: is the change of its value along a line the integral of its gradient? Asked of `alive` ones only; not so where
    the user wants another gradient (stop_gradient, straight-through), nor for a sawtooth or a rejection sampler.
    """

    name: str
    verdict: str
    function: Callable
    operations: Iterable[str] = ()
    argument: Callable = vector
    exact: bool = True
    x64: bool = False
    family: str = ""


def spd(a):
    """A symmetric positive definite matrix."""
    return a @ a.T + 4.0 * jnp.eye(len(a), dtype=a.dtype)


def number(x):
    """A boolean or integer as a float."""
    return x.astype(jnp.float32)


ACTIVATIONS = [
    Case("relu", "alive", lambda x: jax.nn.relu(x)),
    Case("leaky_relu", "alive", lambda x: jax.nn.leaky_relu(x)),
    Case("gelu", "alive", lambda x: jax.nn.gelu(x)),
    Case("softplus", "alive", lambda x: jax.nn.softplus(x)),
    Case("sparse_plus", "alive", lambda x: jax.nn.sparse_plus(x)),
    Case("softmax", "alive", lambda x: jax.nn.softmax(x)),
    Case("logsumexp", "alive", lambda x: jax.nn.logsumexp(x)),
    Case("relu_by_maximum", "alive", lambda x: jnp.maximum(x, 0.0)),
    Case("relu_by_where", "piecewise", lambda x: jnp.where(x > 0, x, 0.0), {"comparison"}),
    Case("relu_by_product", "partial", lambda x: x * (x > 0).astype(x.dtype), {"comparison"}),
    Case("step_activation", "dead", lambda x: number(MIX @ x > 0), {"comparison"}),
    Case("sign_network", "dead", lambda x: jnp.tanh(MIX @ jnp.sign(MIX @ x)), {"sign"}),
    Case("mlp", "alive", lambda x: eqx.nn.MLP(5, 2, 3, 1, key=KEY)(x)),
    Case("dropout", "alive", lambda x: eqx.nn.Dropout(0.4)(x, key=jax.random.key(0))),
    Case("max_pool", "alive", lambda x: eqx.nn.MaxPool1d(2)(x[None])),
    Case(
        "attention",
        "alive",
        lambda x: jax.nn.dot_product_attention(*[x.reshape(1, 5, 1, 1)] * 3, is_causal=True),
    ),
]


def pinball_by_where(x):
    error = x - TABLE
    return jnp.mean(jnp.where(error > 0, 0.9 * error, -0.1 * error))


def hardest_negative(x):
    hardest = jnp.argmax(x)
    return jax.nn.relu(0.2 + 5.0 + x[hardest])


def top_two_accuracy(x):
    _, best = lax.top_k(x, 2)
    return jnp.mean(number(best == 3))


def soft_dice_at_threshold(x):
    hard = number(jax.nn.sigmoid(x) > 0.5)
    return 2 * jnp.sum(hard * number(LABELS > 0)) / (1.0 + jnp.sum(hard))


def loss_with_hard_metric(x):
    correct = number(jnp.sign(x) == LABELS)
    return jnp.mean((x - LABELS) ** 2) + 0.1 * jnp.mean(correct)


LOSSES = [
    Case("huber", "alive", lambda x: optax.losses.huber_loss(x, TABLE)),
    Case("cross_entropy", "alive", lambda x: optax.losses.softmax_cross_entropy_with_integer_labels(x, jnp.array(2))),
    Case("pinball_by_maximum", "alive", lambda x: jnp.mean(jnp.maximum(0.9 * (x - TABLE), -0.1 * (x - TABLE)))),
    Case("pinball_by_where", "piecewise", pinball_by_where, {"comparison"}),
    Case("hardest_negative", "piecewise", hardest_negative, {"argmax"}),
    Case("zero_one_loss", "dead", lambda x: jnp.mean(number(x * LABELS < 0)), {"comparison"}),
    Case("accuracy", "dead", lambda x: number(jnp.argmax(x) == 2), {"argmax"}),
    Case("top_two_accuracy", "dead", top_two_accuracy, {"top_k"}),
    Case("dice_at_threshold", "dead", soft_dice_at_threshold, {"comparison"}),
    Case("with_hard_metric", "partial", loss_with_hard_metric, {"sign"}),
]


def fake_quantize(x):
    scale = jnp.max(jnp.abs(x)) / 7.0
    return jnp.round(x / scale) * scale


ROUNDING = [
    Case("round", "dead", lambda x: jnp.round(x), {"round"}),
    Case("python_round", "dead", lambda x: round(x), {"round"}),
    Case("lax_round", "dead", lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), {"round"}),
    Case("rint", "dead", lambda x: jnp.rint(x)),
    Case("round_decimals", "dead", lambda x: jnp.round(x, 1), {"round"}),
    Case("floor", "dead", lambda x: jnp.floor(x), {"floor"}),
    Case("ceil", "dead", lambda x: jnp.ceil(x), {"ceil"}),
    Case("trunc", "dead", lambda x: jnp.trunc(x), {"trunc"}),
    Case("sign", "dead", lambda x: jnp.sign(x), {"sign"}),
    Case("floor_division", "dead", lambda x: x // 0.5),
    Case("copied_sign", "dead", lambda x: jnp.copysign(2.0, x)),
    Case("identity_plus_round", "partial", lambda x: x + jnp.round(x), {"round"}),
    Case("fractional_part", "partial", lambda x: x - jnp.floor(x), {"floor"}),
    Case("fake_quantize", "partial", fake_quantize, {"round"}),
    Case("half_rounded", "partial", lambda x: jnp.concatenate([x[:2], jnp.round(x[2:])]), {"round"}),
    Case("sum_of_parts", "partial", lambda x: jnp.sum(x[:2]) + jnp.sum(jnp.ceil(x[2:])), {"ceil"}),
    Case("divmod", "partial", lambda x: divmod(x, 0.5)),
    Case("modulo", "alive", lambda x: x % 1.0, exact=False),
    Case("abs", "alive", lambda x: jnp.abs(x)),
    Case("clip", "alive", lambda x: jnp.clip(x, -0.5, 0.5)),
    Case("clip_to_itself", "alive", lambda x: jnp.clip(TABLE, x - 1.0, x)),
    Case("copied_magnitude", "alive", lambda x: jnp.copysign(x, LABELS)),
]


def sequential_wheres(x):
    a = jnp.where(x > 0, x, 0.1 * x)
    b = jnp.where(a > 1.0, 1.0, a)
    return jnp.where(TABLE > 0, b, -b)


def triangle_wave(x):
    return jnp.piecewise(x, [x < -1, x >= 1], [lambda v: -1.0 - v, lambda v: 1.0 - v, lambda v: v * v])


def three_way_select(x):
    return jnp.select([x < -1, x < 1], [-x, x * x], 2.0 * x)


COMPARISONS = [
    Case("greater", "dead", lambda x: number(x > 0.1), {"comparison"}),
    Case("equal", "dead", lambda x: number(x == TABLE), {"comparison"}),
    Case("boolean_result", "dead", lambda x: x > 0.1, {"comparison"}),
    Case("isclose", "dead", lambda x: number(jnp.isclose(x, 0.1, atol=0.5))),
    Case("signbit", "dead", lambda x: number(jnp.signbit(x))),
    Case("where_of_constants", "dead", lambda x: jnp.where(x > 0, 2.0, -1.0), {"comparison"}),
    Case("indicator_band", "dead", lambda x: number((x > -1) & (x < 1)), {"comparison"}),
    Case("where_jump", "piecewise", lambda x: jnp.where(x > 0, x + 1.0, x), {"comparison"}),
    Case("hard_max_mask", "piecewise", lambda x: jnp.where(x == jnp.max(x), x, 0.0), {"comparison"}),
    Case("where_plus_identity", "piecewise", lambda x: x + jnp.where(x > 0, 1.0, 0.0), {"comparison"}),
    Case("three_way_select", "piecewise", three_way_select, {"comparison"}),
    Case("piecewise_function", "piecewise", triangle_wave, {"comparison"}),
    Case("sequential_wheres", "piecewise", sequential_wheres, {"comparison"}),
    Case("where_isnan", "piecewise", lambda x: jnp.where(jnp.isnan(x), 0.0, x)),
    Case("deadzone", "piecewise", lambda x: jnp.where(jnp.abs(x) < 0.3, 0.0, x), {"comparison"}),
    Case("mask_times_value", "partial", lambda x: x * number(x > x[1]), {"comparison"}),
    Case("where_one_rounded", "partial", lambda x: jnp.where(TABLE > 0, x, jnp.round(x)), {"round"}),
    Case("where_both", "partial", lambda x: jnp.where(x > 0, x, jnp.floor(x)), {"comparison", "floor"}),
    Case("constant_mask", "alive", lambda x: jnp.where(TABLE > 0, x, -x)),
    Case("nan_to_num", "alive", lambda x: jnp.nan_to_num(x)),
    Case("safe_sqrt", "piecewise", lambda x: jnp.sqrt(jnp.where(x > 0, x, 1.0)), {"comparison"}),
]

LOGIC = [
    Case("and", "dead", lambda x: number(jnp.logical_and(x > 0, x < 1)), {"comparison"}),
    Case("or_not", "dead", lambda x: number((x > 1) | ~(x > 0)), {"comparison"}),
    Case("all", "dead", lambda x: number(jnp.all(x > -1)), {"comparison"}),
    Case("and_of_floats", "dead", lambda x: number(jnp.logical_and(jnp.round(x), x[::-1]))),
    Case("votes", "dead", lambda x: number(jnp.sum((x > 0).astype(int)) >= 3), {"comparison"}),
    Case("bits", "dead", lambda x: number(x.astype(int) & 3), {"cast to int32"}),
    Case("where_and", "piecewise", lambda x: jnp.where((x > 0) & (x[::-1] > 0), x, 0.0), {"comparison"}),
    Case("where_votes", "piecewise", lambda x: jnp.where(jnp.sum((x > 0).astype(int)) >= 3, x, -x), {"comparison"}),
    Case("fuzzy_and", "alive", lambda x: jnp.minimum(jax.nn.sigmoid(x), jax.nn.sigmoid(x[::-1]))),
]


def ranks_by_pairs(x):
    return jnp.sum(number(x[:, None] > x[None, :]), 1)


def descending(x):
    return x[jnp.argsort(-x)] * TABLE


def spearman(x):
    rank = number(jnp.argsort(jnp.argsort(x)))
    return jnp.sum(rank * TABLE)


def trimmed_mean(x):
    return jnp.mean(jnp.sort(x)[1:-1])


def top_two_values(x):
    return lax.top_k(x, 2)[0]


def top_two_both(x):
    values, indices = lax.top_k(x, 2)
    return values * number(indices)


def payload_by_key(x):
    return lax.sort((x, TABLE), num_keys=1)[1]


SORTING = [
    Case("sort", "alive", lambda x: jnp.sort(x)),
    Case("median", "alive", lambda x: jnp.median(x)),
    Case("quantile_level", "alive", lambda x: jnp.quantile(TABLE, x), argument=fractions),
    Case("partition", "alive", lambda x: jnp.partition(x, 2)[:3] ** 2),
    Case("trimmed_mean", "alive", trimmed_mean),
    Case("top_k_values", "alive", top_two_values),
    Case("max_and_min", "alive", lambda x: jnp.max(x) - jnp.min(x)),
    Case("argsort", "dead", lambda x: number(jnp.argsort(x)), {"argsort"}),
    Case("argmax", "dead", lambda x: number(jnp.argmax(x)), {"argmax"}),
    Case("argmin", "dead", lambda x: number(jnp.argmin(x)), {"argmin"}),
    Case("ranks_by_argsort", "dead", spearman, {"argsort"}),
    Case("ranks_by_pairs", "dead", ranks_by_pairs, {"comparison"}),
    Case("rankdata", "dead", lambda x: jsp.stats.rankdata(x)),
    Case("top_k_indices", "dead", lambda x: number(lax.top_k(x, 2)[1]), {"top_k"}),
    Case("searchsorted", "dead", lambda x: number(jnp.searchsorted(jnp.sort(TABLE), x)), {"searchsorted"}),
    Case("searchsorted_table", "dead", lambda x: number(jnp.searchsorted(jnp.sort(x), TABLE)), {"searchsorted"}),
    Case("histogram", "dead", lambda x: jnp.histogram(x, bins=4, range=(-2.0, 2.0))[0]),
    Case("constant_payload", "dead", payload_by_key, {"sort"}),
    Case("isin", "dead", lambda x: number(jnp.isin(x, TABLE))),
    Case("sort_by_argsort", "piecewise", descending, {"argsort"}),
    Case("take_along_argsort", "piecewise", lambda x: jnp.take_along_axis(x, jnp.argsort(x), 0), {"argsort"}),
    Case("max_by_argmax", "piecewise", lambda x: x[jnp.argmax(x)], {"argmax"}),
    Case("neighbour_of_max", "piecewise", lambda x: x[(jnp.argmax(x) + 1) % 5] * x[0], {"argmax"}),
    Case("top_k_product", "partial", top_two_both, {"top_k"}),
    Case("value_plus_argmax", "partial", lambda x: x + number(jnp.argmax(x)), {"argmax"}),
]


def masked_first(x):
    return x[jnp.nonzero(x > 0, size=3, fill_value=0)[0]]


def scatter_one_hot(x):
    return jnp.zeros(5).at[jnp.argmax(x)].set(1.0)


def bins_of_values(x):
    return jax.ops.segment_sum(x**2, jnp.clip(x, 0.0, 3.0).astype(int), 4)


def look_up_cell(x):
    return TABLE[jnp.clip(jnp.floor(x).astype(int) + 2, 0, 4)]


INDEXING = [
    Case("permute", "alive", lambda x: x[FLIP]),
    Case("set_slice", "alive", lambda x: x.at[1:3].set(0.5)),
    Case("scatter_add", "alive", lambda x: jnp.zeros(3).at[jnp.array([0, 2, 2, 1, 0])].add(x)),
    Case("bincount_weights", "alive", lambda x: jnp.bincount(jnp.array([0, 1, 0, 2, 1]), weights=x, length=3)),
    Case("histogram_weights", "alive", lambda x: jnp.histogram(TABLE, bins=3, weights=x)[0]),
    Case("table_at_argmax", "dead", lambda x: TABLE[jnp.argmax(x)], {"argmax"}),
    Case("table_at_cell", "dead", look_up_cell, {"floor"}),
    Case("scatter_one_hot", "dead", scatter_one_hot, {"argmax"}),
    Case("positions", "dead", lambda x: number(jnp.nonzero(x > 0, size=3)[0]), {"comparison"}),
    Case("choose", "dead", lambda x: jnp.choose((x > 0).astype(int), [TABLE, LABELS], mode="clip"), {"comparison"}),
    Case("take_argmax", "piecewise", lambda x: jnp.take(x, jnp.argmax(x)), {"argmax"}),
    Case("dynamic_slice", "piecewise", lambda x: lax.dynamic_slice(x, (x[0].astype(int),), (2,)), {"cast to int32"}),
    Case("dynamic_index", "piecewise", lambda x: lax.dynamic_index_in_dim(x, jnp.argmin(x)), {"argmin"}),
    Case(
        "dynamic_update",
        "piecewise",
        lambda x: lax.dynamic_update_slice(x, x[:2] ** 2, (jnp.argmax(x),)),
        {"argmax"},
    ),
    Case("clear_max", "piecewise", lambda x: x.at[jnp.argmax(x)].set(0.0), {"argmax"}),
    Case("masked_first", "piecewise", masked_first, {"comparison"}),
    Case("bins_of_values", "piecewise", bins_of_values, {"cast to int32"}),
    Case("index_from_draw", "alive", lambda x: x[jax.random.categorical(KEY, TABLE)]),
]

ONE_HOT = [
    Case("one_hot_argmax", "dead", lambda x: jax.nn.one_hot(jnp.argmax(x), 5), {"argmax"}),
    Case("one_hot_cast", "dead", lambda x: jax.nn.one_hot(x.astype(int), 3), {"cast to int32"}),
    Case("identity_rows", "dead", lambda x: jnp.eye(5)[jnp.argmax(x)], {"argmax"}),
    Case("hard_attention", "partial", lambda x: jax.nn.one_hot(jnp.argmax(x), 5) @ x, {"argmax"}),
    Case("compare_with_max", "partial", lambda x: number(x == jnp.max(x)) @ x, {"comparison"}),
    Case("soft_choice", "alive", lambda x: jax.nn.softmax(x / 0.1) @ TABLE),
    Case("gumbel_softmax", "alive", lambda x: jax.nn.softmax((x + jax.random.gumbel(KEY, (5,))) / 0.5)),
]

CASTS = [
    Case("to_int_and_back", "dead", lambda x: number((10.0 * x).astype(int)), {"cast to int32"}),
    Case("to_uint8", "dead", lambda x: number(jnp.abs(x).astype(jnp.uint8)), {"cast to uint8"}),
    Case("to_bool", "dead", lambda x: number(jnp.round(x).astype(bool)), {"round"}),
    Case("int8_quantize", "dead", lambda x: number(jnp.clip(32.0 * x, -128, 127).astype(jnp.int8)), {"cast to int8"}),
    Case("bits_and_back", "dead", lambda x: lax.bitcast_convert_type(lax.bitcast_convert_type(x, int), jnp.float32)),
    Case("int_times_value", "partial", lambda x: x * number(x.astype(int)), {"cast to int32"}),
    Case("to_bfloat16", "alive", lambda x: x.astype(jnp.bfloat16), exact=False),
    Case("through_float16", "alive", lambda x: x.astype(jnp.float16).astype(jnp.float32) ** 2),
    Case("reduce_precision", "alive", lambda x: lax.reduce_precision(x, 8, 10)),
    Case("complex_and_back", "alive", lambda x: jnp.abs(lax.complex(x, 2.0 * x + 1.0))),
]


def gumbel_max(x):
    return number(jnp.argmax(x + jax.random.gumbel(KEY, (5,))))


def seed_from_value(x):
    key = jax.random.fold_in(KEY, jnp.round(x[0]).astype(int))
    return x + jax.random.normal(key, (5,))


def coin_chooses_branch(x):
    heads = jax.random.bernoulli(KEY, jax.nn.sigmoid(x))
    return jnp.where(heads, x, -x)


def chain_of_coins(x):
    def flip(count, key):
        heads = jax.random.bernoulli(key, jax.nn.sigmoid(x[0] + 0.1 * count))
        return count + number(heads), None

    return lax.scan(flip, 0.0, jax.random.split(KEY, 4))[0]


DRAWS = [
    Case("normal_location", "alive", lambda x: x + 2.0 * jax.random.normal(KEY, (5,))),
    Case("uniform_bounds", "alive", lambda x: jax.random.uniform(KEY, (5,), minval=x, maxval=x + 2.0)),
    Case("gamma", "alive", lambda x: jax.random.gamma(KEY, x), argument=positive, exact=False),
    Case("choice_of_values", "alive", lambda x: jax.random.choice(KEY, x, (3,))),
    Case("bernoulli", "dead", lambda x: number(jax.random.bernoulli(KEY, jax.nn.sigmoid(x))), {"Bernoulli draw"}),
    Case("categorical", "dead", lambda x: number(jax.random.categorical(KEY, x)), {"Categorical draw"}),
    Case("poisson", "dead", lambda x: number(jax.random.poisson(KEY, x)), {"Poisson draw"}, positive),
    Case("binomial", "dead", lambda x: jax.random.binomial(KEY, 6.0, x), {"Binomial draw"}, fractions),
    Case("geometric", "dead", lambda x: number(jax.random.geometric(KEY, x)), argument=fractions),
    Case("choice_weights", "dead", lambda x: jax.random.choice(KEY, TABLE, p=jax.nn.softmax(x))),
    Case("hand_written_bernoulli", "dead", lambda x: number(jax.random.uniform(KEY, (5,)) < x), {"comparison"}),
    Case("gumbel_max", "dead", gumbel_max, {"argmax"}),
    Case("chain_of_coins", "dead", chain_of_coins, {"Bernoulli draw"}),
    Case("coin_chooses_branch", "piecewise", coin_chooses_branch, {"Bernoulli draw"}),
    Case("category_chooses_index", "piecewise", lambda x: x[jax.random.categorical(KEY, x)], {"Categorical draw"}),
    Case("seed_from_value", "partial", seed_from_value, {"round"}),
    Case(
        "coin_with_its_probability",
        "partial",
        lambda x: jax.nn.sigmoid(x) * number(jax.random.bernoulli(KEY, jax.nn.sigmoid(x))),
        {"Bernoulli draw"},
    ),
    Case("coin_of_constants", "alive", lambda x: x * number(jax.random.bernoulli(KEY, 0.5, (5,)))),
]


def numpyro_model(x):
    with numpyro.handlers.seed(rng_seed=0):
        z = numpyro.sample("z", dist.Bernoulli(logits=x))
        return jnp.sum(number(z) * TABLE)


def score_function_by_hand(x):
    coin = dist.Bernoulli(logits=x)
    z = lax.stop_gradient(number(coin.sample(KEY)))
    return coin.log_prob(z) * TABLE


NUMPYRO = [
    Case("normal", "alive", lambda x: dist.Normal(x, 1.0).sample(KEY)),
    Case("normal_log_density", "alive", lambda x: dist.Normal(x, 1.0).log_prob(TABLE)),
    Case("bernoulli_log_mass", "alive", lambda x: dist.Bernoulli(logits=x).log_prob(1.0)),
    Case("bernoulli_log_mass_of_data", "alive", lambda x: dist.Bernoulli(logits=x).log_prob(number(LABELS > 0))),
    Case("categorical_log_mass", "alive", lambda x: dist.Categorical(logits=x).log_prob(2)),
    Case("bernoulli_logits", "dead", lambda x: number(dist.Bernoulli(logits=x).sample(KEY)), {"Bernoulli draw"}),
    Case("categorical", "dead", lambda x: number(dist.Categorical(logits=x).sample(KEY)), {"Categorical draw"}),
    Case("poisson", "dead", lambda x: number(dist.Poisson(x).sample(KEY)), {"Poisson draw"}, positive),
    Case("geometric", "dead", lambda x: number(dist.Geometric(probs=x).sample(KEY)), argument=fractions),
    Case("seeded_model", "dead", numpyro_model, {"Bernoulli draw"}),
    Case("score_function_by_hand", "alive", score_function_by_hand, exact=False),
    Case("bernoulli_times_value", "partial", lambda x: x * number(dist.Bernoulli(logits=x).sample(KEY))),
]


def cond(predicate, yes, no):
    """`cond` of an array on a condition of the same array."""
    return lambda x: lax.cond(predicate(x), yes, no, x)


def switch_on_cast(x):
    return lax.switch(x[0].astype(int), [jnp.sin, jnp.cos, jnp.exp], x)


def switch_of_constants(x):
    return lax.switch(jnp.argmax(x[:3]), [lambda: TABLE, lambda: LABELS, lambda: 2.0 * TABLE])


def scan(step, start=0.0):
    """The final carry and the outputs of a loop over the entries of x."""
    return lambda x: lax.scan(step, jnp.asarray(start), x)


def count_crossings(x):
    def step(above, v):
        now = v > 0.0
        return now, number(above ^ now)

    return jnp.sum(lax.scan(step, jnp.array(False), x)[1])


def thermostat(x):
    """Heats while too cold, by a threshold that is the parameter: the derivative of all of it is zero."""

    def step(state, _):
        heat, on = state
        on = lax.cond(heat < x[0], lambda: True, lambda: on & (heat < x[0] + 0.5))
        return (0.9 * heat + jnp.where(on, 0.3, 0.0), on), heat

    return lax.scan(step, (0.0, False), length=8)[1]


def bouncing_ball(x):
    def step(state, _):
        height, speed = state
        height, speed = height + 0.1 * speed, speed - 1.0
        return lax.cond(height < 0, lambda: (-height, -0.8 * speed), lambda: (height, speed)), None

    return lax.scan(step, (jnp.abs(x[0]), x[1]), length=10)[0]


def delayed_gap(x):
    """The gap is written to the end of a queue, and reaches the front three passes later: the fourth sees nothing else."""

    def step(queue, _):
        a, b, c = queue
        return (b, c, jnp.round(a)), None

    return lax.scan(step, (x, x, x), length=4)[0]


def delayed_gap_in_part(x):
    def step(queue, _):
        a, b, c = queue
        return (b, c, jnp.round(a)), None

    return lax.scan(step, (x, x, x), length=2)[0]


def unused_carry(x):
    """What the loop does to x does not reach the result."""
    step = lambda c, _: ((jnp.round(c[0]), 1.1 * c[1]), None)
    return lax.scan(step, (x, jnp.array(1.0)), length=3)[0][1]


def gap_in_unused_carry(x):
    step = lambda c, _: ((jnp.round(c[0]), jnp.sin(c[1])), None)
    return lax.scan(step, (x, x), length=3)[0][1]


def double_until_large(x):
    return lax.while_loop(lambda c: jnp.sum(jnp.abs(c)) < 50.0, lambda c: 2.0 * c, x)


def steps_to_threshold(x):
    return lax.while_loop(lambda i: 0.5 * number(i) < jnp.sum(jnp.tanh(x) ** 2), lambda i: i + 1, 0)


def value_times_steps(x):
    return x * number(steps_to_threshold(x))


def fixed_iterations(x):
    return x * lax.while_loop(lambda c: c < 100.0, lambda c: 3.0 * c, 1.0)


def rounded_start(x):
    return lax.while_loop(lambda c: jnp.sum(jnp.abs(c)) < 50.0, lambda c: 2.0 * c + 1.0, jnp.round(x))


def loop_with_unused_while(x):
    double_until_large(x)
    return jnp.sin(x)


def dynamic_trip_count(x):
    return lax.fori_loop(0, jnp.abs(x[0]).astype(int), lambda i, c: jnp.sin(c), x)


def dynamic_trip_count_of_constants(x):
    return lax.fori_loop(0, (x[0] ** 2).astype(int), lambda i, c: 1.1 * c, 1.0)


def fori_with_round(x):
    return lax.fori_loop(0, 3, lambda i, c: jnp.round(1.5 * c + 0.2), x)


def fori_in_part(x):
    return lax.fori_loop(0, 3, lambda i, c: c.at[i].set(jnp.round(c[i])), x)


def euler(x):
    return lax.fori_loop(0, 10, lambda i, c: c + 0.1 * jnp.sin(c[::-1]), x)


CONTROL_FLOW = [
    Case("cond_abs", "piecewise", cond(lambda x: jnp.sum(x) > 0, jnp.sin, jnp.cos), {"comparison"}),
    Case("cond_constants", "dead", cond(lambda x: x[0] > 0, lambda x: TABLE, lambda x: LABELS), {"comparison"}),
    Case("cond_rounded", "dead", cond(lambda x: x[0] > 0, jnp.round, jnp.floor), {"comparison"}),
    Case("cond_one_rounded", "partial", cond(lambda x: x[0] > 0, lambda x: jnp.round(x), jnp.sin), {"round"}),
    Case("cond_fixed", "alive", cond(lambda x: TABLE[0] > 0, jnp.sin, jnp.cos)),
    Case("switch_on_cast", "piecewise", switch_on_cast, {"cast to int32"}),
    Case("switch_on_argmax", "dead", switch_of_constants, {"argmax"}),
    Case("scan_sum", "alive", scan(lambda c, v: (c + jnp.sin(v), c))),
    Case("scan_round", "dead", scan(lambda c, v: (c + jnp.round(v), None)), {"round"}),
    Case("scan_round_carry", "dead", scan(lambda c, v: (jnp.round(c + v), None)), {"round"}),
    Case("scan_round_part", "partial", scan(lambda c, v: (c + v + jnp.round(v), None)), {"round"}),
    Case("scan_where", "piecewise", scan(lambda c, v: (c + jnp.where(v > 0, v, 0.0), None)), {"comparison"}),
    Case(
        "scan_comparison_with_carry", "piecewise", scan(lambda c, v: (jnp.where(v > c, v, 0.9 * c), c)), {"comparison"}
    ),
    Case("scan_dead_outputs", "partial", scan(lambda c, v: (c + v**2, jnp.sign(c + v))), {"sign"}),
    Case("count_crossings", "dead", count_crossings, {"comparison"}),
    Case("thermostat", "dead", thermostat, {"comparison"}),
    Case("bouncing_ball", "piecewise", bouncing_ball, {"comparison"}),
    Case("delayed_gap_in_part", "partial", delayed_gap_in_part, {"round"}),
    Case("gap_in_unused_carry", "alive", gap_in_unused_carry),
    Case("map_round", "dead", lambda x: lax.map(lambda v: jnp.round(v), x), {"round"}),
    Case("fori_with_round", "dead", fori_with_round, {"round"}),
    Case("fori_in_part", "partial", fori_in_part, {"round"}),
    Case("euler", "alive", euler),
    Case("double_until_large", "dead", double_until_large, {"while loop"}),
    Case("value_plus_while", "dead", lambda x: x + double_until_large(x), {"while loop"}),
    Case("while_on_rounded", "dead", rounded_start, {"round"}),
    Case("steps_to_threshold", "dead", lambda x: number(steps_to_threshold(x)), {"comparison"}),
    Case("value_times_steps", "piecewise", value_times_steps, {"comparison"}),
    Case("fixed_while", "alive", fixed_iterations),
    Case("unused_while", "alive", loop_with_unused_while),
    Case("dynamic_trip_count", "dead", dynamic_trip_count, {"while loop"}),
    Case("dynamic_trip_count_of_constants", "dead", dynamic_trip_count_of_constants, {"cast to int32"}),
    Case("associative_max", "alive", lambda x: lax.associative_scan(jnp.maximum, x)),
    Case("associative_sum_of_signs", "dead", lambda x: lax.associative_scan(jnp.add, jnp.sign(x)), {"sign"}),
]


def scan_cond_scan(x):
    """A loop, whose body chooses between a loop over x and a function of the carry."""

    def inner(c, v):
        return c + jnp.sin(v), None

    def outer(c, v):
        return lax.cond(v > 0, lambda c: lax.scan(inner, c, x)[0], jnp.cos, c), None

    return lax.scan(outer, 0.0, x)[0]


def jit_scan_cond_round(x):
    @jax.jit
    def run(x):
        step = lambda c, v: (c + lax.cond(TABLE[0] > 0, lambda v: jnp.round(v), lambda v: jnp.floor(v), v), None)
        return lax.scan(step, 0.0, x)[0]

    return run(x)


def jit_of_jit_of_where(x):
    inner = jax.jit(lambda v: jnp.where(v > 0.5, v, 0.5 * v))
    outer = jax.jit(lambda v: inner(v) + inner(-v))
    return outer(x)


def switch_of_conds_of_loops(x):
    def sines(v):
        return lax.fori_loop(0, 3, lambda i, c: jnp.sin(c), v)

    branches = [lambda v: lax.cond(v[1] > 0, sines, jnp.cos, v), lambda v: v, sines]
    return lax.switch(jnp.argmin(x[:3]), branches, x)


def checkpointed_scan_of_casts(x):
    step = jax.checkpoint(lambda c, v: (c + number((4.0 * v).astype(int)), None))
    return lax.scan(step, 0.0, x)[0]


def checkpoint_of_scan_in_part(x):
    @jax.checkpoint
    def run(x):
        return lax.scan(lambda c, v: (jnp.sin(c) + v + 0.1 * jnp.ceil(v), c), 0.0, x)

    return run(x)


def vmap_of_cond(x):
    return jax.vmap(lambda v: lax.cond(v > 0, jnp.sin, jnp.cos, v))(x)


def vmap_of_scan_of_where(x):
    def one(start):
        return lax.scan(lambda c, v: (jnp.where(c > v, c, 0.5 * (c + v)), None), start, x)[0]

    return jax.vmap(one)(TABLE)


def vmap_of_argmax(x):
    return jax.vmap(lambda row: row[jnp.argmax(row)])(x)


def vmap_of_vmap_of_round(x):
    return jax.vmap(jax.vmap(lambda v: jnp.round(v)))(x)


def map_of_scan_of_switch(x):
    def one(v):
        step = lambda c, i: (lax.switch(i, [jnp.sin, jnp.cos, lambda c: c + v], c), None)
        return lax.scan(step, v, jnp.arange(3))[0]

    return lax.map(one, x)


def scan_of_scan_of_bool(x):
    """A boolean is carried through two loops and only then chooses."""

    def inner(seen, v):
        return seen | (v > 1.0), None

    def outer(seen, row):
        return lax.scan(inner, seen, row)[0], None

    seen, _ = lax.scan(outer, jnp.array(False), x)
    return jnp.where(seen, x, -x)


def while_in_branch(x):
    return lax.cond(x[0] > 0, double_until_large, jnp.sin, x)


def while_in_scan_condition(x):
    """A while loop whose carry is an integer, inside a loop: nothing stops reverse mode."""

    def step(c, v):
        n = lax.while_loop(lambda n: number(n) < 3.0 * jnp.sin(v), lambda n: n + 1, 0)
        return c + v * number(n), None

    return lax.scan(step, 0.0, x)[0]


def scan_with_index_carry(x):
    """The best so far, as an index: a running maximum written with comparisons."""

    def step(best, i):
        return jnp.where(x[i] > x[best], i, best), x[best]

    return lax.scan(step, 0, jnp.arange(5))[1]


def grad_inside(x):
    """Newton's step on a smooth function: gradients of gradients are alive."""
    loss = lambda v: jnp.sum(jnp.cosh(v) + jnp.sin(v))
    return x - 0.1 * jax.grad(loss)(x)


def grad_of_abs_inside(x):
    return jax.grad(lambda v: jnp.sum(jnp.abs(v)))(x)


def jvp_of_round_inside(x):
    return jax.jvp(jnp.sin, (x,), (jnp.round(x),))[1]


NESTED = [
    Case("scan_cond_scan", "piecewise", scan_cond_scan, {"comparison"}),
    Case("jit_scan_cond_round", "dead", jit_scan_cond_round),
    Case("jit_of_jit_of_where", "piecewise", jit_of_jit_of_where, {"comparison"}),
    Case("jit_round", "dead", lambda x: jax.jit(jax.jit(lambda v: jnp.round(v)))(x), {"round"}),
    Case("switch_of_conds_of_loops", "piecewise", switch_of_conds_of_loops, {"argmin", "comparison"}),
    Case("checkpointed_scan_of_casts", "dead", checkpointed_scan_of_casts, {"cast to int32"}),
    Case("checkpoint_of_scan_in_part", "partial", checkpoint_of_scan_in_part, {"ceil"}),
    Case("checkpoint_of_sine", "alive", lambda x: jax.checkpoint(lambda v: jnp.sin(v) ** 2)(x)),
    Case("vmap_of_cond", "piecewise", vmap_of_cond, {"comparison"}),
    Case("vmap_of_scan_of_where", "piecewise", vmap_of_scan_of_where, {"comparison"}),
    Case("vmap_of_argmax", "piecewise", vmap_of_argmax, {"argmax"}, matrix),
    Case("vmap_of_vmap_of_round", "dead", vmap_of_vmap_of_round, {"round"}, matrix),
    Case("map_of_scan_of_switch", "alive", map_of_scan_of_switch),
    Case("scan_of_scan_of_bool", "piecewise", scan_of_scan_of_bool, {"comparison"}, matrix),
    Case("while_in_branch", "dead", while_in_branch, {"while loop"}),
    Case("integer_while_in_scan", "piecewise", while_in_scan_condition, {"comparison"}),
    Case("scan_with_index_carry", "piecewise", scan_with_index_carry, {"comparison"}),
    Case("jit_of_while", "dead", lambda x: jax.jit(double_until_large)(x), {"while loop"}),
    Case("grad_inside", "alive", grad_inside),
    Case("grad_of_abs_inside", "dead", grad_of_abs_inside),
    Case("jvp_of_round_inside", "partial", jvp_of_round_inside, {"round"}),
    Case("filter_jit_round", "dead", lambda x: eqx.filter_jit(lambda v: jnp.round(v))(x), {"round"}),
]


def largest_eigenvector(a):
    values, vectors = jnp.linalg.eigh(spd(a))
    return vectors[:, jnp.argmax(values)] ** 2


def conjugate_gradient(a):
    return jsp.sparse.linalg.cg(spd(a), jnp.ones(4), maxiter=20)[0]


LINEAR_ALGEBRA = [
    Case("solve", "alive", lambda a: jnp.linalg.solve(spd(a), a[0]), argument=matrix),
    Case("log_determinant", "alive", lambda a: jnp.linalg.slogdet(spd(a))[1], argument=matrix),
    Case("sign_of_determinant", "dead", lambda a: jnp.linalg.slogdet(a)[0], argument=matrix),
    Case("cholesky", "alive", lambda a: jnp.linalg.cholesky(spd(a)), argument=matrix),
    Case("qr", "alive", lambda a: jnp.linalg.qr(spd(a))[1], argument=matrix),
    Case("eigenvalues", "alive", lambda a: jnp.linalg.eigvalsh(spd(a)), argument=matrix),
    Case("largest_eigenvector", "piecewise", largest_eigenvector, {"argmax"}, matrix),
    Case("nuclear_norm", "alive", lambda a: jnp.linalg.norm(a, "nuc"), argument=matrix),
    Case("count_norm", "dead", lambda x: jnp.linalg.norm(jnp.round(x), 0)),
    Case("pseudo_inverse", "alive", lambda a: jnp.linalg.pinv(a[:, :2]), argument=matrix),
    Case("matrix_exponential", "alive", lambda a: jsp.linalg.expm(0.3 * a), argument=matrix),
    Case("triangular_solve", "alive", lambda a: jsp.linalg.solve_triangular(spd(a), a[0]), argument=matrix),
    Case("conjugate_gradient", "alive", conjugate_gradient, argument=matrix),
    Case("matrix_rank", "dead", lambda a: number(jnp.linalg.matrix_rank(a)), argument=matrix),
    Case("pivots", "dead", lambda a: number(jsp.linalg.lu_factor(a)[1]), argument=matrix),
    Case("schur", "dead", lambda a: jsp.linalg.schur(a)[0], argument=matrix),
    Case("solve_for_rounded", "dead", lambda a: jnp.linalg.solve(spd(MIX[:4, :4]), jnp.round(a[0])), {"round"}, matrix),
    Case("whitened_sign", "partial", lambda a: jnp.linalg.solve(spd(a), jnp.sign(a[0])), {"sign"}, matrix),
]

FOURIER = [
    Case("power_spectrum", "alive", lambda x: jnp.abs(jnp.fft.fft(x)) ** 2),
    Case("filtered", "alive", lambda x: jnp.fft.irfft(jnp.fft.rfft(x) * jnp.array([1.0 + 0.0j, 0.5, 0.0]), 5)),
    Case("phase", "alive", lambda x: jnp.sin(jnp.angle(jnp.fft.rfft(x)[1:]))),
    Case("fft_convolution", "alive", lambda x: jsp.signal.fftconvolve(x, TABLE)),
    Case("strongest_frequency", "dead", lambda x: number(jnp.argmax(jnp.abs(jnp.fft.rfft(x)))), {"argmax"}),
    Case("strongest_amplitude", "piecewise", lambda x: (s := jnp.abs(jnp.fft.rfft(x)))[jnp.argmax(s)], {"argmax"}),
    Case(
        "thresholded_spectrum",
        "piecewise",
        lambda x: jnp.where((s := jnp.abs(jnp.fft.fft(x))) > 1, s, 0.0),
        {"comparison"},
    ),
]

GRID = jnp.arange(5.0)


def linear_by_hand(x):
    """Linear interpolation as people write it: the floor is in the weight as well as in the index."""
    left = jnp.clip(jnp.floor(x), 0.0, 3.0)
    i = left.astype(int)
    weight = x - left
    return (1 - weight) * TABLE[i] + weight * TABLE[i + 1]


def nearest_by_hand(x):
    return TABLE[jnp.clip(jnp.round(x), 0, 4).astype(int)]


def polynomial_of_cell(x):
    cell = jnp.searchsorted(GRID, x)
    return TABLE[cell % 5] * x**2


INTERPOLATION = [
    Case("interp", "alive", lambda x: jnp.interp(x, jnp.sort(TABLE), LABELS)),
    Case("interp_values", "alive", lambda x: jnp.interp(jnp.array([-0.3, 1.1]), jnp.sort(TABLE), x)),
    Case("map_coordinates", "alive", lambda x: jsp.ndimage.map_coordinates(TABLE, [x[:, 0]], order=1), argument=points),
    Case("map_nearest", "dead", lambda x: jsp.ndimage.map_coordinates(TABLE, [x[:, 0]], order=0), argument=points),
    Case(
        "regular_grid",
        "alive",
        lambda x: jsp.interpolate.RegularGridInterpolator((GRID,), TABLE)(x),
        argument=points,
    ),
    Case(
        "regular_grid_nearest",
        "dead",
        lambda x: jsp.interpolate.RegularGridInterpolator((GRID,), TABLE, method="nearest")(x),
        argument=points,
    ),
    Case("resize", "alive", lambda a: jax.image.resize(a, (7, 3), "linear"), argument=matrix),
    Case("linear_by_hand", "partial", linear_by_hand, {"floor"}, fractions),
    Case("nearest_by_hand", "dead", nearest_by_hand, {"round"}),
    Case("polynomial_of_cell", "piecewise", polynomial_of_cell, {"searchsorted"}, positive),
]


@jax.custom_jvp
def rule_of_softplus(x):
    return jnp.where(x > 30.0, x, jnp.log1p(jnp.exp(x)))


@rule_of_softplus.defjvp
def _(primals, tangents):
    return rule_of_softplus(*primals), jax.nn.sigmoid(primals[0]) * tangents[0]


@jax.custom_jvp
def rule_of_zero(x):
    return x**2


@rule_of_zero.defjvp
def _(primals, tangents):
    return rule_of_zero(*primals), jnp.zeros_like(tangents[0])


@jax.custom_jvp
def straight_through_round(x):
    return jnp.round(x)


@straight_through_round.defjvp
def _(primals, tangents):
    return straight_through_round(*primals), tangents[0]


@jax.custom_vjp
def reversed_gradient(x):
    return x


reversed_gradient.defvjp(lambda x: (x, None), lambda _, g: (-g,))


@jax.custom_vjp
def straight_through_step(x):
    return number(x > 0)


straight_through_step.defvjp(lambda x: (straight_through_step(x), x), lambda x, g: (g * number(jnp.abs(x) < 1.0),))


@jax.custom_vjp
def rule_of_zeros(x):
    return jnp.sin(x)


rule_of_zeros.defvjp(lambda x: (jnp.sin(x), None), lambda _, g: (jnp.zeros_like(g),))


@jax.custom_vjp
def rule_of_none(x):
    return jnp.sin(x)


rule_of_none.defvjp(lambda x: (jnp.sin(x), None), lambda _, g: (None,))


@jax.custom_vjp
def implicit_square_root(x):
    """Newton's iteration in a while loop, differentiated by its own rule."""
    improve = lambda y: 0.5 * (y + x / y)
    return lax.while_loop(lambda y: jnp.max(jnp.abs(y * y - x)) > 1e-4, improve, jnp.maximum(x, 1.0))


def _square_root_forward(x):
    y = implicit_square_root(x)
    return y, y


implicit_square_root.defvjp(_square_root_forward, lambda y, g: (g / (2 * y),))


@jax.custom_gradient
def clipped_gradient(x):
    return x**2, lambda g: jnp.clip(g, -1.0, 1.0) * x


@jax.custom_jvp
def rule_for_one_of_two(x, y):
    return jnp.round(x) * y


rule_for_one_of_two.defjvps(None, lambda t, out, x, y: jnp.round(x) * t)


def root(x):
    """The cube root by bisection inside `custom_root`: only the implicit derivative counts."""
    f = lambda y: y + y**3 - x

    def bisect(f, _):
        def halve(_, ends):
            a, b = ends
            middle = 0.5 * (a + b)
            right = f(middle) < 0
            return jnp.where(right, middle, a), jnp.where(right, b, middle)

        a, b = lax.fori_loop(0, 30, halve, (jnp.full_like(x, -5.0), jnp.full_like(x, 5.0)))
        return 0.5 * (a + b)

    return lax.custom_root(f, jnp.zeros_like(x), bisect, lambda g, y: y / g(jnp.ones_like(y)))


CUSTOM_RULES = [
    Case("right_jvp", "alive", lambda x: rule_of_softplus(x)),
    Case("right_jvp_in_scan", "alive", scan(lambda c, v: (rule_of_softplus(c + v), None))),
    Case("zero_jvp", "dead", lambda x: rule_of_zero(x)),
    Case("zero_jvp_in_part", "partial", lambda x: x + rule_of_zero(x)),
    Case("straight_through_jvp", "alive", lambda x: straight_through_round(2.0 * x), exact=False),
    Case("straight_through_jvp_under_vmap", "alive", lambda x: jax.vmap(straight_through_round)(x), exact=False),
    Case("reversed_gradient", "alive", lambda x: reversed_gradient(x), exact=False),
    Case("straight_through_vjp", "alive", lambda x: straight_through_step(x), exact=False),
    Case("zero_vjp", "dead", lambda x: rule_of_zeros(x)),
    Case("none_vjp", "dead", lambda x: rule_of_none(x)),
    Case("zero_vjp_in_part", "partial", lambda x: x * rule_of_zeros(x)),
    Case("right_vjp_of_while", "alive", lambda x: implicit_square_root(x), argument=positive),
    Case("custom_gradient", "alive", lambda x: clipped_gradient(x), exact=False),
    Case("rule_for_the_dead_argument", "dead", lambda x: rule_for_one_of_two(x, TABLE)),
    Case("rule_for_the_live_argument", "alive", lambda x: rule_for_one_of_two(3.0 * TABLE, x)),
    Case("custom_root", "alive", root),
    Case("rounding_before_rule", "dead", lambda x: straight_through_round(jnp.floor(x)), {"floor"}),
    Case("rounding_after_rule", "dead", lambda x: jnp.ceil(straight_through_round(x)), {"ceil"}),
]


def host_sine(x):
    return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


def host_argmax(x):
    return jax.pure_callback(lambda v: np.argmax(v).astype(np.int32), jax.ShapeDtypeStruct((), jnp.int32), x)


def host_io(x):
    return jax.experimental.io_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)


def watched(x):
    jax.debug.callback(lambda v: None, x)
    return jnp.sin(x)


def only_watched(x):
    jax.debug.callback(lambda v: None, x)
    return TABLE


def unused_host_value(x):
    host_sine(x)
    return jnp.cos(x)


@jax.custom_jvp
def host_sine_with_rule(x):
    return host_sine(x)


@host_sine_with_rule.defjvp
def _(primals, tangents):
    return host_sine(*primals), jnp.cos(primals[0]) * tangents[0]


def printed(x):
    jax.debug.print("{x}", x=x[0])
    return x * x


HOST = [
    Case("host_value", "dead", host_sine, {"host callback"}),
    Case("host_value_plus_identity", "dead", lambda x: x + host_sine(x), {"host callback"}),
    Case("host_index", "dead", lambda x: x[host_argmax(x)], {"host callback"}),
    Case("host_of_rounded", "dead", lambda x: host_sine(jnp.round(x)), {"round"}),
    Case("host_in_scan", "dead", scan(lambda c, v: (c + host_sine(v), None)), {"host callback"}),
    Case("host_in_jit_of_cond", "dead", jax.jit(cond(lambda x: x[0] > 0, host_sine, jnp.cos)), {"host callback"}),
    Case("ordered_host", "dead", host_io, {"host callback"}),
    Case("host_unused", "dead", unused_host_value, {"host callback"}),
    Case("host_of_constant", "alive", lambda x: x * host_sine(TABLE)),
    Case("host_of_stopped", "alive", lambda x: x * host_sine(lax.stop_gradient(x)), {"stop_gradient"}, exact=False),
    Case("host_with_rule", "alive", lambda x: host_sine_with_rule(x)),
    Case("debug_callback", "alive", watched),
    Case("debug_print", "alive", printed),
    Case("only_watched", "independent", only_watched),
]

STOPPED = [
    Case("all", "dead", lambda x: lax.stop_gradient(x), {"stop_gradient"}),
    Case("all_of_sine", "dead", lambda x: jnp.sin(lax.stop_gradient(x)), {"stop_gradient"}),
    Case("factor", "alive", lambda x: x * lax.stop_gradient(jnp.sin(x)), {"stop_gradient"}, exact=False),
    Case("target", "alive", lambda x: jnp.sum((x - lax.stop_gradient(x[::-1])) ** 2), {"stop_gradient"}, exact=False),
    Case(
        "straight_through", "alive", lambda x: x + lax.stop_gradient(jnp.round(x) - x), {"stop_gradient"}, exact=False
    ),
    Case("condition", "alive", lambda x: jnp.where(lax.stop_gradient(x) > 0, x, 0.0), {"stop_gradient"}),
    Case("index", "alive", lambda x: x[jnp.argmax(lax.stop_gradient(x))], {"stop_gradient"}),
    Case("rounded_stop", "alive", lambda x: x + jnp.round(lax.stop_gradient(x)), {"stop_gradient"}, exact=False),
    Case("beside_a_gap", "partial", lambda x: x * lax.stop_gradient(x) + jnp.round(x), {"stop_gradient", "round"}),
    Case("beside_a_branch", "piecewise", lambda x: jnp.where(x > 0, x, lax.stop_gradient(x)), {"comparison"}),
    Case("normalised", "alive", lambda x: x / lax.stop_gradient(jnp.linalg.norm(x)), {"stop_gradient"}, exact=False),
]

CUMULATIVE = [
    Case("sum", "alive", lambda x: jnp.cumsum(x)),
    Case("maximum_accumulate", "alive", lambda x: jnp.maximum.accumulate(x)),
    Case("of_rounded", "dead", lambda x: jnp.cumsum(jnp.round(x)), {"round"}),
    Case("count_above", "dead", lambda x: number(jnp.cumsum((x > 0).astype(int))), {"comparison"}),
    Case("mask_until", "piecewise", lambda x: jnp.where(jnp.cumsum((x > 1).astype(int)) == 0, x, 0.0), {"comparison"}),
    Case("discounted_signs", "partial", lambda x: jnp.cumsum(x) * jnp.cumsum(jnp.sign(x)), {"sign"}),
]

REDUCTIONS = [
    Case("maximum", "alive", lambda x: jnp.max(x)),
    Case("range", "alive", lambda x: jnp.ptp(x)),
    Case("nanmean", "alive", lambda x: jnp.nanmean(x)),
    Case("centred", "alive", lambda x: x - jnp.mean(x)),
    Case("shares", "alive", lambda x: x / jnp.sum(x), argument=positive),
    Case("correlation", "alive", lambda x: jnp.corrcoef(x, TABLE)[0, 1]),
    Case("window_max", "alive", lambda x: lax.reduce_window(x, -jnp.inf, lax.max, (2,), (1,), "valid")),
    Case("count_nonzero", "dead", lambda x: number(jnp.count_nonzero(jnp.round(x)))),
    Case("mean_above", "partial", lambda x: jnp.mean(x, where=x > -3), {"comparison"}),
    Case("mean_of_selected", "partial", lambda x: jnp.sum(x * (m := number(x > 0))) / (1 + jnp.sum(m)), {"comparison"}),
    Case("scalar_square", "alive", lambda x: x**2, argument=scalar),
    Case("scalar_round", "dead", lambda x: jnp.round(x), {"round"}, scalar),
]

SPECIAL = [
    Case("erf", "alive", lambda x: jsp.special.erf(x)),
    Case("erfinv", "alive", lambda x: jsp.special.erfinv(x), argument=fractions),
    Case("log_gamma", "alive", lambda x: jsp.special.gammaln(x), argument=positive),
    Case("incomplete_beta", "alive", lambda x: jsp.special.betainc(2.0, 3.0, x), argument=fractions),
    Case("logit", "alive", lambda x: jsp.special.logit(x), argument=fractions),
    Case("xlogy", "alive", lambda x: jsp.special.xlogy(x, x), argument=positive),
    Case("power", "alive", lambda x: jnp.power(x, 2.5), argument=positive),
    Case("sign_of_gamma", "dead", lambda x: jsp.special.gammasgn(x)),
    Case("factorial_of_count", "dead", lambda x: jsp.special.factorial(jnp.floor(x)), {"floor"}, positive),
]


def heaviside_by_hand(x):
    return jnp.where(jnp.isnan(x), x, jnp.where(x > 0, 1.0, 0.0))


def guarded_round(x):
    """Passes x on where it is not finite, which it never is."""
    return jnp.where(jnp.isfinite(x), jnp.round(x), x)


# Dead by the numbers; the structure of the program alone would say partial, piecewise or even alive.
NUMBERS = [
    Case("heaviside", "dead", lambda x: jnp.heaviside(x, 0.5), {"heaviside"}),
    Case("heaviside_by_hand", "dead", heaviside_by_hand, {"comparison"}),
    Case("guarded_round", "dead", guarded_round, {"round"}),
    Case("delayed_gap", "dead", delayed_gap, {"round"}),
    Case("always_true", "dead", lambda x: jnp.where(x * x >= 0, 2.0, x)),
    Case("branch_never_taken", "dead", lambda x: lax.cond(TABLE[0] > 0, jnp.round, jnp.sin, x)),
    Case("gap_and_zero", "dead", lambda x: jnp.round(x) + 0.0 * x, {"round"}),
    Case("cancelled", "dead", lambda x: jnp.sign(x) + (x - x), {"sign"}),
    Case("dead_relu", "dead", lambda x: jax.nn.relu(-jnp.abs(x) - 1.0)),
    Case("heaviside_in_scan", "dead", scan(lambda c, v: (c + jnp.heaviside(v, 1.0), None)), {"heaviside"}),
    Case(
        "steps_of_heaviside", "dead", lambda x: jax.jit(lambda v: 3.0 * jnp.heaviside(MIX @ v, 0.0))(x), {"heaviside"}
    ),
    Case("heaviside_in_part", "partial", lambda x: x + jnp.heaviside(x, 0.5), {"heaviside"}),
]


def draws_of_numpy(x):
    return TABLE + jax.random.normal(KEY, (5,))


INDEPENDENT = [
    Case("constant", "independent", lambda x: TABLE),
    Case("number", "independent", lambda x: jnp.array(1.0)),
    Case("shape", "independent", lambda x: jnp.array(float(x.shape[0]))),
    Case("zeros_like", "independent", lambda x: jnp.zeros_like(x)),
    Case("full_like", "independent", lambda x: jnp.full_like(x, 3.0) * TABLE),
    Case("draws", "independent", draws_of_numpy),
    Case("unused", "independent", lambda x: (jnp.sin(x), TABLE)[1]),
    Case("unused_in_jit", "independent", lambda x: jax.jit(lambda v: (jnp.round(v), 2.0 * TABLE))(x)[1]),
    Case("unused_in_cond", "independent", lambda x: lax.cond(TABLE[0] > 0, lambda v: TABLE, lambda v: LABELS, x)),
    Case("unused_carry", "independent", unused_carry),
]


def double(x):
    return x.astype(jnp.float64)


DOUBLE = [
    Case("median", "alive", lambda x: jnp.median(x), x64=True),
    Case("interp", "alive", lambda x: jnp.interp(x, jnp.arange(3.0), jnp.arange(3.0) ** 2), x64=True),
    Case("to_float32", "alive", lambda x: x.astype(jnp.float32), x64=True),
    Case("round", "dead", lambda x: jnp.round(x), {"round"}, x64=True),
    Case("cast", "dead", lambda x: double(x.astype(int)), {"cast to int64"}, x64=True),
    Case("cast_to_int32", "dead", lambda x: double(x.astype(jnp.int32)), {"cast to int32"}, x64=True),
    Case("comparison", "dead", lambda x: double(x > 0), {"comparison"}, x64=True),
    Case("heaviside", "dead", lambda x: jnp.heaviside(x, 0.5), {"heaviside"}, x64=True),
    Case(
        "bernoulli",
        "dead",
        lambda x: double(jax.random.bernoulli(KEY, jax.nn.sigmoid(x))),
        {"Bernoulli draw"},
        x64=True,
    ),
    Case("where", "piecewise", lambda x: jnp.where(x > 0, x, 2.0 * x), {"comparison"}, x64=True),
    Case("max_by_argmax", "piecewise", lambda x: x[jnp.argmax(x)], {"argmax"}, x64=True),
    Case("round_in_part", "partial", lambda x: x + jnp.round(x), {"round"}, x64=True),
    Case("scan_in_part", "partial", scan(lambda c, v: (c + v * jnp.sign(v), None)), {"sign"}, x64=True),
    Case("independent", "independent", lambda x: jnp.ones_like(x), x64=True),
]

FAMILIES = {
    "activations": ACTIVATIONS,
    "losses": LOSSES,
    "rounding": ROUNDING,
    "comparisons": COMPARISONS,
    "logic": LOGIC,
    "sorting": SORTING,
    "indexing": INDEXING,
    "one_hot": ONE_HOT,
    "casts": CASTS,
    "draws": DRAWS,
    "numpyro": NUMPYRO,
    "control_flow": CONTROL_FLOW,
    "nested": NESTED,
    "linear_algebra": LINEAR_ALGEBRA,
    "fourier": FOURIER,
    "interpolation": INTERPOLATION,
    "custom_rules": CUSTOM_RULES,
    "host": HOST,
    "stopped": STOPPED,
    "cumulative": CUMULATIVE,
    "reductions": REDUCTIONS,
    "special": SPECIAL,
    "numbers": NUMBERS,
    "independent": INDEPENDENT,
    "double": DOUBLE,
}
CASES = [dataclasses.replace(case, family=family) for family, cases in FAMILIES.items() for case in cases]
