"""`soften` itself: its limits, structures, what it lists, when it warns, and what it refuses."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from spanax import SpanaxError, SpanaxWarning
from spanax.smoothing.soften import soften, softened
from tests.gaps.corpus import CASES
from tests.gaps.test_corpus import ids, inputs, settings

X = np.array([0.31, 1.2, -0.43, 0.92, 1.9])
TABLE = np.array([0.3, -1.2, 2.0, 0.7, -0.4])


def line_of(text):
    with open(__file__) as file:
        (number,) = [n for n, line in enumerate(file, 1) if line.rstrip().endswith(f"# {text}")]
    return number


# -- softness -> 0

PLAIN = {
    "where": lambda x: jnp.where(x > 0, x, -2 * x),
    "floor": lambda x: jnp.floor(3 * x),
    "round_decimals": lambda x: jnp.round(x, 1),
    "trunc": jnp.trunc,
    "sign": jnp.sign,
    "floor_divide": lambda x: x // 0.45,
    "remainder": lambda x: x % 0.45,
    "divmod": lambda x: divmod(x, 0.45),
    "cast": lambda x: (3 * x).astype(int) + 1,
    "bits": lambda x: (3 * x).astype(int) & 3,
    "comparison_result": lambda x: {"above": x > 0.5, "not": ~(x > 0.5)},
    "band": lambda x: (x > 0) & (x < 1) | (x > 1.5),
    "signbit": jnp.signbit,
    "copysign": lambda x: jnp.copysign(2.0, x),
    "heaviside": lambda x: jnp.heaviside(x, 0.5),
    "isclose": lambda x: jnp.isclose(x, 0.3, atol=0.1),
    "votes": lambda x: jnp.where(jnp.sum((x > 0).astype(int)) >= 3, x, -x),
    "select": lambda x: jnp.select([x < -1, x < 1], [-x, x * x], 2 * x),
    "piecewise": lambda x: jnp.piecewise(x, [x < 0, x >= 1], [lambda v: -v, lambda v: v * v, lambda v: 3 + v]),
    "argmax": jnp.argmax,
    "table_at_argmax": lambda x: jnp.asarray(TABLE)[jnp.argmax(x)],
    "matrix_rows": lambda x: jnp.outer(x, x)[jnp.arange(5), jnp.argmax(jnp.outer(x, x), -1)],
    "argsort": jnp.argsort,
    "double_argsort": lambda x: jnp.argsort(jnp.argsort(x)),
    "descending": lambda x: jnp.argsort(x, descending=True),
    "take_along_axis": lambda x: jnp.take_along_axis(x, jnp.argsort(x), 0),
    "top_k": lambda x: lax.top_k(x, 3),
    "searchsorted": lambda x: jnp.asarray(TABLE)[jnp.searchsorted(jnp.array([-1.0, 0.0, 1.0]), x)],
    "histogram": lambda x: jnp.histogram(x, bins=4, range=(-2.0, 2.0))[0],
    "nonzero": lambda x: x[jnp.nonzero(x > 0, size=3)[0]],
    "cumulative_mask": lambda x: jnp.where(jnp.cumsum((x > 1).astype(int)) == 0, x, 0.0),
    "bins": lambda x: jax.ops.segment_sum(x**2, jnp.clip(x, 0.0, 3.0).astype(int), 4),
    "scatter": lambda x: x.at[jnp.argmin(x)].set(0.0),
    "scatter_rows": lambda x: jnp.zeros((5, 2)).at[jnp.argmax(x)].add(jnp.ones(2)),
    "median": jnp.median,
    "nan_guard": lambda x: jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1.0)), 0.0),
    "bernoulli": lambda x: jax.random.bernoulli(jax.random.key(0), jax.nn.sigmoid(x)),
}


def close(found, expected, tolerance):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.shape == b.shape and jnp.issubdtype(a.dtype, jnp.floating)
        assert np.allclose(np.asarray(a), np.asarray(b, float), atol=tolerance, rtol=tolerance)


@pytest.mark.few(12)
@pytest.mark.parametrize("name", PLAIN)
def test_no_softness_is_the_hard_program(name):
    f, x = PLAIN[name], jnp.asarray(X, jnp.float32)
    close(jax.jit(softened(f, 1e-4))(x), f(x), 1e-5)


@pytest.mark.few(12)
@pytest.mark.parametrize("name", PLAIN)
def test_straight_through_has_the_hard_values(name, x64):
    f, x = PLAIN[name], jnp.asarray(X)
    close(jax.jit(softened(f, 0.3, straight_through=True))(x), f(x), 1e-12)


def test_straight_through_derivatives(x64):
    x = jnp.asarray(X)
    soft, through = softened(jnp.floor, 0.2), softened(jnp.floor, 0.2, straight_through=True)
    assert np.allclose(*jax.jit(lambda x: [jax.jacrev(f)(x) for f in (through, soft)])(x), atol=1e-14)
    chosen = lambda x: jnp.where(x > 0.5, 3.0, 1.0)
    slopes = [jax.vmap(jax.grad(softened(chosen, 0.2, straight_through=t)))(x) for t in (False, True)]
    assert np.allclose(*slopes, atol=1e-14) and np.all(slopes[0] > 0)
    second = [jax.jit(jax.grad(jax.grad(softened(chosen, 0.2, straight_through=t))))(0.6) for t in (False, True)]
    assert np.isclose(*second)


# -- structures


@jax.custom_jvp
def own_rule(x):
    return jnp.sin(x)


own_rule.defjvps(lambda t, out, x: 7.0 * t)


@jax.custom_jvp
def own_rule_of_a_step(x):
    return jnp.where(x > 0.5, 3.0, 1.0)


own_rule_of_a_step.defjvps(lambda t, out, x: 7.0 * t)


def in_scan(f):
    return lambda x: lax.scan(lambda c, _: (c, f(x)), 0.0, length=2)[1][1]


def in_while(f):
    body = lambda state: (state[0] + 1, state[1], f(state[1]))
    return lambda x: lax.while_loop(lambda state: state[0] < 1, body, (0, x, jnp.zeros_like(x)))[2]


WRAPPED = {
    "jit": jax.jit,
    "checkpoint": jax.checkpoint,
    "cond": lambda f: lambda x: lax.cond(jnp.asarray(TABLE)[0] > 0, f, jnp.sin, x),
    "switch": lambda f: lambda x: lax.switch(jnp.asarray(2), [jnp.sin, jnp.cos, f], x),
    "scan": in_scan,
    "while": in_while,
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x]))[1],
    "map": lambda f: lambda x: lax.map(f, jnp.stack([x, x]))[1],
    "jvp_inside": lambda f: lambda x: jax.jvp(lambda v: f(x) * v, (x,), (jnp.ones_like(x),))[1],
    "filter_jit": eqx.filter_jit,
    "three_deep": lambda f: jax.jit(in_scan(lambda x: lax.cond(x > 9.0, jnp.sin, jax.checkpoint(f), x))),
    "four_deep": lambda f: in_scan(in_scan(jax.jit(lambda x: jax.vmap(f)(x[None])[0]))),
}


def jumping(x):
    return jnp.where(x > 0.5, jnp.floor(2 * x), -x)


@functools.cache
def plain(x):
    """Value and derivative of `jumping`, softened, without a structure around it; not compiled as one program."""
    return [float(y) for y in jax.value_and_grad(softened(jumping, 0.2))(x)]


@pytest.mark.few(4)
@pytest.mark.parametrize("name", WRAPPED)
def test_structures_make_no_difference(name, x64):
    wrapped = softened(WRAPPED[name](jumping), 0.2)
    forward = jax.jit(lambda x: jax.jvp(wrapped, (x,), (1.0,)))  # a while loop has no other mode
    reverse = jax.jit(jax.value_and_grad(wrapped if name != "while" else softened(jumping, 0.2)))
    for x in (0.3, 1.4):
        assert np.allclose(forward(x), plain(x), atol=1e-12)
        assert np.allclose(reverse(x), plain(x), atol=1e-12)
    if name in ("jit", "cond"):  # a program that is not compiled as one
        assert np.allclose(wrapped(1.4), plain(1.4)[0], atol=1e-12)


def test_own_rules_stay_where_nothing_is_softened(x64):
    assert np.isclose(jax.grad(softened(lambda x: own_rule(x), 0.2))(0.6), 7.0)
    soft = jax.grad(softened(lambda x: own_rule_of_a_step(x), 0.2))(0.6)
    assert np.isclose(soft, 2 * np.exp(-0.125) / (0.2 * np.sqrt(2 * np.pi)))
    assert np.isclose(jax.grad(softened(jax.nn.relu, 0.2))(0.6), 1.0)


def test_branches_nest(x64):
    """A choice in a choice, of two independent comparisons: a product of chances."""

    def f(x):
        inner = lambda x: lax.cond(x[1] > 0, lambda x: 5.0 + x[0], lambda x: 2.0 * x[0], x)
        return lax.cond(x[0] > 0, inner, lambda x: -1.0, x)

    x = jnp.array([0.1, -0.2])
    p, q = (float(softened(lambda v: v > 0, 0.3)(v)) for v in x)
    expected = p * (q * 5.1 + (1 - q) * 0.2) - (1 - p)
    assert np.isclose(softened(f, 0.3)(x), expected, atol=1e-12)


def test_what_is_not_taken_does_not_leak(x64):
    f = lambda x: lax.cond(x > 0, lambda x: jnp.sqrt(jnp.abs(x)) / x**3, lambda x: 1.0 / x, x)
    for x, slope in ((4.0, jax.grad(f)(4.0)), (-4.0, jax.grad(f)(-4.0))):
        value, derivative = jax.value_and_grad(softened(f, 0.1))(x)
        assert np.isclose(value, f(x)) and np.isclose(derivative, slope)
    root = lambda x: lax.cond(x > 0.5, jnp.sqrt, lambda x: 2 * x, x)
    assert jax.grad(softened(root, 0.03))(0.0) == 2  # the root's own slope is infinite there
    assert softened(lambda x: jnp.where(x > 0, 1.0, jnp.inf), 0.1)(0.05) == 1
    assert softened(lambda x: jnp.where(x > 0, jnp.nan, x), 0.1)(-0.05) == -0.05


def test_transformations_of_a_softened_function(x64):
    f = softened(lambda p, *, shift: {"y": jnp.sum(jnp.where(p["x"] > shift, p["w"], 0.0)), "n": p["n"] + 1}, 0.2)
    p = {"x": jnp.asarray(X), "w": jnp.asarray(TABLE), "n": jnp.arange(3)}
    out = f(p, shift=0.3)
    assert out["n"].dtype == p["n"].dtype  # no float reaches it
    many = jax.vmap(lambda shift: f(p, shift=shift)["y"])(jnp.array([0.3, 0.4]))
    assert np.isclose(many[0], out["y"])
    check_grads(jax.jit(lambda x: f({**p, "x": x}, shift=0.3)["y"]), (p["x"],), order=2)


def test_closures_and_other_arguments(x64):
    step = lambda w: softened(lambda x: jnp.where(x > w, 1.0, 0.0), 0.2)(0.5)
    assert np.isclose(
        jax.grad(step)(0.4), -jax.grad(lambda x: softened(lambda x: jnp.where(x > 0.4, 1.0, 0.0), 0.2)(x))(0.5)
    )
    named = softened(lambda x, how, twice=False: jnp.floor(x) if how == "floor" else x, 0.2)
    assert named(0.7, "other") == 0.7 and named(0.7, how="floor") != 0


def test_what_no_argument_reaches_stays(x64):
    """A mask of constants, a loop counter and a draw from a key are what they are."""
    key = jax.random.key(3)

    def f(x, n):
        mask = jnp.where(jnp.asarray(TABLE) > 0, x, -x) * (jax.random.uniform(key, (5,)) < 0.5)
        return mask, jnp.where(n > 2, n, 0), lax.fori_loop(0, 4, lambda i, c: jnp.where(i < 2, c + 1.0, 2.0 * c), 0.0)

    with jax.numpy_dtype_promotion("standard"):
        found, expected = softened(f, 0.5)(jnp.asarray(X), 4), f(jnp.asarray(X), 4)
    assert all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in zip(found, expected, strict=True))


def test_softness_has_a_derivative(x64):
    f = lambda s: softened(lambda x: x > 0.3, s)(0.5)
    check_grads(f, (0.3,), order=1)
    assert np.isnan(jax.jit(f)(-0.1))


# -- what stays hard


def test_kept_hard(x64):
    def f(x, n):
        y = lax.while_loop(lambda c: jnp.sum(c) < 9.0, lambda c: 2 * c, jnp.abs(x) + 1)  # the loop
        z = jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)  # the callback
        bits = lax.bitcast_convert_type(x, int)  # the bits
        key = jax.random.fold_in(jax.random.key(0), jnp.round(x[0]).astype(int))  # the key
        order = lax.sort((x, y, z), num_keys=2)[1]  # the sort
        lax.bitcast_convert_type(y, int)  # reaches no result
        count = jnp.where(n > 3, 1.0, 0.0) + jnp.sum(jnp.where(jnp.isnan(x), 0.0, x)) + jax.nn.softmax(x)[0]
        return y + order + count + jnp.where(x > 0, 1.0, 0.0), bits, jax.random.normal(key), jnp.sin(x)

    kept = softened(f, 0.1).kept_hard(jnp.asarray(X), jnp.asarray(3))
    assert [(k.operation, k.where.split(":")[1]) for k in kept] == [
        (operation, str(line_of(f"the {name}")))
        for operation, name in (
            ("while loop whose length depends on what is softened", "loop"),
            ("host callback", "callback"),
            ("bitcast_convert_type", "bits"),
            ("random_fold_in", "key"),
            ("sort by several keys", "sort"),
        )
    ]
    assert str(kept[1]).startswith("host callback at ") and __file__ in str(kept[1])


def test_kept_hard_needs_only_shapes():
    f = lambda x: lax.bitcast_convert_type(x, jnp.int32) + jnp.asarray(x > 0).astype(jnp.int32)
    assert len(softened(f, 0.1).kept_hard(jax.ShapeDtypeStruct((3,), jnp.float32))) == 1


def test_a_while_loop_stays_whole(x64):
    """Its values are the hard program's, and so is its derivative."""
    f = lambda x: lax.while_loop(lambda c: c < 10.0, lambda c: jnp.where(c > 2.0, 2 * c, c + 1.0), x)
    assert softened(f, 0.5)(1.3) == f(1.3)
    assert jax.jvp(softened(f, 0.5), (1.3,), (1.0,))[1] == jax.jvp(f, (1.3,), (1.0,))[1]


