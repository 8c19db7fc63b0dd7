"""Each softened operation, against the expectation of the hard one under noise on its input."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from spanax.smoothing.soften import softened

TABLE = np.array([0.7, -1.3, 2.0, 0.4, -0.6])
EDGES = np.array([-0.8, 0.1, 0.4, 1.5])
POINTS = np.array([-2.43, -0.31, 0.17, 0.62, 1.38, 2.9])
SOFTNESS = (0.08, 0.5, 1.3)
INTEGERS = np.arange(-40.0, 40.0)
NODES, WEIGHTS = np.polynomial.legendre.leggauss(24)


def table():
    return jnp.asarray(TABLE)


def at_floor(y):
    return TABLE[np.clip(np.floor(y).astype(int) + 2, 0, 4)]


def at_wrapped_floor(y):
    """Python's negative indices; what is out of range is clipped."""
    k = np.floor(y).astype(int)
    return TABLE[np.clip(np.where(k < 0, k + 5, k), 0, 4)]


# name: f, the same of (its noisy input y, x) in NumPy, and where it jumps in y
CASES = {
    "greater_where": (lambda x: jnp.where(x > 0.3, x * x, -x), lambda y, x: np.where(y > 0.3, x * x, -x), [0.3]),
    "less": (lambda x: (x <= 0.3).astype(x.dtype), lambda y, x: y <= 0.3, [0.3]),
    "cond": (
        lambda x: lax.cond(x < 0.3, jnp.sin, jnp.cos, x),
        lambda y, x: np.where(y < 0.3, np.sin(x), np.cos(x)),
        [0.3],
    ),
    "not_and": (lambda x: jnp.where(~((b := x > 0.3) & ~b), x, 9.0), lambda y, x: x + 0 * y, []),
    "floor": (jnp.floor, lambda y, x: np.floor(y), INTEGERS),
    "ceil": (jnp.ceil, lambda y, x: np.ceil(y), INTEGERS),
    "round": (jnp.round, lambda y, x: np.round(y), INTEGERS + 0.5),
    "rounded_twice": (lambda x: jnp.floor(jnp.round(x)), lambda y, x: np.round(y), INTEGERS + 0.5),
    "trunc": (jnp.trunc, lambda y, x: np.trunc(y), INTEGERS),
    "cast": (lambda x: x.astype(int).astype(x.dtype), lambda y, x: np.trunc(y), INTEGERS),
    "sign": (lambda x: jnp.sign(x) * x, lambda y, x: np.sign(y) * x, [0.0]),
    "sign_is_one": (lambda x: (jnp.sign(x) == 1.0).astype(x.dtype), lambda y, x: y > 0, [0.0]),
    "floor_is_one": (lambda x: (jnp.floor(x) == 1.0).astype(x.dtype), lambda y, x: np.floor(y) == 1, INTEGERS),
    "floor_exceeds": (lambda x: jnp.less(1.5, jnp.floor(x)).astype(x.dtype), lambda y, x: np.floor(y) > 1.5, INTEGERS),
    "cast_exceeds": (lambda x: (x.astype(int) - 1 >= 0).astype(x.dtype), lambda y, x: np.trunc(y) >= 1, INTEGERS),
    "clipped_floor": (lambda x: jnp.clip(jnp.floor(x), -1.0, 2.0), lambda y, x: np.clip(np.floor(y), -1, 2), INTEGERS),
    "table_at_floor": (
        lambda x: table()[jnp.clip(jnp.floor(x).astype(int) + 2, 0, 4)],
        lambda y, x: at_floor(y),
        INTEGERS,
    ),
    "table_at_wrapped_floor": (lambda x: table()[jnp.floor(x).astype(int)], lambda y, x: at_wrapped_floor(y), INTEGERS),
    "one_hot_of_cast": (
        lambda x: jax.nn.one_hot(x.astype(int), 5, dtype=x.dtype) @ table(),
        lambda y, x: np.where((k := np.trunc(y).astype(int)) >= 0, TABLE[np.clip(k, 0, 4)], 0) * (k < 5),
        INTEGERS,
    ),
    "switch_on_cast": (
        lambda x: lax.switch(x.astype(int), [jnp.sin, jnp.cos, jnp.tanh], x),
        lambda y, x: np.choose(np.clip(np.trunc(y).astype(int), 0, 2), [np.sin(x), np.cos(x), np.tanh(x)]),
        INTEGERS,
    ),
    "floor_divide": (lambda x: x // 0.7, lambda y, x: y // 0.7, 0.7 * INTEGERS),
    "floor_divide_negative": (lambda x: x // -0.7, lambda y, x: y // -0.7, 0.7 * INTEGERS),
    "remainder": (lambda x: x % 0.7, lambda y, x: x - 0.7 * (y // 0.7), 0.7 * INTEGERS),
    "fmod": (lambda x: jnp.fmod(x, 0.7), lambda y, x: x - 0.7 * np.trunc(y / 0.7), 0.7 * INTEGERS),
    "divmod": (lambda x: sum(divmod(x, 0.7)), lambda y, x: x + 0.3 * (y // 0.7), 0.7 * INTEGERS),
    "searchsorted": (
        lambda x: jnp.searchsorted(jnp.asarray(EDGES), x).astype(x.dtype),
        lambda y, x: np.searchsorted(EDGES, y),
        EDGES,
    ),
    "table_at_searchsorted": (
        lambda x: table()[jnp.searchsorted(jnp.asarray(EDGES), x, side="right")],
        lambda y, x: TABLE[np.searchsorted(EDGES, y)],
        EDGES,
    ),
    "two_dimensional_table": (
        lambda x: jnp.outer(table(), table())[1, jnp.searchsorted(jnp.asarray(EDGES), x)],
        lambda y, x: TABLE[1] * TABLE[np.searchsorted(EDGES, y)],
        EDGES,
    ),
    "window": (
        lambda x: jnp.sum(lax.dynamic_slice(table(), (jnp.searchsorted(jnp.asarray(EDGES[:3]), x),), (2,))),
        lambda y, x: (TABLE[:-1] + TABLE[1:])[np.searchsorted(EDGES[:3], y)],
        EDGES,
    ),
}


@functools.cache
def _pieces(softness, x, breaks):
    ends = [x - 9 * softness, *(b for b in breaks if abs(b - x) < 9 * softness), x + 9 * softness]
    cuts = np.unique(
        np.concatenate([np.linspace(a, b, 2 + int((b - a) / softness)) for a, b in itertools.pairwise(ends)])
    )
    half, middle = np.diff(cuts) / 2, (cuts[1:] + cuts[:-1]) / 2
    y = (middle[:, None] + half[:, None] * NODES).ravel()
    return y, (half[:, None] * WEIGHTS).ravel() * np.exp(-(((y - x) / softness) ** 2) / 2) / (
        softness * math.sqrt(2 * math.pi)
    )


def expectation(g, softness, x, breaks):
    """E g(x + softness e, x), by Gauss-Legendre quadrature between the jumps."""
    y, weights = _pieces(softness, x, tuple(np.sort(breaks)))
    return float(np.sum(weights * g(y, x)))


def slope(value, x, h):
    """A derivative by differences of fourth order."""
    return (8 * (value(x + h) - value(x - h)) - (value(x + 2 * h) - value(x - 2 * h))) / (12 * h)


@pytest.mark.few(14)
@pytest.mark.parametrize("name", CASES)
def test_expectation_under_gaussian_noise(name, dtype):
    f, g, breaks = CASES[name]
    tolerance = 1e-6 if dtype == jnp.float64 else 2e-4
    pairs = [(x, s) for x in POINTS for s in SOFTNESS]
    xs, ss = (jnp.asarray(column, dtype) for column in zip(*pairs, strict=True))
    values, slopes = jax.jit(jax.vmap(jax.value_and_grad(lambda x, s: softened(f, s)(x))))(xs, ss)
    for (x, s), value, derivative in zip(pairs, np.asarray(values), np.asarray(slopes), strict=True):
        expected = functools.partial(expectation, g, s, breaks=breaks)
        assert abs(value - expected(x)) < tolerance * (1 + abs(expected(x)))
        true = slope(expected, x, 0.01 * s)
        assert abs(derivative - true) < tolerance * (1 + abs(true)) / min(s, 1) ** 2


def test_concrete_softness_is_the_same(x64):
    for s in SOFTNESS:
        x = jnp.asarray(POINTS)
        assert np.allclose(softened(jnp.floor, s)(x), jax.jit(lambda x, s: softened(jnp.floor, s)(x))(x, s), atol=1e-12)


# -- a choice among several: Gumbel noise of the same standard deviation on each

SCORES = np.array([0.3, -0.2, 0.45, 0.1])


def chances_of_largest(x, softness):
    """P(x_k + g_k is the largest), by quadrature over g_k."""
    return _chances_of_largest(tuple(x), softness)


@functools.cache
def _chances_of_largest(x, softness):
    scale = softness * math.sqrt(6) / math.pi
    g = np.linspace(-6, 40, 200_001) * scale
    density = np.exp(-g / scale - np.exp(-g / scale)) / scale
    others = [
        np.prod([np.exp(-np.exp(-(x[k] + g - x[j]) / scale)) for j in range(len(x)) if j != k], 0)
        for k in range(len(x))
    ]
    return np.array([np.sum(density * each) * (g[1] - g[0]) for each in others])


CHOICES = {
    "table_at_argmax": (lambda x: table()[jnp.argmax(x)], lambda p: p @ TABLE[:4]),
    "table_at_argmin": (lambda x: table()[jnp.argmin(-x)], lambda p: p @ TABLE[:4]),
    "next_to_argmax": (lambda x: table()[(jnp.argmax(x) + 1) % 4], lambda p: p @ np.roll(TABLE[:4], -1)),
    "one_hot": (lambda x: jax.nn.one_hot(jnp.argmax(x), 4) @ table()[:4], lambda p: p @ TABLE[:4]),
    "one_hot_by_hand": (
        lambda x: (jnp.arange(4) == jnp.argmax(x)).astype(x.dtype) @ table()[:4],
        lambda p: p @ TABLE[:4],
    ),
    "written": (lambda x: jnp.zeros(4).at[jnp.argmax(x)].add(2.0) @ table()[:4], lambda p: 2 * p @ TABLE[:4]),
    "set": (lambda x: jnp.ones(4).at[jnp.argmax(x)].set(3.0) @ table()[:4], lambda p: (1 + 2 * p) @ TABLE[:4]),
    "updated": (
        lambda x: lax.dynamic_update_slice(jnp.ones(4), jnp.full((1,), 3.0), (jnp.argmax(x),)) @ table()[:4],
        lambda p: (1 + 2 * p) @ TABLE[:4],
    ),
    "switch": (
        lambda x: lax.switch(jnp.argmax(x), [lambda k=k: jnp.asarray(TABLE[k]) for k in range(4)]),
        lambda p: p @ TABLE[:4],
    ),
    "carried_by_sort": (lambda x: lax.sort((x, table()[:4]), num_keys=1)[1][-1], lambda p: p @ TABLE[:4]),
    "table_at_last_of_argsort": (lambda x: table()[jnp.argsort(x)[-1]], lambda p: p @ TABLE[:4]),
    "table_at_first_of_top_k": (lambda x: table()[lax.top_k(x, 2)[1][0]], lambda p: p @ TABLE[:4]),
    "rows": (
        lambda x: jnp.sum(jnp.outer(x, table()[:4])[jnp.arange(2), jnp.argmax(jnp.stack([x, x]), -1)]),
        None,
    ),
}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", CHOICES)
def test_expectation_under_gumbel_noise(name, x64):
    f, g = CHOICES[name]
    compiled = jax.jit(lambda x, s: jax.value_and_grad(softened(f, s))(x))
    for softness in (0.1, 0.6):
        if g is None:  # the table is of x as well, without noise
            expected = lambda x, s=softness: chances_of_largest(x, s) @ TABLE[:4] * (x[0] + x[1])
        else:
            expected = lambda x, s=softness: g(chances_of_largest(x, s))
        value, gradient = compiled(jnp.asarray(SCORES), softness)
        assert abs(value - expected(SCORES)) < 1e-7
        for k, unit in enumerate(np.eye(4)):
            true = slope(lambda t, f=expected, unit=unit: f(SCORES + t * unit), 0.0, 0.01 * softness)
            assert abs(gradient[k] - true) < 1e-6 / softness


def test_order_of_two(x64):
    """Both places of two entries, under Gumbel noise."""
    p = chances_of_largest(SCORES[:2], 0.3)
    order = softened(lambda x: jnp.argsort(x), 0.3)(jnp.asarray(SCORES[:2]))
    assert np.allclose(order, [p[0], p[1]], atol=1e-7)  # the first is 0 where entry 1 is the larger
    values = softened(lambda x: x[jnp.argsort(x)], 0.3)(jnp.asarray(SCORES[:2]))
    assert np.allclose(values, [p[1] * SCORES[0] + p[0] * SCORES[1], p @ SCORES[:2]], atol=1e-7)


def test_sorted_values_stay(x64):
    x = jnp.asarray(SCORES)
    assert np.array_equal(softened(jnp.sort, 0.5)(x), np.sort(SCORES))
    assert np.array_equal(softened(lambda x: lax.top_k(x, 2)[0], 0.5)(x), np.sort(SCORES)[:1:-1])


def test_infinite_and_missing_entries(x64):
    masked = jnp.asarray([0.3, -jnp.inf, 0.45])
    f = lambda x: jnp.where(jnp.isfinite(x), x, 0.0)[jnp.argmax(x)]
    p = chances_of_largest(np.array([0.3, 0.45]), 0.2)
    value, gradient = jax.value_and_grad(softened(f, 0.2))(masked)
    assert abs(value - p @ [0.3, 0.45]) < 1e-7 and np.all(np.isfinite(gradient)) and gradient[1] == 0
    assert np.all(np.isfinite(softened(jnp.argsort, 0.2)(jnp.asarray([1.0, jnp.inf, -jnp.inf]))))


# -- logic: independent events

FIVE = np.array([0.3, -0.2, 0.05, 0.6, -0.4])


def by_enumeration(g, softness):
    """E g(b), b_i = [x_i + softness e_i > 0], e_i independent, over all 2^5 outcomes."""
    p = np.array([0.5 * math.erfc(-x / softness / math.sqrt(2)) for x in FIVE])
    outcomes = np.array(list(itertools.product([0, 1], repeat=5)))
    chances = np.prod(np.where(outcomes == 1, p, 1 - p), 1)
    return sum(c * np.asarray(g(b), float) for c, b in zip(chances, outcomes, strict=True))


LOGIC = {
    "any": (lambda b: jnp.any(b), np.any),
    "all": (lambda b: jnp.all(b), np.all),
    "none": (lambda b: ~jnp.any(b), lambda b: not np.any(b)),
    "sum": (lambda b: jnp.sum(b.astype(int)), np.sum),
    "count": (lambda b: jnp.count_nonzero(b), np.sum),
    "cumsum": (lambda b: jnp.cumsum(b.astype(int)), np.cumsum),
    "parity": (lambda b: lax.reduce_xor(b, axes=(0,)), lambda b: np.sum(b) % 2),
    "first": (lambda b: jnp.argmax(b), np.argmax),
    "first_missing": (lambda b: jnp.argmin(b), np.argmin),
    "weighted": (lambda b: jnp.dot(b.astype(int), jnp.arange(5)), lambda b: b @ np.arange(5)),
    "product": (lambda b: jnp.prod(b.astype(int)), np.prod),
    "maximum": (lambda b: jnp.maximum(b[0], b[1]), lambda b: max(b[0], b[1])),
    "equal": (lambda b: b[0] == b[1], lambda b: b[0] == b[1]),
    "chosen": (lambda b: jnp.where(b[0], b[1], b[2]), lambda b: b[1] if b[0] else b[2]),
    "flag_is_set": (lambda b: b.astype(int)[0] >= 1, lambda b: b[0] >= 1),
    "tautology": (lambda b: (b.astype(float) == 0.0) | (b.astype(float) == 1.0), lambda b: np.ones(5)),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("name", LOGIC)
def test_independent_events(name, x64):
    f, g = LOGIC[name]
    found = softened(lambda x: f(x > 0), 0.25)(jnp.asarray(FIVE))
    assert np.allclose(found, by_enumeration(g, 0.25), atol=1e-12)


def test_equality_of_floats_is_a_bump(x64):
    f = lambda x: x == jnp.max(x)
    assert np.allclose(softened(f, 0.2)(jnp.asarray(FIVE)), np.exp(-0.5 * ((FIVE - 0.6) / 0.2) ** 2), atol=1e-12)


def test_integers_are_linear_between_their_neighbours(x64):
    count = lambda x: jnp.sum((x > 0).astype(int))
    mean = float(softened(count, 0.25)(jnp.asarray(FIVE)))
    floor, share = math.floor(mean), mean - math.floor(mean)
    for g in (lambda n: n // 2, lambda n: n % 3, lambda n: n >= 3, lambda n: n == 2, lambda n: (n + 1) & 3):
        found = softened(lambda x, g=g: g(count(x)), 0.25)(jnp.asarray(FIVE))
        assert abs(found - ((1 - share) * g(floor) + share * g(floor + 1))) < 1e-12
    found = softened(lambda x: table()[count(x)], 0.25)(jnp.asarray(FIVE))
    assert abs(found - ((1 - share) * TABLE[floor] + share * TABLE[floor + 1])) < 1e-12
