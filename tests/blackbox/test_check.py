"""`f.check`: right derivatives agree, wrong ones do not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx

Shape = jax.ShapeDtypeStruct
X = jnp.array([0.3, -1.2, 2.0, 0.7])


def box(via, noise=0.0):
    rng = np.random.default_rng(0)

    def fn(x):
        return np.sum(np.sin(x) + x**2, axis=-1) + noise * rng.normal(size=x.shape[:-1])

    return sx.blackbox(fn, Shape((), float), via=via, batched=True)


def manual(factor):
    return sx.Manual(vjp=lambda x, y, ct: factor * (np.cos(x) + 2 * x) * ct[:, None])


@pytest.mark.few(3)
@pytest.mark.parametrize(
    "via",
    [
        manual(1),
        sx.FiniteDifference(step=1e-2),
        sx.FiniteDifference(),
        sx.Smoothing(0.1, pairs=64),
        sx.Smoothing(0.1, pairs=64, directions="gaussian"),
        sx.SPSA(0.05, samples=64),
    ],
    ids=str,
)
def test_right_derivatives_agree(via, key):
    check = box(via).check(X, key=key)
    assert check.agrees and check.cosine > 0.95 and "agrees with" in str(check)
    assert abs(check.slope - 1) < 4 * check.standard_error + 0.01
    assert check.evaluations == box(via).check(X, key=key).evaluations > 64


@pytest.mark.slow
def test_a_slope_has_the_standard_error_that_it_states():
    """Over 40 keys, the slopes scatter by what they say, within a factor 1.6: a false alarm in 10^4 runs."""
    checks = [
        box(sx.Smoothing(0.1, pairs=8)).check(X, key=k, directions=16) for k in jax.random.split(jax.random.key(1), 40)
    ]
    scatter = np.std([c.slope for c in checks])
    stated = np.sqrt(np.mean([c.standard_error**2 for c in checks]))
    assert stated / 1.6 < scatter < stated * 1.6
    assert abs(np.mean([c.slope for c in checks]) - 1) < 4 * scatter / np.sqrt(40) + 0.02


@pytest.mark.parametrize(("factor", "cosine"), [(2, 1), (-1, -1), (0.5, 1)])
def test_a_wrong_factor_shows_in_the_slope(factor, cosine, key):
    check = box(manual(factor)).check(X, key=key)
    assert not check.agrees and "DIFFERS" in str(check)
    assert check.slope == pytest.approx(1 / factor, rel=1e-2) and check.cosine == pytest.approx(cosine, abs=1e-2)


def test_a_derivative_of_something_else(key):
    wrong = sx.blackbox(lambda x: x**2, lambda x: x, via=sx.Manual(jvp=lambda x, y, v: v[::-1]))
    check = wrong.check(X, key=key)
    assert not check.agrees and not check.decided and "too noisy" in str(check)
    check = wrong.check(X, key=key, directions=2048)
    assert not check.agrees and check.decided and "DIFFERS" in str(check)


def test_noise_lowers_the_cosine_not_the_slope(key):
    noisy = box(sx.FiniteDifference(step=0.3), noise=0.3).check(X, key=key, directions=256)
    assert 0.5 < noisy.cosine < 0.99 and noisy.agrees
    fixed = box(sx.FiniteDifference(step=1e-3), noise=0.3).check(X, key=key, directions=256)
    assert abs(fixed.cosine) < 0.3


@pytest.mark.few(1)
def test_pytrees_and_vector_results(key, dtype):
    def fn(d):
        return {"u": d["a"] * d["b"], "n": d["k"] + 1}

    def out(d):
        return {"u": Shape(d["a"].shape, d["a"].dtype), "n": Shape((), int)}

    x = {"a": jnp.ones(3, dtype), "b": jnp.asarray(2, dtype), "k": jnp.int32(1)}
    assert sx.blackbox(fn, out, via=sx.FiniteDifference(step=1e-2)).check(x, key=key).agrees


def test_what_cannot_be_checked(key):
    f = box(manual(1))
    with pytest.raises(sx.SpanaxError, match="directions=2"):
        f.check(X, key=key, directions=2)
    with pytest.raises(sx.SpanaxError, match="inside a traced program"):
        jax.jit(lambda x: f.check(x, key=key).slope)(X)
    with pytest.raises(sx.SpanaxError, match="no floating-point number"):
        f.check(jnp.arange(3), key=key)


def test_where_nothing_changes(key):
    flat = sx.blackbox(lambda x: 3.0, Shape((), float), via=sx.FiniteDifference(step=0.1), constant=True).check(
        X, key=key
    )
    assert flat.agrees and flat.slope == 1
    silent_zero = box(manual(0)).check(X, key=key)
    assert silent_zero.decided and not silent_zero.agrees and silent_zero.slope == np.inf
    made_up = sx.blackbox(lambda x: 3.0, Shape((), float), via=sx.Manual(vjp=lambda x, y, ct: x)).check(X, key=key)
    assert made_up.decided and not made_up.agrees and made_up.slope == 0
