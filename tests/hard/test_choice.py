"""argmax, argmin, max, min and one_hot: weights in place of indices."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import KERNELS, Case, check_relaxed, same

X = jnp.array([[[3.0, -1.0, 3.0], [jnp.inf, 0.0, -jnp.inf]], [[-0.0, 0.0, -2.0], [jnp.nan, 1.0, 2.0]]])
EXACT = {"nothing": None, "straight-through": sx.StraightThrough(), "of Soft": sx.StraightThrough(sx.Soft(0.3))}


@pytest.mark.few(4)
@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -2])
def test_indices_are_those_of_jax_numpy(name, axis):
    for of in ("float32", "bfloat16", "int32"):
        x = X.astype(of) if of != "int32" else jnp.arange(12).reshape(2, 2, 3) % 5
        indices = getattr(jnp, name)(x, axis)
        n = x.size if axis is None else x.shape[axis]
        for via in EXACT.values():
            out = getattr(hard, name)(x, axis, via=via)
            same(out, jax.nn.one_hot(indices, n, dtype=out.dtype))


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@pytest.mark.parametrize("axis", [None, 0, -2])
def test_keepdims(name, axis):
    out = getattr(hard, name)(X, axis, keepdims=True)
    same(jnp.argmax(out, -1), getattr(jnp, name)(X, axis, keepdims=True))
    soft = getattr(hard, name)(X, axis, True, via=sx.Soft(0.1))
    assert soft.shape == out.shape


@pytest.mark.few(5)
@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_extremes_are_those_of_jax_numpy(name, axis, keepdims):
    for via in (None, EXACT["of Soft"]):
        same(getattr(hard, name)(X, axis, keepdims, via=via), getattr(jnp, name)(X, axis=axis, keepdims=keepdims))
    finite = jnp.array([[1.0, 1.0, 0.0], [-2.0, 5.0, 5.0]])
    total = lambda f: jax.grad(lambda x: jnp.sum(jnp.sin(f(x, axis if axis != 1 else 0))))(finite)
    np.testing.assert_array_equal(total(getattr(hard, name)), total(lambda x, axis: getattr(jnp, name)(x, axis=axis)))


def test_smallest_is_the_mirror_image():
    def both(x):
        vias = [sx.Soft(0.5), sx.Soft(0.5, "gaussian")]
        indices = [(hard.argmin(x, 1, via=via), hard.argmax(-x, 1, via=via)) for via in vias]
        return indices + [(hard.min(x, 0, via=via), -hard.max(-x, 0, via=via)) for via in vias]

    for smallest, mirrored in jax.jit(both)(jax.random.normal(jax.random.key(0), (2, 4))):
        np.testing.assert_allclose(smallest, mirrored, atol=1e-6)


def test_straight_through_passes_the_entries():
    for f, sign in ((hard.argmax, 1), (hard.argmin, -1)):
        jacobian = jax.jacrev(functools.partial(f, via=sx.StraightThrough()))(jnp.array([1.0, 3.0, 2.0]))
        np.testing.assert_array_equal(jacobian, sign * np.eye(3))
    with pytest.raises(sx.SpanaxError, match=r"max.*identity"):
        hard.max(X, via=sx.StraightThrough())


@pytest.mark.parametrize("name", ["argmax", "argmin", "max", "min"])
@pytest.mark.parametrize("x, axis", [(jnp.zeros(0), None), (jnp.zeros((2, 0)), 1)], ids=["all", "axis"])
def test_no_entries_are_refused(name, x, axis):
    with pytest.raises(sx.SpanaxError, match=f"{name} of no entries"):
        getattr(hard, name)(x, axis)
    assert getattr(hard, name)(jnp.zeros((0, 2)), 1).shape[0] == 0


@pytest.mark.few(2)
@pytest.mark.parametrize(
    "x", [jnp.array([0.0, 1.0, 2.4, -1.0, 3.0, jnp.nan]), jnp.array(2), jnp.array([[1, 0]])], ids=str
)
def test_one_hot_is_1_at_the_nearest_number(x):
    same(hard.one_hot(jnp.array([2, 0, -1, 3]), 3), jax.nn.one_hot(jnp.array([2, 0, -1, 3]), 3))
    for via in (None, sx.StraightThrough(sx.Soft(0.2))):
        out = hard.one_hot(x, 3, via=via)
        same(out, np.asarray(np.round(np.asarray(x))[..., None] == np.arange(3), np.float32))


ONE_HOT = Case(
    "one_hot",
    lambda x, **how: hard.one_hot(x, 3, **how),
    lambda x: (np.round(x)[:, None] == np.arange(3)) * 1.0,
    lambda low, high: np.arange(-0.5, 3),
)


@pytest.mark.few(2)
@pytest.mark.parametrize("kernel", KERNELS)
def test_one_hot_relaxed(kernel, x64):
    for softness in (0.05, 0.7):
        check_relaxed(ONE_HOT, kernel, [-0.7, -0.5, 0.0, 0.4, 0.5, 1.0, 2.2, 9.0], softness, jnp.float64)


def test_a_masked_entry_is_never_chosen():
    """-inf as in a masked softmax, with a derivative by the temperature."""
    x = jnp.array([0.3, -jnp.inf, 0.1])
    loss = lambda x, s: hard.take(jnp.array([1.0, 2.0, 5.0]), hard.argmax(x, via=sx.StraightThrough(sx.Soft(s))))
    assert loss(x, 0.2) == 1
    by_x, by_softness = jax.jit(jax.grad(loss, (0, 1)))(x, 0.2)
    assert by_x[1] == 0 and by_x[2] > 0 and by_softness > 0
