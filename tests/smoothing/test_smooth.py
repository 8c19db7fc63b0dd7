"""What `smooth`, `Smoothing` and `Guide` promise besides unbiasedness: transformations, structures, keys, and errors."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import qmc

from spanax import SpanaxError
from spanax._math.sobol import DIMENSIONS, sobol_integers
from spanax.bridges.smoothing import Smoothing
from spanax.smoothing import Guide, smooth
from tests.compiling import optimised


def steps(x):
    return jnp.sum(jnp.round(x) ** 2)


def tree_steps(x):
    return jnp.sum(jnp.round(x["a"])) + 2 * jnp.floor(x["b"])


X = jnp.array([0.3, 1.4, -0.7])
TREE = {"a": jnp.array([0.4, 1.1]), "b": jnp.array(0.2)}
WIDE = Smoothing(0.5, 16)


# -- transformations --------------------------------------------------------------------------------------------------


@pytest.mark.few(2)
@pytest.mark.parametrize("options", [{}, {"guide": 2 * X}, {"control_variate": None}], ids=["auto", "guide", "plain"])
def test_every_way_to_differentiate_gives_the_same(options, key):
    g = smooth(steps, via=WIDE, **options)
    slope = jax.grad(g)(X, key=key)
    compiled = jax.jit(jax.grad(g))
    np.testing.assert_allclose(compiled(X, key=key), slope, rtol=1e-5)
    np.testing.assert_allclose(jax.jacfwd(g)(X, key=key), slope, rtol=1e-5)
    keys, xs = jax.random.split(key, 2), jnp.stack([X, X + 1])
    together = jax.jit(jax.vmap(jax.grad(g)))(xs, key=keys)
    np.testing.assert_allclose(together, [compiled(x, key=k) for x, k in zip(xs, keys, strict=True)], rtol=2e-5)


def test_chain_rule_and_scan(key):
    g = smooth(steps, via=WIDE, guide=X)
    slope = jax.grad(lambda t: g(jnp.sin(t) * X, key=key))(0.4)
    np.testing.assert_allclose(slope, jnp.vdot(jax.grad(g)(jnp.sin(0.4) * X, key=key), jnp.cos(0.4) * X), rtol=1e-5)
    keys = jax.random.split(key, 3)
    step = jax.checkpoint(lambda x, total, k: (total + g(x, key=k), None))
    scanned = jax.grad(lambda x: jax.lax.scan(lambda total, k: step(x, total, k), 0.0, keys)[0])(X)
    np.testing.assert_allclose(scanned, sum(jax.grad(g)(X, key=k) for k in keys), rtol=1e-5)


def test_the_value_is_the_mean_at_the_points_and_the_slope_that_of_combine(key):
    via = Smoothing(0.5, 6)
    points = via.points(X, jax.random.split(key, 3)[0])
    values = jax.vmap(steps)(points)
    value, slope = jax.value_and_grad(smooth(steps, via=via, guide=X))(X, key=key)
    np.testing.assert_allclose(value, values.mean(), rtol=1e-6)
    np.testing.assert_allclose(slope, via.combine(X, points, values, guide=X), rtol=1e-5)


def test_dtypes(dtype, key):
    x = {"a": jnp.asarray([0.4, 1.1], dtype), "b": jnp.asarray(0.2, dtype)}
    value, slope = jax.jit(jax.value_and_grad(smooth(tree_steps, via=WIDE)))(x, key=key)
    assert value.dtype == dtype
    assert jax.tree.map(lambda leaf: leaf.dtype, slope) == jax.tree.map(lambda leaf: leaf.dtype, x)


@pytest.mark.slow
def test_half_precision_beside_single(key):
    x = {"a": jnp.array([0.4, 1.1], jnp.bfloat16), "b": jnp.array(0.2)}
    f = lambda x: jnp.sum(jnp.round(x["a"])).astype(jnp.float32) + jnp.floor(x["b"])
    slope = jax.grad(smooth(f, via=Smoothing(0.5, 512), control_variate=None))(x, key=key)
    assert slope["a"].dtype == jnp.bfloat16
    np.testing.assert_allclose(slope["a"].astype(jnp.float32), [1, 1], atol=0.4)


# -- the estimator, against plain NumPy -------------------------------------------------------------------------------


def by_hand(u, change, a, folds):
    """The formula of facts, one pair at a time, in float64."""
    F = [c * v for c, v in zip(change, u, strict=True)]
    L = [(v @ a) * v - a for v in u]
    total = np.zeros(len(a))
    for k in range(len(u)):
        others = [j for j in range(len(u)) if folds[j] != folds[k]]
        mean = np.mean([F[j] for j in others], 0)
        c = np.sum([(F[j] - mean) @ L[j] for j in others]) / np.sum([L[j] @ L[j] for j in others])
        total += F[k] - np.clip(c, 0, 1) * L[k]
    return total / len(u)


@pytest.mark.few(2)
@pytest.mark.parametrize("scale", [1.0, 1e15])
@pytest.mark.parametrize("directions", ["orthogonal", "gaussian", "sobol"])
def test_combine_is_the_formula(directions, scale, x64, key):
    x, a, via = jnp.asarray(X, float), jnp.array([1.0, -2.0, 0.5]), Smoothing(0.3, 12, directions)
    points = via.points(x, key)
    values = scale * jax.vmap(lambda x: jnp.sum(jnp.round(3 * x) * jnp.array([1.0, -2.0, 0.7])))(points)
    u = np.asarray(points[:12] - x[None]) / 0.3
    change = np.asarray(values[:12] - values[12:]) / 0.6
    folds = np.arange(12) // {"orthogonal": 3, "gaussian": 1, "sobol": 6}[directions]
    found = via.combine(x, points, values, guide=scale * a)
    np.testing.assert_allclose(found, by_hand(u, change, scale * np.asarray(a), folds), rtol=1e-10)
    np.testing.assert_allclose(via.combine(x, points, values), change @ u / 12, rtol=1e-10)
    np.testing.assert_allclose(via.combine(x, points, values, guide=jnp.zeros(3)), change @ u / 12, rtol=1e-10)


def test_cotangents_of_vectors_are_products(key):
    via, weights = Smoothing(0.5, 5), {"p": jnp.array([1.0, -2.0]), "q": jnp.array(0.5)}
    points = via.points(X, key)
    values = jax.vmap(lambda x: {"p": jnp.round(x[:2]), "q": jnp.floor(x[2])})(points)
    scalars = values["p"] @ weights["p"] + 0.5 * values["q"]
    np.testing.assert_allclose(via.combine(X, points, values, weights), via.combine(X, points, scalars), rtol=1e-5)


def test_a_linear_function_with_its_own_gradient_for_a_guide_has_little_variance(key):
    """The coefficient is 1 but for a share of 1 in the other pairs: 500 pairs leave 1/500 of the plain error."""
    plain = jax.grad(smooth(lambda x: jnp.vdot(x, X), via=Smoothing(0.1, 500), control_variate=None))(X, key=key)
    slope = jax.grad(smooth(lambda x: jnp.vdot(x, X), via=Smoothing(0.1, 500), guide=X))(X, key=key)
    assert jnp.linalg.norm(slope - X) < 0.02 * jnp.linalg.norm(plain - X)


def test_one_sigma_for_each_leaf(key):
    """In the units of each leaf: measuring a leaf in a thousandth changes nothing but the unit of its derivative."""
    small = smooth(tree_steps, via=Smoothing({"a": 0.5, "b": 0.4}, 256), control_variate=None)
    large = lambda x: tree_steps({"a": x["a"], "b": x["b"] / 1000})
    large = smooth(large, via=Smoothing({"a": 0.5, "b": 400.0}, 256), control_variate=None)
    one = jax.grad(small)(TREE, key=key)
    other = jax.grad(large)({**TREE, "b": TREE["b"] * 1000}, key=key)
    np.testing.assert_allclose(other["a"], one["a"], rtol=1e-3)
    np.testing.assert_allclose(other["b"] * 1000, one["b"], rtol=1e-3)


@pytest.mark.few(4)
@pytest.mark.parametrize("directions", ["orthogonal", "gaussian", "sobol"])
@pytest.mark.parametrize("size, pairs", [(1, 3), (3, 8), (8, 5), (5, 1)])
def test_each_direction_is_standard_normal(directions, size, pairs, key):
    """Mean, variance, fourth moment of each element, products of two: within 5 standard errors, a false alarm in 3000 runs."""
    via, x = Smoothing(1.0, pairs, directions), jnp.zeros(size)
    points = np.asarray(optimised(jax.vmap(lambda k: via.points(x, k)))(jax.random.split(key, 20_000)), float)
    u = points[:, :pairs]
    np.testing.assert_allclose(points[:, pairs:], -u, atol=1e-6)
    for moment, mean, variance in [(u, 0, 1), (u**2, 1, 2), (u**4, 3, 96)]:
        assert np.all(np.abs(moment.mean(0) - mean) < 5 * np.sqrt(variance / len(u)))
    for i, j in itertools.combinations(range(size), 2):
        assert np.all(np.abs(np.mean(u[..., i] * u[..., j], 0)) < 5 / np.sqrt(len(u)))


def test_orthogonal_blocks(key):
    u = Smoothing(1.0, 8).points(jnp.zeros(6), key)[:8]
    for block in (u[:4], u[4:]):
        gram = np.asarray(block @ block.T)
        np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0, atol=1e-5)


@pytest.mark.few(2)
@pytest.mark.parametrize("count, size", [(1, 1), (7, 3), (64, DIMENSIONS), (1000, 10)])
def test_sobol_points_are_those_of_scipy(count, size):
    reference = qmc.Sobol(size, scramble=False, bits=32)
    with np.errstate(all="ignore"):
        expected = np.concatenate([reference.random(1) for _ in range(count)])
    np.testing.assert_array_equal(sobol_integers(count, size) / 2**32, expected)


# -- keys ---------------------------------------------------------------------------------------------------------------


def test_a_pair_shares_the_key_of_f_and_pairs_do_not(key):
    noise = smooth(lambda x, *, key: jax.random.normal(key), via=WIDE, control_variate=None)
    value, slope = jax.value_and_grad(noise)(X, key=key)
    np.testing.assert_array_equal(slope, 0)
    values = jax.jit(jax.vmap(lambda k: noise(X, key=k)))(jax.random.split(key, 500))
    np.testing.assert_allclose(jnp.var(values), 1 / 16, rtol=0.3)


def test_a_key_that_is_given_is_kept(key):
    own = jax.random.key(7)
    by_default = smooth(lambda x, key=own: jax.random.normal(key), via=WIDE)
    by_name = smooth(lambda x, noise_key: jax.random.normal(noise_key), via=WIDE)
    for value in (by_default(X, key=key), by_name(X, own, key=key)):
        np.testing.assert_allclose(value, jax.random.normal(own), rtol=1e-5)


def test_other_arguments_and_the_signature(key):
    def f(x, power, *, shift=0.0):
        return jnp.sum(jnp.round(x) ** power) + shift

    g = smooth(f, via=WIDE)
    np.testing.assert_allclose(g(X, 2, key=key, shift=1.0), smooth(steps, via=WIDE)(X, key=key) + 1, rtol=1e-6)
    assert str(inspect.signature(g)) == "(x, power, *, shift=0.0, key=None)"


def test_a_function_that_cannot_be_vmapped(key):
    def f(x):
        return jax.pure_callback(lambda x: np.float32(np.round(x).sum()), jax.ShapeDtypeStruct((), jnp.float32), x)

    g, reference = smooth(f, via=WIDE), smooth(lambda x: jnp.sum(jnp.round(x)), via=WIDE, control_variate=None)
    np.testing.assert_allclose(jax.grad(g)(X, key=key), jax.grad(reference)(X, key=key), rtol=1e-5)


# -- what is not finite -----------------------------------------------------------------------------------------------


def test_a_nan_value_is_not_lost(key):
    value, slope = jax.value_and_grad(smooth(lambda x: jnp.where(x[0] > 1, jnp.nan, steps(x)), via=WIDE))(X, key=key)
    assert np.isnan(value)
    assert np.all(np.isnan(slope))


@pytest.mark.few(2)
@pytest.mark.parametrize("bad", [{"x": jnp.full(3, jnp.nan)}, {"sigma": -1.0}, {"sigma": 0.0}, {"x": jnp.full(3, 1e7)}])
def test_what_is_found_wrong_too_late_to_raise_is_nan(bad, key):
    """Under jit: f does not see its argument, so that only `smooth` can tell."""

    @jax.jit
    def run(x, sigma):
        return jax.value_and_grad(
            smooth(lambda x: 1.0 + 0 * jnp.sum(jnp.where(x > 0, 1.0, 0.0)), via=Smoothing(sigma))
        )(x, key=key)

    value, slope = run(**{"x": X, "sigma": 0.1, **bad})
    assert np.isnan(value)
    assert np.all(np.isnan(slope))


def test_a_guide_that_is_nan_is_not_lost(key):
    slope = jax.jit(lambda a: jax.grad(smooth(steps, guide=a))(X, key=key))(jnp.array([0.0, jnp.nan, 1.0]))
    assert np.all(np.isnan(slope))


# -- guides -------------------------------------------------------------------------------------------------------------


def test_guide_is_the_bias_corrected_mean():
    guide, gradients = (
        Guide(0.8),
        [{"a": jnp.array([1.0, 2.0])}, {"a": jnp.array([3.0, -2.0])}, {"a": jnp.array([0.0, 1.0])}],
    )
    for gradient in gradients:
        guide = guide.update(gradient)
    weights = np.array([0.8**2, 0.8, 1.0])
    expected = weights @ np.array([[1, 2], [3, -2], [0, 1]]) / weights.sum()
    np.testing.assert_allclose(guide.value["a"], expected, rtol=1e-6)
    assert guide.decay == 0.8


def test_guide_in_a_scan_and_without_derivative(key):
    start = Guide(like=X)
    end, _ = jax.lax.scan(lambda guide, g: (guide.update(g), None), start, jnp.stack([X, X]))
    np.testing.assert_allclose(end.value, X, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(lambda x: jnp.sum(start.update(x).value))(X), 0)


def test_a_guide_without_updates_is_no_guide(key):
    plain = jax.grad(smooth(steps, via=WIDE, control_variate=None))(X, key=key)
    for guide in (Guide(), Guide(like=X)):
        np.testing.assert_allclose(jax.grad(smooth(steps, via=WIDE, guide=guide))(X, key=key), plain, rtol=1e-5)


# -- errors -------------------------------------------------------------------------------------------------------------


def slope_of(f=steps, x=X, key=jax.random.key(0), **options):  # noqa: B008
    return jax.grad(smooth(f, **options))(x, key=key)


ERRORS = {
    "sigma=-0.1": lambda: Smoothing(-0.1),
    "sigma=0": lambda: Smoothing(0),
    "sigma=nan": lambda: Smoothing(float("nan")),
    "sigma=inf": lambda: Smoothing(float("inf")),
    "sigma='wide'": lambda: Smoothing("wide"),
    "sigma=Array([0.1, 0.1]": lambda: Smoothing(jnp.full(2, 0.1)),
    "sigma has the structure": lambda: slope_of(via=Smoothing({"a": 0.1})),
    "too small for x in float32": lambda: slope_of(x=jnp.full(3, 1e6), via=Smoothing(0.1)),
    "pairs=0": lambda: Smoothing(pairs=0),
    "pairs=2.0": lambda: Smoothing(pairs=2.0),
    "directions='random'": lambda: Smoothing(directions="random"),
    "for 65 numbers": lambda: slope_of(x=jnp.zeros(65), via=Smoothing(directions="sobol")),
    "control_variate='best'": lambda: smooth(steps, control_variate="best"),
    "via=0.1": lambda: smooth(steps, via=0.1),
    "would not be used": lambda: smooth(steps, guide=X, control_variate=None),
    "the guide is": lambda: slope_of(guide={"a": X}),
    "shapes [(2,)]": lambda: slope_of(guide=Guide().update(X[:2])),
    "the guide holds a NaN": lambda: slope_of(guide=X * jnp.nan),
    "Guide(decay=1)": lambda: Guide(1),
    "Guide.update(gradient) is": lambda: Guide().update(X).update(TREE),
    "x holds a NaN or an infinity": lambda: slope_of(x=X * jnp.nan),
    "x['b'] holds a NaN": lambda: slope_of(tree_steps, {**TREE, "b": jnp.inf}),
    "x is int32": lambda: smooth(steps)(jnp.arange(3), key=jax.random.key(0)),
    "x['a'] is int": lambda: smooth(tree_steps)({**TREE, "a": 1}, key=jax.random.key(0)),
    "x is complex64": lambda: smooth(steps)(X.astype(complex), key=jax.random.key(0)),
    "x holds no numbers": lambda: slope_of(x=jnp.zeros((0,))),
    "it returned float32[3]": lambda: slope_of(jnp.round),
    "it returned int32[]": lambda: slope_of(lambda x: jnp.sum(x > 0)),
    "it returned tuple": lambda: slope_of(lambda x: (steps(x), x)),
    "one PRNG key is needed": lambda: smooth(steps)(X),
    "a second derivative through smooth(f)": lambda: jax.hessian(smooth(steps))(X, key=jax.random.key(0)),
    "something besides x": lambda: jax.grad(smooth(lambda x, t: t * steps(x)), argnums=1)(
        X, 2.0, key=jax.random.key(0)
    ),
}


@pytest.mark.parametrize("message", ERRORS)
def test_errors_say_what_and_what_to_do(message):
    with pytest.raises(SpanaxError) as caught:
        ERRORS[message]()
    assert message in caught.value.problem
    assert caught.value.remedies


SECOND = {
    "forward over reverse": lambda g: jax.jacfwd(jax.grad(g)),
    "reverse over reverse": lambda g: jax.jacrev(jax.grad(g)),
    "forward over forward": lambda g: jax.jacfwd(jax.jacfwd(g)),
    "through jit": lambda g: jax.jacfwd(jax.jit(jax.grad(g))),
    "through jit, reverse": lambda g: jax.jacrev(jax.jit(jax.grad(g))),
}


@pytest.mark.few(2)
@pytest.mark.parametrize("how", SECOND)
def test_second_derivatives_raise(how, key):
    with pytest.raises(SpanaxError, match="second derivative"):
        SECOND[how](lambda x: smooth(steps, guide=X)(x, key=key))(X)


OTHERS = {
    "an argument": lambda t, key: smooth(lambda x, t: t * steps(x))(X, t, key=key),
    "a keyword": lambda t, key: smooth(lambda x, t: t * steps(x))(X, t=t, key=key),
    "a closure": lambda t, key: smooth(lambda x: t * steps(x))(X, key=key),
    "sigma": lambda t, key: smooth(steps, via=Smoothing(t))(X, key=key),
    "what is rounded": lambda t, key: smooth(lambda x: steps(x) + jnp.round(t))(X, key=key),
    "a closure besides x": lambda t, key: smooth(lambda x: t * steps(x))(t * X, key=key),
}


@pytest.mark.few(3)
@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("what", OTHERS)
def test_derivatives_with_respect_to_anything_else_raise(what, jit, key):
    g = jax.jit(OTHERS[what]) if jit else OTHERS[what]
    with pytest.raises(SpanaxError, match="something besides x"):
        jax.grad(g)(2.0, key)
    with pytest.raises(SpanaxError, match="something besides x"):
        jax.jvp(lambda t: g(t, key), (2.0,), (1.0,))


# -- digits -----------------------------------------------------------------------------------------------------------


def beside(offset, sigma):
    """The slope of offset + x, which is 1, in a program with a derivative of its own and in one whose values alone are known."""
    return jax.grad(smooth(lambda x: offset + x, via=Smoothing(sigma, 16), control_variate=None))


def test_a_change_below_the_digits_is_an_error_or_nan(key):
    """Float32 digits at 1e8 are 8 apart: no point differs, then some by 8 and 16, then enough."""
    for sigma, says in (
        (0.1, r"are the same, 100000000: a change below 8 .* own derivative is not 0"),
        (4.0, "in the last digit"),
    ):
        with pytest.raises(SpanaxError, match=says) as error:
            beside(1e8, sigma)(1.0, key=key)
        assert "test_smooth.py" in str(error.value) and "`sigma`" in str(error.value)
    found = jax.jit(jax.vmap(lambda offset: beside(offset, 0.1)(1.0, key=key)))(jnp.array([1e8, 0.0, 3e7]))
    assert np.isnan(found).tolist() == [True, False, True]
    wide = [jax.jit(beside(1e8, 100.0))(1.0, key=k) for k in jax.random.split(key, 8)]
    np.testing.assert_allclose(
        np.mean(wide), 1, atol=4 * np.sqrt(2 / (8 * 16))
    )  # E u^4 - 1 = 2: a false alarm in 16,000


def test_float32_held_in_float64(key, x64):
    def single(x):
        return (1e8 + x.astype(jnp.float32)).astype(jnp.float64)

    with pytest.raises(SpanaxError, match="in the last digit"):
        jax.grad(smooth(single, via=Smoothing(4.0, 16), control_variate=None))(jnp.float64(1.0), key=key)
    assert np.isfinite(beside(1e8, 0.1)(jnp.float64(1.0), key=key))


FLAT = {
    "a plateau": lambda x: jnp.where(x > 9, 1.0, 0.0),
    "a plateau, large": lambda x: jnp.where(x > 9, 1.0, 1e8),
    "a saturated clip": lambda x: jnp.clip(x, 5.0, 6.0),
    "a value less itself": lambda x: x - jax.lax.stop_gradient(x),
    "nothing": lambda x: 0 * x,
}


def test_what_is_flat_has_derivative_zero(key):
    def slopes(x):
        return [jax.grad(smooth(f, via=Smoothing(0.1, 4), control_variate=None))(x, key=key) for f in FLAT.values()]

    assert slopes(1.0) == jax.jit(slopes)(1.0) == [0.0] * len(FLAT)


def test_a_stationary_point_is_told_from_a_flat_one(key):
    slope = jax.grad(smooth(lambda x: (x - 1) ** 2, via=Smoothing(0.1, 4), control_variate=None))(1.0, key=key)
    np.testing.assert_allclose(slope, 0, atol=1e-6)