# -- the warning


def ball(x):
    def step(state, _):
        height, speed = state
        height, speed = height + 0.1 * speed, speed - 1.0
        return lax.cond(height < 0, lambda: (-height, -0.8 * speed), lambda: (height, speed)), None  # the bounce

    return lax.scan(step, (x, jnp.zeros_like(x)), length=6)[0][0]


def counter(x):
    step = lambda n, t: (n + jnp.where(t + x > 0, 1.0, 0.0), t + x > 0)
    return lax.scan(step, 0.0, jnp.linspace(-1.0, 1.0, 5))[0]


MIXES = {
    "ball": ball,
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: jnp.where(c > x, c, 2.0 * c), x),
    "while": lambda x: lax.while_loop(lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.where(x > 0, s[1], 2.0)), (0, x))[1],
    "inner": lambda x: lax.scan(lambda c, _: (c + ball(x), None), 0.0, length=2)[0],
    "in_jit": lambda x: jax.jit(ball)(x),
}
MIXES_NOT = {
    "counter": counter,
    "outside": lambda x: jnp.where(x > 0, x, 0.0),
    "only_out": lambda x: lax.scan(lambda c, _: (2 * c, jnp.where(x > 0, c, 0.0)), 1.0, length=3)[1],
    "fixed": lambda x: lax.scan(lambda c, i: (jnp.where(i > 1, c * x, c), None), 1.0, jnp.arange(3))[0],
}


