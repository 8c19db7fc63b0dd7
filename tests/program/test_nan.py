"""Derivatives of what is left out, of norms at 0, and NaN that remains."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

import spanax as sx

X = np.array([-0.5, 0.0, 0.75, 2.5])


def helper(x):
    return np.sqrt(x) * np.exp(1 / x)


def wheres(x):
    y = helper(x)
    z = y**3 + np.sin(y) + np.log(x)
    inside = np.abs(x) < 1
    return (
        np.sum(np.where(x > 0, z, x))
        + np.sum(np.where(inside, np.arccos(x) + np.arcsin(x) + np.arctanh(x), 0.0))
        + np.sum(np.where(x > 0, np.where(x > 1, np.sqrt(np.maximum(x - 1, 0)), x**-2.0), 0.0))
        + np.select([x > 1, x > 0], [np.log(x - 1), np.sqrt(x)], -x).sum()
        + np.where(x == 0, 0.0, np.arctan2(x, x * x)).sum()
    )


def written(x):
    out, m = np.zeros_like(x), x > 0
    np.divide(1.0, x, out=out, where=m)
    np.sqrt(out, out=out, where=m)
    np.power(out, 0.3, out=out, where=m)
    y = x.copy()
    y[m] = np.log(x[m]) ** 2 / np.sqrt(x[m])
    ordered = np.where(m, 1 / x, 0.0)[np.argsort(x)]
    pieces = np.piecewise(x, [m], [lambda t: np.sqrt(t) / t, lambda t: t * 2])
    root = np.sqrt(np.maximum(x, 0))
    return (
        ordered[1:].sum()
        + out.sum()
        + y.sum()
        + pieces.sum()
        + np.sum(root, where=m)
        + np.add.reduce(root**3, where=m)
        + np.sum(root * m)
    )


def bodies(x):
    p = np.stack([x, x**2], axis=-1)
    d = p[:, None] - p[None, :]
    r = np.sqrt((d**2).sum(-1))
    by_hand = np.sqrt(d[..., 0] ** 2 + d[..., 1] ** 2)
    inverse = by_hand.copy()
    inverse[inverse > 0] = 1.0 / inverse[inverse > 0]
    pull = np.where(r > 0, 1 / r**3, 0)[..., None] * d
    i, j = np.triu_indices(4, 1)
    total = np.sum(r) - np.triu(inverse, 1).sum() + pull[0].sum() + (1 / by_hand[i, j]).sum()
    np.fill_diagonal(by_hand, 1.0)
    return total + (1 / by_hand).sum() + (r * (1 - np.eye(4))).sum()


def loops(x):
    total = 0.0
    for k in range(4):
        if x[k] > 0:
            total += np.sqrt(x[k]) * math.log(x[k])
        for m in range(4):
            if m != k:
                total += 1 / np.sqrt((x[k] - x[m]) ** 2)
    for k in range(40):
        total += np.where(x[3] > k, np.sqrt(np.maximum(x[3] - k, 0)), 0.0)
    return total


def kinks(x):
    zero = x - x
    norms = (
        np.linalg.norm(zero) + np.linalg.norm(np.outer(zero, x)) + np.linalg.norm(zero, 3) + np.dot(zero, zero) ** 0.5
    )
    spread = np.std(x[:1]) + np.std(np.stack([x, x]), axis=0).sum() + np.hypot(zero, zero).sum()
    return norms + spread + np.abs(np.abs(zero) ** 1.5).sum() + np.linalg.norm(x - 1) ** 2


def others(x):
    kept = np.where(x > 0.1, x, -np.inf)
    real = np.where(x < 0, np.nan, x)
    return (
        scipy.special.logsumexp(kept)
        + np.logaddexp(kept[0], x[2])
        + np.nanmean(real)
        + np.nanstd(real)
        + np.prod(x - x[1])
        + np.cumprod(x - x[0]).sum()
        + np.linalg.eigvalsh(np.eye(3) * x[2]).sum()
        + scipy.special.xlogy(0.0, x[2] - x[2])
        + np.sinc(x - x[2]).sum()
    )


def slopes(f, x):
    """By central differences, extrapolated, at points where no mask changes."""
    found = []
    for d in np.eye(len(x)):
        coarse, fine = ((f(x + h * d) - f(x - h * d)) / (2 * h) for h in (2e-4, 1e-4))
        found.append((4 * fine - coarse) / 3)
    return np.array(found)


@pytest.mark.few(3)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("f", [wheres, written, bodies, loops, kinks, others], ids=lambda f: f.__name__)
def test_what_is_left_out_has_no_derivative(f):
    value, slope = sx.value_and_gradient(f, X)
    assert np.allclose(value, f(X), rtol=1e-12)
    at = np.arange(4) if f in (bodies, kinks) else np.array([0, 2, 3])  # at 0 the others jump
    assert np.allclose(slope[at], slopes(f, X)[at], rtol=1e-6, atol=1e-7) and np.isfinite(slope).all()


def chosen(x):
    if x > 0:
        return np.sqrt(x)
    return 0.0 * x


def sums_of_roots(x):
    total = 0.0
    while x > 0:
        total = total + np.sqrt(x)
        x = x - 1
    return total


def squares(x):
    n = np.linalg.norm(x)
    return n**2 * x[0] + n * np.linalg.norm(x) + np.sum(np.sqrt(np.abs(x)) * np.zeros(2))


def masked(x):
    return np.sum(np.where(x > 0, x * np.sqrt(np.maximum(x, 0)), 0.0))


def test_lanes_modes_and_orders():
    by_lane = jax.vmap(jax.grad(sx.lift(chosen)))(jnp.array([0.0, -1.0, 4.0]))
    assert by_lane.tolist() == [0.0, 0.0, 0.25]
    by_lane = jax.vmap(jax.grad(sx.lift(sums_of_roots)))(jnp.array([0.0, 1.5]))
    assert np.allclose(by_lane, [0.0, 0.5 / 1.5**0.5 + 0.5 / 0.5**0.5])
    f, v = sx.lift(masked), jnp.array([0.0, -1.0, 4.0])
    assert np.allclose(jax.jvp(f, (v,), (jnp.ones(3),))[1], 3.0)
    for hessian in (jax.hessian(f), jax.jacrev(jax.grad(f)), jax.jacfwd(jax.jacfwd(f))):
        assert np.allclose(hessian(v), np.diag([0, 0, 0.375]))
    for hessian in (jax.hessian(sx.lift(squares)), jax.jacfwd(jax.jacfwd(sx.lift(squares)))):
        assert np.allclose(hessian(jnp.zeros(2)), 2 * np.eye(2))
    single = sx.gradient(masked, np.array([0.0, 4.0], np.float32))
    assert single.dtype == np.float32 and single.tolist() == [0.0, 3.0]
    assert sx.gradient(masked, np.zeros(0)).shape == (0,)


def test_infinite_slopes_stay():
    assert sx.gradient(lambda x: np.sqrt(x), 0.0) == np.inf
    assert sx.gradient(lambda x: x**0.5, 0.0) == np.inf
    assert sx.gradient(lambda x: np.sqrt(x) ** 2, 0.0) == 1.0
    assert sx.gradient(lambda x: scipy.special.xlogy(x, x), 0.0) == -np.inf
    assert np.isnan(jax.hessian(sx.lift(lambda x: np.linalg.norm(x)))(jnp.zeros(2))).all()


@pytest.mark.parametrize("size", [1e-200, 1e-3, 1.0, 1e200])
def test_slopes_of_a_hypotenuse(size):
    value, slopes = sx.value_and_gradient(lambda x, y: np.hypot(x, y), size, -size)
    np.testing.assert_allclose(value, np.hypot(size, size), rtol=1e-14)
    np.testing.assert_allclose(slopes, [0.5**0.5, -(0.5**0.5)], rtol=1e-14)


def parallel(x):
    return 1 / (1 / x + 0.5)  # 1, in the limit


def angle(x):
    return np.arccos(x) ** 2  # -2, in the limit


def slanted(x):
    return np.sqrt(np.sqrt(x) ** 2 + (x - x) ** 2)  # infinite: a root is not as smooth as a square needs


def cusp(x):
    return np.sqrt(np.linalg.norm(np.array([x, x])))  # has none


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_nan_of_a_finite_value_is_an_error_with_its_line():
    for f, x, operation in (
        (parallel, 0.0, "division"),
        (angle, 1, "arccos"),
        (cusp, 0.0, "sqrt"),
        (slanted, 0.0, "sqrt"),
    ):
        for call in (sx.gradient, sx.value_and_gradient):
            with pytest.raises(sx.SpanaxError, match=f"derivative of `{operation}`") as raised:
                call(f, x)
            assert raised.value.where == f"{__file__}:{f.__code__.co_firstlineno + 1} ({f.__name__})"
        assert np.isnan(sx.gradient(f, x, nan="return"))
    assert sx.gradient(angle, 0.5) == pytest.approx(-2 * np.arccos(0.5) / 0.75**0.5)
    with pytest.raises(sx.SpanaxError, match="arccos"):
        sx.gradient(lambda x: jnp.arccos(x) ** 2, 1)
    with pytest.raises(sx.SpanaxError, match="nan='no'"):
        sx.gradient(angle, 0.5, nan="no")


def test_a_factor_of_an_outer_program_is_no_mask():
    def outer(w):
        factor = jnp.sqrt(w)
        return sx.lift(lambda a: np.sqrt(a) * factor)(w)

    assert jax.grad(outer)(2.0) == pytest.approx(1.0, rel=1e-5)
    assert jax.grad(outer)(0.0) != 0  # 1 in the limit, and by its factors infinity times 0


def test_under_jit_the_check_runs_with_the_program():
    compiled = jax.jit(lambda x: sx.gradient(angle, x))
    assert compiled(0.5) == pytest.approx(-2 * np.arccos(0.5) / 0.75**0.5, rel=1e-5)
    with pytest.raises(Exception, match="a gradient is NaN where the value is finite"):
        jax.block_until_ready(compiled(1.0))


def test_values_that_are_not_finite_are_returned():
    value, slope = sx.value_and_gradient(lambda x: np.arccos(x) ** 2 + np.inf, 1.0)
    assert value == np.inf and np.isnan(slope)
