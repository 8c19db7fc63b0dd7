"""Taking by weights, against jax.numpy with the indices that the one-hot weights stand for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import spanax as sx
from spanax import hard

from .reference import same

A = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 4)), jnp.float32)
INDICES = [np.array(1), np.array([2, 0]), np.array([[1, 1, 0], [0, 2, 1]])]


def weights(indices, n, of=jnp.float32):
    return jax.nn.one_hot(jnp.asarray(indices), n, dtype=of)


@pytest.mark.parametrize("index", INDICES, ids=lambda x: str(x.shape))
@pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3])
def test_take(index, axis):
    n = A.size if axis is None else A.shape[axis]
    index = index % n
    one, other = (np.eye(n, dtype=np.float32)[i % n] for i in (index, index + 1))
    mixed = 0.25 * one + 0.75 * other
    by_weights, by_index, of_both = jax.jit(lambda a: [hard.take(a, i, axis) for i in (one, index, mixed)])(A)
    expected = np.take(np.asarray(A), index, axis)
    np.testing.assert_allclose(by_weights, expected, rtol=1e-6)
    same(by_index, expected)
    np.testing.assert_allclose(
        of_both, 0.25 * expected + 0.75 * np.take(np.asarray(A), (index + 1) % n, axis), rtol=1e-5
    )


@pytest.mark.parametrize("axis", [0, 1, 2, -1])
def test_take_along_axis(axis):
    n = A.shape[axis]
    rng = np.random.default_rng(1)
    shape = [*A.shape]
    shape[axis] = 5
    index = rng.integers(n, size=shape)
    expected = jnp.take_along_axis(A, jnp.asarray(index), axis)
    np.testing.assert_allclose(hard.take_along_axis(A, weights(index, n), axis), expected, rtol=1e-6)
    same(hard.take_along_axis(A, jnp.asarray(index), axis), expected)


@pytest.mark.parametrize("axis", [0, 1, 2, -2])
@pytest.mark.parametrize("descending", [False, True])
def test_taking_by_argsort_sorts(axis, descending):
    out = hard.take_along_axis(A, hard.argsort(A, axis, descending=descending), axis)
    same(out, hard.sort(A, axis, descending=descending))
    same(out, jnp.sort(A, axis, descending=descending))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_taking_by_argmax_is_max(axis):
    out = hard.take_along_axis(A, hard.argmax(A, axis, keepdims=True), axis)
    same(out, jnp.max(A, axis, keepdims=True))
    values, by_k = hard.top_k(A, 2, axis=axis)
    same(hard.take_along_axis(A, by_k, axis), values)


def test_choose():
    index, choices = np.array([[2, 0, 1], [1, 1, 2]]), A[:, :, :3].reshape(-1, 2, 3)[:3]
    expected = jnp.choose(jnp.asarray(index), list(choices))
    np.testing.assert_allclose(hard.choose(weights(index, 3), choices), expected, rtol=1e-6)
    same(hard.choose(jnp.asarray(index), choices), expected)


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("keepdims", [False, True])
def test_dynamic_index(axis, keepdims):
    n = A.shape[axis]
    for index in range(n):
        expected = jax.lax.dynamic_index_in_dim(A, index, axis, keepdims)
        np.testing.assert_allclose(hard.dynamic_index(A, weights(index, n), axis, keepdims), expected, rtol=1e-6)
    for index in (0, n - 1, -1, n + 7):
        same(
            hard.dynamic_index(A, jnp.array(index), axis, keepdims),
            jax.lax.dynamic_index_in_dim(A, index, axis, keepdims),
        )


@pytest.mark.parametrize("bad", [np.inf, np.nan])
def test_entries_of_weight_0_do_not_count(bad):
    a, w = jnp.array([1.0, bad, 3.0]), jnp.array([0.5, 0.0, 0.5])
    value, (da, dw) = jax.value_and_grad(hard.take, (0, 1))(a, w)
    assert value == 2 and da.tolist() == [0.5, 0, 0.5] and np.all(np.isfinite(dw))
    assert not np.isfinite(hard.take(a, jnp.array([0.5, 0.1, 0.4])))


def test_derivative_reaches_entries_and_weights():
    da, dw = jax.grad(hard.take, (0, 1))(jnp.array([2.0, 5.0]), jnp.array([0.25, 0.75]))
    assert da.tolist() == [0.25, 0.75] and dw.tolist() == [2, 5]
    f = lambda x: hard.take(jnp.array([1, 2, 4]), hard.argmax(x, via=sx.Soft(0.3)))
    assert np.all(jax.grad(f)(jnp.array([0.1, 0.3, 0.2])) != 0)


@pytest.mark.parametrize(
    "make, match",
    [
        (lambda: hard.take(A, jnp.ones(5), 1), r"take: weights of shape \[5\] over 3"),
        (lambda: hard.take(A, 0.5), r"take: weights of shape \[\]"),
        (lambda: hard.take(A, jnp.ones(3), 3), r"take of axis 3.*\[2, 3, 4\]"),
        (lambda: hard.take_along_axis(A, jnp.ones((2, 3, 2, 5)), -1), r"take_along_axis: weights of shape"),
        (lambda: hard.take_along_axis(A, jnp.ones((2, 4)), -1), r"take_along_axis: weights of shape \[2, 4\]"),
        (lambda: hard.choose(jnp.ones(2), A), None),
        (lambda: hard.choose(jnp.ones(3), A), r"choose: weights of shape \[3\] over 2"),
        (lambda: hard.dynamic_index(A, jnp.ones(7)), r"over 2"),
    ],
)
def test_what_is_refused(make, match):
    if match is None:
        assert make().shape == (3, 4)
        return
    with pytest.raises(sx.SpanaxError, match=match) as caught:
        make()
    assert caught.value.remedies and "test_taking.py" in caught.value.where