@pytest.mark.few(3)
@pytest.mark.parametrize("name", MIXES)
def test_a_mixed_state_warns(name):
    with pytest.warns(SpanaxWarning, match="mixes two states"):
        soften(MIXES[name], 0.1)(0.6)
    softened(MIXES[name], 0.1)(0.6)


@pytest.mark.few(3)
@pytest.mark.parametrize("name", MIXES_NOT)
def test_other_loops_do_not_warn(name):
    soften(MIXES_NOT[name], 0.1)(0.6)


def test_the_warning_says_where():
    with pytest.warns(SpanaxWarning) as caught:
        soften(ball, 0.1)(0.6)
    assert len(caught) == 1 and f"{__file__}:{line_of('the bounce')}" in str(caught[0].message)
    assert caught[0].filename == __file__


# -- refusals


@pytest.mark.parametrize("softness", [0, -0.1, float("nan"), float("inf"), "soft", None, np.ones(3), 1j])
def test_refuses_a_softness_that_is_none(softness):
    with pytest.raises(SpanaxError, match="softness"):
        soften(jnp.floor, softness)


def test_repr():
    assert repr(soften(ball, 0.1)) == "soften(ball, 0.1, straight_through=False)"


# -- the corpus: no crash, f's structure, finite where f is


@pytest.mark.few(8)
@pytest.mark.parametrize("family", sorted({case.family for case in CASES}))
def test_corpus(family):
    cases = [case for case in CASES if case.family == family]
    with settings(cases[0]):
        xs = [jnp.asarray(inputs(case)[0]) for case in cases]
        both = lambda xs: [(softened(c.function, 0.1)(x), c.function(x)) for c, x in zip(cases, xs, strict=True)]
        for case, (soft, hard) in zip(cases, jax.jit(both)(xs), strict=True):
            assert jax.tree.structure(soft) == jax.tree.structure(hard), ids(case)
            for a, b in zip(jax.tree.leaves(soft), jax.tree.leaves(hard), strict=True):
                assert a.shape == b.shape, ids(case)
                assert np.all(np.isfinite(a) | ~np.isfinite(b)), ids(case)
