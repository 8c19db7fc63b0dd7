"""abs, relu, clip, maximum and minimum: JAX's values and derivatives without a bridge, and rounded kinks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import KERNELS, Case, at, check_relaxed, differences, same

LOW, HIGH = -0.25, 0.75
CASES = [
    Case("relu", hard.relu, lambda x: np.maximum(x, 0), at(0.0)),
    Case("abs", hard.abs, np.abs, at(0.0)),
    Case("clip", lambda x, **how: hard.clip(x, LOW, HIGH, **how), lambda x: np.clip(x, LOW, HIGH), at(LOW, HIGH)),
    Case("clip above", lambda x, **how: hard.clip(x, max=HIGH, **how), lambda x: np.minimum(x, HIGH), at(HIGH)),
    Case("clip nothing", lambda x, **how: hard.clip(x, **how), lambda x: x, at()),
    Case("maximum", lambda x, **how: hard.maximum(x, LOW, **how), lambda x: np.maximum(x, LOW), at(LOW)),
    Case("minimum", lambda x, **how: hard.minimum(HIGH, x, **how), lambda x: np.minimum(x, HIGH), at(HIGH)),
]
POINTS = [-3.0, -0.3, LOW, -0.125, 0.0, 0.25, 0.5, HIGH, 1.0, 20.0]
EXACT = {"nothing": None, "of Soft": sx.StraightThrough(sx.Soft(0.3))}
EDGES = jnp.array([-jnp.inf, -1e30, -1.0, -0.0, 0.0, 0.5, 2.0, 1e30, jnp.inf, jnp.nan])
OPERATIONS = {
    "relu": (hard.relu, jax.nn.relu),
    "abs": (hard.abs, jnp.abs),
    "clip": (lambda x, **how: hard.clip(x, -0.5, 0.5, **how), lambda x: jnp.clip(x, -0.5, 0.5)),
    "maximum": (lambda x, **how: hard.maximum(x, 0.5, **how), lambda x: jnp.maximum(x, 0.5)),
    "minimum": (lambda x, **how: hard.minimum(x, 0.5, **how), lambda x: jnp.minimum(x, 0.5)),
}


@pytest.mark.few(6)
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_relaxed_value_and_derivatives(case, kernel, x64):
    for softness in (0.02, 0.3, 5.0):
        check_relaxed(case, kernel, POINTS, softness, jnp.float64)


@pytest.mark.few(2)
@pytest.mark.parametrize("case", CASES, ids=repr)
def test_relaxed_in_single_precision(case):
    check_relaxed(case, "logistic", POINTS, 0.3, jnp.float32)


@pytest.mark.few(10)
@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("via", EXACT.values(), ids=EXACT)
@pytest.mark.parametrize("of", ["float32", "bfloat16"])
def test_value_is_that_of_jax_numpy(name, via, of):
    ours, theirs = OPERATIONS[name]
    same(ours(EDGES.astype(of), via=via), theirs(EDGES.astype(of)))


@pytest.mark.parametrize("name", OPERATIONS)
def test_derivative_without_a_bridge_is_that_of_jax(name):
    ours, theirs = (jax.vmap(jax.grad(f))(EDGES[:-1]) for f in OPERATIONS[name])
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("kernel", KERNELS)
def test_nothing_cancels_next_to_large_numbers(kernel):
    """In single precision: masks and sentinels of 1e10 and more."""
    via = sx.Soft(0.1, kernel)
    assert hard.maximum(1.0, -1e10, via=via) == hard.maximum(-1e30, 1.0, via=via) == 1
    assert hard.minimum(1.0, 1e10, via=via) == hard.minimum(1e30, 1.0, via=via) == 1
    assert hard.clip(1e8, 0.0, 1.0, via=via) == hard.clip(jnp.inf, 0.0, 1.0, via=via) == 1
    assert hard.clip(-1e8, 3.0, 1e9, via=via) == hard.clip(-jnp.inf, 3.0, 1e9, via=via) == 3
    assert jax.grad(lambda s: hard.relu(1e5, via=sx.Soft(s, kernel)))(0.1) == 0


def clipped(bounds, x, via):
    return hard.clip(x, bounds[0], bounds[1], via=via)


@pytest.mark.parametrize("via", [sx.Soft(0.3), sx.StraightThrough(sx.Soft(0.3))], ids=repr)
def test_derivative_with_respect_to_the_bounds(via, x64):
    """Against differences of the expectation: once, not once by the hard value and once more by the soft one."""
    soft, slope = jax.jit(lambda b, x: clipped(b, x, sx.Soft(0.3))), jax.jit(jax.grad(lambda b, x: clipped(b, x, via)))
    for x in (-1.0, -0.25, 0.2, 2.0):
        truth = differences(lambda b, x=x: np.asarray(soft(jnp.asarray(b), x)), np.array([LOW, HIGH]), 1e-3)
        np.testing.assert_allclose(slope(jnp.array([LOW, HIGH]), x), truth, atol=1e-9)


def test_straight_through_holds_the_bounds_and_passes_x():
    slopes = jax.grad(lambda x, low, high: hard.clip(x, low, high, via=sx.StraightThrough()), (0, 1, 2))(3.0, 0.0, 1.0)
    assert slopes == (1, 0, 0)
    assert jax.grad(lambda x: hard.relu(x, via=sx.StraightThrough()))(-3.0) == 1


@pytest.mark.parametrize("name", ["abs", "maximum", "minimum"])
def test_what_is_not_like_the_identity_is_refused(name):
    with pytest.raises(sx.SpanaxError, match=rf"(?s){name}.*identity.*StraightThrough\(Soft"):
        OPERATIONS[name][0](1.0, via=sx.StraightThrough())


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_derivatives_of_two_arguments_share_1(name):
    f = lambda x, y: getattr(hard, name)(x, y, via=sx.Soft(0.3))
    for x, y in ((0.4, 0.5), (0.5, 0.5), (jnp.inf, 1.0), (-jnp.inf, -jnp.inf), (1e30, -1e30)):
        dx, dy = jax.grad(f, (0, 1))(x, y)
        np.testing.assert_allclose(dx + dy, 1, rtol=1e-6)
        assert 0 <= dx <= 1


def test_arguments_are_broadcast():
    x, low = jnp.arange(6.0).reshape(2, 3), jnp.array([[1.0], [4.0]])
    same(hard.clip(x, low, via=EXACT["of Soft"]), jnp.clip(x, low))
    same(hard.maximum(x, low), jnp.maximum(x, low))
    assert hard.clip(jnp.array([1, 5]), max=3).tolist() == [1.0, 3.0]
