"""sort, argsort, rank and top_k: exact values along any axis, and the soft ones against n^2 formulas and root finding."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import spanax as sx
from spanax import hard

from . import reference
from .reference import same

X = np.array([[3.0, -1.0, 3.0, 0.5], [np.inf, 0.0, -np.inf, np.inf], [2.0, 2.0, 2.0, 2.0]])
WITH_NAN = np.array([[1.0, np.nan, 2.0, np.nan, 1.0], [0.0, 3.0, -1.0, 3.0, 0.0]])
EXACT = {"nothing": None, "of Soft": sx.StraightThrough(sx.Soft(0.3))}
ROWS = {
    "apart": [0.3, 0.1, 0.25, -0.2, 0.9],
    "ties": [0.5, 0.1, 0.5, 0.5, 0.1],
    "all equal": [2.0, 2.0, 2.0],
    "one": [0.7],
}


# -- exact values


@pytest.mark.parametrize("via", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("axis", [None, 0, -1])
@pytest.mark.parametrize("descending", [False, True])
def test_sort_and_argsort_are_those_of_jax_numpy(via, axis, descending):
    functions = [functools.partial(f, axis=axis, descending=descending) for f in (jnp.sort, jnp.argsort)]
    functions += [functools.partial(f, axis=axis, descending=descending, via=via) for f in (hard.sort, hard.argsort)]
    every = jax.jit(lambda x: [f(x) for f in functions])  # the compiler drops what is only for a derivative
    for of in ("float32", "bfloat16", "int32") if axis == -1 and not via else ("float32",):
        for x in (X, WITH_NAN):
            x = jnp.asarray(x if of != "int32" else np.nan_to_num(x, posinf=9, neginf=-9), of)
            expected, order, out, weights = every(x)
            same(out, np.asarray(expected) if of != "int32" else np.asarray(expected, np.float32))
            n = x.size if axis is None else x.shape[axis]
            same(weights, np.eye(n)[order].astype(out.dtype))


@pytest.mark.parametrize("via", [*EXACT.values(), sx.StraightThrough()], ids=[*EXACT, "straight-through"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_rank_is_that_of_scipy(via, axis):
    rank = jax.jit(lambda x, axis=-1: hard.rank(x, axis, via=via), static_argnums=1)
    for of in ("float32", "float16"):
        out = rank(jnp.asarray(X, of), axis)
        truth = stats.rankdata(X, axis=axis) if axis is not None else stats.rankdata(X)
        np.testing.assert_array_equal(out, truth)
        assert out.dtype == of
    many = np.random.default_rng(0).integers(40, size=(3, 2000))
    np.testing.assert_array_equal(rank(jnp.asarray(many)), stats.rankdata(many, axis=1))


def test_rank_with_nan_is_nan_in_its_row():
    for via in (None, sx.Soft(0.1)):
        out = np.isnan(hard.rank(jnp.asarray(WITH_NAN, jnp.float32), via=via))
        assert out[0].all() and not out[1].any()


@pytest.mark.parametrize("via", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("k", [0, 1, 2])
def test_top_k_is_that_of_jax(via, axis, k):
    both = jax.jit(lambda x: (hard.top_k(x, k, axis=axis, via=via), jax.lax.top_k(x, k, axis=axis)))
    for x in (X, WITH_NAN[:, ::2]):
        (values, weights), (expected, indices) = both(jnp.asarray(x, jnp.float32))
        same(values, expected)
        same(weights, np.eye(x.shape[axis], dtype=np.float32)[indices])


def test_derivatives_without_a_bridge_are_those_of_jax():
    x = jax.random.normal(jax.random.key(0), (3, 4))
    pairs = [
        (hard.sort, jnp.sort),
        (functools.partial(hard.sort, axis=0, descending=True), functools.partial(jnp.sort, axis=0, descending=True)),
        (lambda x: hard.top_k(x, 2)[0], lambda x: jax.lax.top_k(x, 2)[0]),
        (
            lambda x: hard.top_k(jnp.ones_like(x), 2)[0] * x[:, :2],
            lambda x: jax.lax.top_k(jnp.ones_like(x), 2)[0] * x[:, :2],
        ),
    ]
    for ours, theirs in pairs:
        first, second = (
            lambda x, f=f: jnp.sum(jnp.sin(f(x)) * jnp.arange(1.0 * f(x).size).reshape(f(x).shape))
            for f in (ours, theirs)
        )
        run = jax.jit(lambda x, fs=(first, second): [(jax.grad(f)(x), jax.hessian(f)(x)) for f in fs])
        (ours_first, ours_second), (theirs_first, theirs_second) = run(x)
        np.testing.assert_allclose(ours_first, theirs_first, rtol=1e-6)
        np.testing.assert_allclose(ours_second, theirs_second, atol=1e-5)
    ties = jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_array_equal(jax.jacrev(pairs[2][0])(ties), jax.jacrev(pairs[2][1])(ties))


# -- relaxed values and derivatives


@functools.cache
def relaxed(name):
    f = {
        "rank": lambda x, s: hard.rank(x, via=sx.Soft(s)),
        "sort": lambda x, s: hard.sort(x, via=sx.Soft(s)),
        "argsort": lambda x, s: hard.argsort(x, via=sx.Soft(s)),
    }[name]
    return jax.jit(lambda x, s: (f(x, s), jax.jacrev(f)(x, s), jax.jacfwd(f, 1)(x, s), jax.jacfwd(jax.jacrev(f))(x, s)))


TRUTH = {"rank": reference.soft_rank, "sort": reference.soft_sort, "argsort": reference.soft_permutation}


@pytest.mark.few(5)
@pytest.mark.parametrize("softness", [0.05, 0.7])
@pytest.mark.parametrize("row", ROWS)
@pytest.mark.parametrize("name", TRUTH)
def test_relaxed_value_and_derivatives(name, row, softness, x64):
    x, f = np.array(ROWS[row]), TRUTH[name]
    value, slope, of_softness, second = relaxed(name)(jnp.asarray(x), softness)
    np.testing.assert_allclose(value, f(x, softness), atol=1e-12)
    tied = len(np.unique(x)) < len(x)  # there the density of the noise has a kink, and differences err with the step
    exact = {"rank": reference.soft_rank_slope, "sort": reference.soft_sort_slope}.get(name)
    truth = exact(x, softness) if exact else reference.differences(lambda x: f(x, softness), x, 1e-5 * softness)
    np.testing.assert_allclose(slope, truth, atol=1e-6 if not tied or exact else 1e-4)
    h = 1e-4 * softness
    np.testing.assert_allclose(of_softness, reference.differences(lambda s: f(x, float(s)), softness, h), atol=1e-6)
    assert np.all(np.isfinite(second))
    if exact and not tied:
        truth = reference.differences(lambda x: exact(x, softness), x, 1e-4 * softness)
        np.testing.assert_allclose(second, truth, atol=1e-5 / softness)


@pytest.mark.parametrize("name", TRUTH)
def test_relaxed_in_single_precision(name):
    for row in (ROWS["apart"], ROWS["ties"]):
        value, slope, _, _ = relaxed(name)(jnp.asarray(row), 0.3)
        np.testing.assert_allclose(value, TRUTH[name](np.array(row), 0.3), atol=3e-6)
        if name != "argsort":
            exact = reference.soft_rank_slope if name == "rank" else reference.soft_sort_slope
            np.testing.assert_allclose(slope, exact(np.array(row), 0.3), atol=1e-5)


@pytest.mark.parametrize("of, tolerance", [("float32", 2e-6), ("float64", 1e-12)])
def test_many_entries_with_ties(of, tolerance):
    """n = 2000, to a few units in the last place of the largest value."""
    with jax.enable_x64(of == "float64"):
        x = np.round(np.random.default_rng(3).normal(size=2000), 2).astype(of)
        rank, back = jax.vjp(jax.jit(lambda x: hard.rank(x, via=sx.Soft(0.1))), jnp.asarray(x))
        exact = np.float64(x)
        np.testing.assert_allclose(rank, reference.soft_rank(exact, 0.1), rtol=tolerance * 10, atol=tolerance)
        ct = np.random.default_rng(4).normal(size=2000)
        truth = ct @ reference.soft_rank_slope(exact, 0.1)
        np.testing.assert_allclose(back(jnp.asarray(ct, of))[0], truth, atol=tolerance * np.max(np.abs(truth)) * 100)
        values, back = jax.vjp(jax.jit(lambda x: hard.sort(x, via=sx.Soft(0.1))), jnp.asarray(x))
        np.testing.assert_allclose(
            values[::97],
            [reference.soft_quantile(exact, 0.1, k + 0.5) for k in range(0, 2000, 97)],
            atol=tolerance * 50,
        )
        np.testing.assert_allclose(np.sum(back(jnp.ones(2000, of))[0]), 2000, rtol=1e-5)
        np.testing.assert_allclose(np.sum(np.float64(rank)), 2000 * 2001 / 2, rtol=tolerance)


def test_weights_are_doubly_stochastic_and_masks_sum_to_k():
    def of(x):
        via = sx.Soft(0.4)
        descending = hard.sort(x, descending=True, via=via), hard.argsort(x, descending=True, via=via)
        return hard.argsort(x, via=via), descending, [hard.top_k(x, k, via=via) for k in (1, 4, 9)]

    weights, (order, everything), tops = jax.jit(of)(jax.random.normal(jax.random.key(2), (2, 9)))
    np.testing.assert_allclose(np.sum(weights, -1), 1, atol=1e-6)
    np.testing.assert_allclose(np.sum(weights, -2), 1, atol=1e-6)
    assert np.min(weights) >= -1e-7
    np.testing.assert_allclose(everything, np.flip(weights, -2), atol=1e-6)
    for k, (values, by_k) in zip((1, 4, 9), tops, strict=True):
        mask = np.sum(by_k, -2)
        np.testing.assert_allclose(np.sum(mask, -1), k, rtol=1e-6)
        assert np.all(mask <= 1 + 1e-6) and np.all(np.diff(values, axis=-1) <= 0)
        np.testing.assert_allclose(by_k, everything[:, :k], atol=1e-6)
        np.testing.assert_allclose(values, order[:, :k], atol=1e-6)


@pytest.mark.parametrize("axis", [None, 0, -2])
def test_every_axis_is_sorted_as_its_rows_are(axis):
    x = jax.random.normal(jax.random.key(5), (3, 4, 2))
    rows = x.ravel()[None] if axis is None else np.moveaxis(x, axis, -1).reshape(-1, x.shape[axis])
    outs = jax.jit(lambda x: [f(x, axis, via=sx.Soft(0.3)) for f in (hard.rank, hard.sort)])(x)
    for out, truth in zip(outs, (reference.soft_rank, reference.soft_sort), strict=True):
        out = out[None] if axis is None else np.moveaxis(out, axis, -1).reshape(rows.shape)
        np.testing.assert_allclose(out, [truth(np.float64(row), 0.3) for row in rows], atol=1e-5)


# -- edges


@pytest.mark.parametrize("name", ["rank", "sort", "argsort"])
def test_infinities_stay_and_spoil_nothing(name):
    """The finite ones are as if only they were there, a few places up; no derivative, of any order or by the softness, is NaN."""
    finite, x = np.array([0.3, 0.1, 0.2]), jnp.array([jnp.inf, 0.3, -jnp.inf, 0.1, jnp.inf, 0.2])
    outs = relaxed(name)(x, 0.3)
    assert all(np.all(np.isfinite(out)) for out in outs[1:])
    if name == "rank":
        truth = [5.5, 0, 1, 0, 5.5, 0]
        truth[1::2] = reference.soft_rank(finite, 0.3) + 1
    elif name == "sort":
        truth = [-np.inf, *reference.soft_sort(finite, 0.3), np.inf, np.inf]
    else:
        truth = np.zeros((6, 6))
        truth[0, 2] = 1
        truth[1:4, [1, 3, 5]] = reference.soft_permutation(finite, 0.3)
        truth[4:, [0, 4]] = 0.5
    np.testing.assert_allclose(outs[0], truth, atol=3e-6)


@pytest.mark.parametrize("gap", [1.0, 1e3, 1e6])
@pytest.mark.parametrize("name", ["rank", "sort", "argsort"])
def test_wide_gaps_and_narrow_noise(name, gap):
    x = jnp.array([0.0, gap, 3 * gap, gap, 0.5 * gap])
    outs = relaxed(name)(x, 1e-3)
    assert all(np.all(np.isfinite(out)) for out in outs)
    truth = TRUTH[name](np.asarray(x, np.float64), 1e-3)
    np.testing.assert_allclose(outs[0], truth, rtol=0, atol=1e-6 * max(np.max(truth), 1))


@pytest.mark.parametrize("softness", [1e-6, 1e-3, 1.0, 1e3, 1e6])
def test_every_softness(softness):
    """From where the value is the hard one to where all ranks are alike; in single precision."""
    x = np.array([0.3, 0.1, 0.25, -0.2, 0.9], np.float32)
    for name, truth in TRUTH.items():
        value, slope, _, _ = relaxed(name)(jnp.asarray(x), softness)
        exact = truth(np.float64(x), softness)
        np.testing.assert_allclose(value, exact, rtol=0, atol=1e-6 * max(np.max(exact), 3))
        assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("offset", [1e6, -1e6])
def test_an_offset_costs_no_accuracy(offset):
    """In single precision: only differences count."""
    x = np.float32(offset) + np.arange(6, dtype=np.float32)[::-1] / 16
    exact = np.float64(x) - offset
    outs = {name: relaxed(name)(jnp.asarray(x), 0.1) for name in TRUTH}
    for name, tolerance in (("rank", 3e-6), ("sort", 0.04), ("argsort", 3e-6)):  # 1/16 is the spacing of floats there
        value = outs[name][0] - offset if name == "sort" else outs[name][0]
        np.testing.assert_allclose(value, TRUTH[name](exact, 0.1), atol=tolerance)
    np.testing.assert_allclose(outs["sort"][1], reference.soft_sort_slope(exact, 0.1), atol=1e-5)


@pytest.mark.parametrize("of", ["float16", "bfloat16"])
def test_half_precision_is_rounded_once(of):
    x = jnp.asarray(np.random.default_rng(0).normal(size=400), of)
    for f in (hard.rank, hard.sort):
        softness = jnp.asarray(0.1, of).astype(jnp.float32)
        g = jax.jit(lambda x, f=f, softness=softness: f(x, via=sx.Soft(softness)))
        assert g(x).dtype == of
        wide = g(x.astype(jnp.float32))
        np.testing.assert_allclose(g(x).astype(jnp.float32), wide, rtol=float(jnp.finfo(of).eps), atol=1e-3)


@pytest.mark.parametrize("shape, axis", [((0,), -1), ((0, 3), 1), ((0, 3), None), ((3, 0), 1), ((2, 0, 3), 0)])
@pytest.mark.parametrize("via", [None, sx.Soft(0.1)], ids=repr)
def test_no_entries(shape, axis, via):
    x = jnp.zeros(shape)
    for f in (hard.rank, hard.sort):
        assert f(x, axis, via=via).shape == jnp.sort(x, axis).shape
    n = x.size if axis is None else x.shape[axis]
    assert hard.argsort(x, axis, via=via).shape == (*jnp.argsort(x, axis).shape, n)
    if axis is not None:
        values, weights = hard.top_k(x, 0, axis=axis, via=via)
        assert values.shape == jax.lax.top_k(x, 0, axis=axis)[0].shape and weights.shape == (*values.shape, n)


def test_memory_is_linear():
    """Of value and gradient together: twenty arrays of the input's size would do; n^2 would be 4000 of them."""
    for f in (hard.rank, hard.sort):
        for n in (1000, 4000):
            program = jax.jit(jax.grad(lambda x, f=f: jnp.sum(jnp.sin(f(x, via=sx.Soft(0.1))))))
            memory = program.lower(jnp.zeros(n)).compile().memory_analysis()
            assert memory.temp_size_in_bytes < 60 * 4 * n + 20_000


@pytest.mark.parametrize("k", [-1, 5, 2.0, "2"])
def test_a_bad_k_is_refused(k):
    with pytest.raises(sx.SpanaxError, match=r"top_k of k=.* among 4 entries") as caught:
        hard.top_k(jnp.asarray(X), k)
    assert caught.value.remedies == ("k from 0 to 4",)
