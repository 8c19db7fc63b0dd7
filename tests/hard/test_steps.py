"""heaviside, sign and the roundings: exact values, and the expectation under noise."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import Case, at, check_relaxed, integers, same


def half_integers(low, high):
    return integers(low, high) + 0.5


def tenths(low, high):
    return (np.arange(np.floor(10 * low), np.ceil(10 * high) + 1) + 0.5) / 10


CASES = [
    Case("heaviside", hard.heaviside, lambda x: np.heaviside(x, 0.5), at(0.0)),
    Case("sign", hard.sign, np.sign, at(0.0)),
    Case("floor", hard.floor, np.floor, integers),
    Case("ceil", hard.ceil, np.ceil, integers),
    Case("trunc", hard.trunc, np.trunc, integers),
    Case("round", hard.round, np.round, half_integers),
    Case("tenths", lambda x, **how: hard.round(x, 1, **how), lambda x: np.round(x, 1), tenths),
]
NAMES = {
    "heaviside": jnp.heaviside,
    "sign": jnp.sign,
    "floor": jnp.floor,
    "ceil": jnp.ceil,
    "trunc": jnp.trunc,
    "round": jnp.round,
}
POINTS = [-1.7, -1.0, -0.5, -0.2, 0.0, 0.125, 0.3, 0.5, 0.97, 1.0, 1.25, 2.5, 40.3]
KERNELS = ["logistic", "gaussian", "laplace"]
EDGES = np.array([-np.inf, -1e30, -2.5, -1.5, -1.0, -0.5, -0.0, 0.0, 0.3, 0.5, 1.5, 2.5, 1e8, 1e30, np.inf, np.nan])
EXACT = {"nothing": None, "straight-through": sx.StraightThrough(), "of Soft": sx.StraightThrough(sx.Soft(0.3))}


# Those that are made of a floor by a shift or a sign go through one kernel.
ONE_KERNEL = {"ceil": "laplace", "round": "gaussian", "tenths": "laplace"}
SOFT = [(case, kernel) for case in CASES for kernel in KERNELS if ONE_KERNEL.get(case.name, kernel) == kernel]


@pytest.mark.few(5)
@pytest.mark.parametrize("case, kernel", SOFT, ids=repr)
def test_relaxed_value_and_derivatives(case, kernel, x64):
    for softness in (0.02, 0.35, 0.45, 3.0):  # narrow, both sides of where floors change their formula, wide
        check_relaxed(case, kernel, POINTS, softness, jnp.float64)


@pytest.mark.parametrize("case", [CASES[0], CASES[2]], ids=repr)
def test_relaxed_in_single_precision(case):
    check_relaxed(case, "gaussian", POINTS, 0.3, jnp.float32)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("via", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("of", ["float16", "bfloat16", "float32", "int32", "bool"])
def test_value_is_that_of_jax_numpy(name, via, of):
    x = (
        jnp.asarray(EDGES if of == "float32" else np.clip(EDGES, -1e4, 1e4), of)
        if of.startswith(("f", "bf"))
        else jnp.array([-3, 0, 2]).astype(of)
    )
    as_float = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)
    expected = (
        jnp.heaviside(as_float, jnp.asarray(0.5, as_float.dtype)) if name == "heaviside" else NAMES[name](as_float)
    )
    out = getattr(hard, name)(x, via=via)
    assert out.dtype == as_float.dtype
    same(out, expected)


def test_value_in_double_precision(x64):
    x = jnp.array([0.1 + 1e8, -(2.0**52) - 1, 0.49999999999999994])
    for via in EXACT.values():
        assert hard.round(x, via=via).dtype == jnp.float64
        np.testing.assert_array_equal(hard.round(x, via=via), np.round(np.asarray(x)))


@pytest.mark.parametrize("decimals", [-2, 0, 3])
def test_round_to_decimals(decimals):
    x = jnp.array([123.4567, -0.0005, 250.0])
    np.testing.assert_array_equal(hard.round(x, decimals), jnp.round(x, decimals))
    np.testing.assert_allclose(
        hard.round(x, decimals, via=sx.Soft(1e-5 * 10.0**-decimals))[0], jnp.round(x[0], decimals), rtol=1e-6
    )


def test_heaviside_at_0_is_what_the_caller_says():
    assert hard.heaviside(0.0, 0.25) == 0.25
    assert hard.heaviside(0.0, 0.25, via=sx.StraightThrough(sx.Soft(0.1))) == 0.25
    assert hard.heaviside(0.0, 0.25, via=sx.Soft(0.1)) == 0.5


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("name", ["floor", "ceil", "round"])
def test_under_wide_noise_a_rounding_is_a_line(kernel, name):
    """In single precision as well: nothing cancels."""
    offset = {"floor": -0.5, "ceil": 0.5, "round": 0.0}[name]
    x = jnp.array([-0.3, 0.1, 0.5, 0.9, 1.0])
    for softness in (1e2, 1e6):
        value, tangent = jax.jvp(
            functools.partial(getattr(hard, name), via=sx.Soft(softness, kernel)), (x,), (jnp.ones(5),)
        )
        np.testing.assert_allclose(value, x + offset, atol=2e-5)
        np.testing.assert_allclose(tangent, 1, atol=2e-5)


@pytest.mark.parametrize("name", NAMES)
def test_straight_through_is_the_identity(name):
    f = getattr(hard, name)
    x = jnp.array([-1.5, 0.0, 0.3, jnp.inf])
    value, pullback = jax.vjp(lambda x: f(x, via=sx.StraightThrough()), x)
    np.testing.assert_array_equal(value, f(x))
    np.testing.assert_array_equal(pullback(jnp.arange(4.0))[0], jnp.arange(4.0))
