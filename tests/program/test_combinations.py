"""Programs that put together what the other tests have one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.integrate
import scipy.optimize

import spanax as sx


class Box:
    def __init__(self, a, v):
        self.a, self.v = a, v

    def grow(self, most):
        if self.a > most:
            self.a = self.a / 2
            return self
        self.v = self.v + self.a
        return Box(self.a + 1.0, self.v * 0.9)


def boxes(x):
    """Objects of a branch inside a branch, which are the old one or a new one."""
    b, c = Box(x[2], x * 0.5), Box(x[0], x)
    if x[0] > 0.2:
        if x[1] > 0.2:
            b = b.grow(1.6)
        else:
            b.a = 3.0 * x[0]
        b = b.grow(0.1)
    for k in range(3):
        if x[1] > 0.3 * k:
            c = c.grow(0.5)
    return b.a * np.sum(b.v) + c.a * np.sum(c.v**2)


def constant(x):
    """Infinite slopes at what a selection makes constant, and at what it leaves out."""
    total = np.sum(np.sqrt(np.maximum(x - 1.0, 0.0))) + np.linalg.norm(np.maximum(x - 9.0, 0.0)) * x[1]
    total += (
        np.sqrt(np.maximum(x - 9.0, 0.0) @ np.ones(4)) + np.sqrt(x[x > 9.0].sum()) + np.sqrt(np.clip(x, None, 0.0))[1]
    )
    for k in range(8):
        total = total + np.sqrt(max(x[k % 4] - 0.5, 0.0)) + min(np.sqrt(np.where(x > 0.5, x, 0.0)[k % 4]), 1.0)
    at_least = (
        np.maximum(np.sqrt(x), 0.5).sum() + np.max(np.sqrt(x)) + np.maximum(np.sqrt(x)[0], np.array([0.5, 0.7])).sum()
    )
    s = x[0]
    if x[1] > 0.5:
        s = 0.0
    return total + at_least + np.sqrt(s) * x[2] + np.prod(np.tanh(np.sqrt(np.maximum(x - 2.0, 0.0))))


def inside(x):
    """Selections in what SciPy's solvers are given."""

    def kept(scale):
        divided = np.divide(0.6 * scale, x, out=np.zeros(4), where=x > 0.3)
        return np.sum(divided) + np.sqrt(np.maximum(x - 0.5 * scale, 0.0)).sum()

    total = scipy.optimize.brentq(lambda q: q**3 + q - np.tanh(kept(1.0) / 9), -3.0, 3.0)
    total += scipy.optimize.fsolve(lambda q: q**3 + q - np.tanh(kept(0.9) / 9), [0.5])[0]
    return total + scipy.integrate.quad(lambda q: q + kept(0.1 * q), 0.0, 1.0)[0]


def several(x):
    """Masks, branches, early ends and clamps in one program."""
    y, s = x.copy(), 0.0
    m = y > 0.5
    y[m] = np.sqrt(y[m] - 0.5)
    if x[0] > 0.6:
        s = np.sum(np.sqrt(np.maximum(x - 1.0, 0.0)))
        y[1] = np.linalg.norm(np.where(x > 1, x, 0.0))
    elif x[1] > 0.5:
        s = np.divide(1.0, x, out=np.zeros(4), where=x > 0.4).sum()
    else:
        for e in x:
            if e > 0.3:
                break
            s = s + e**2
    k = 0
    while s < 2.0 and k < 4:
        s = s + np.sqrt(max(s - 0.5, 0.0)) + 0.3
        k += 1
    return s + np.sum(y * y)


def slopes(f, x):
    """By differences, extrapolated; at 0 forward ones, where the root of what is left out has no others."""
    found = []
    for i, e in enumerate(np.eye(len(x))):
        if x[i] == 0.0:
            found.append((4 * f(x + 5e-7 * e) - f(x + 1e-6 * e) - 3 * f(x)) / 1e-6)
        else:
            near, far = ((f(x + h * e) - f(x - h * e)) / (2 * h) for h in (5e-5, 1e-4))
            found.append((4 * near - far) / 3)
    return np.array(found)


def test_values_and_gradients_of_combinations():
    for f, points in [
        (boxes, [[0.3, 0.7, 1.3, 1.0], [0.3, 0.1, 1.9, 1.0], [0.1, 0.4, 0.2, 0.5]]),
        (constant, [[0.0, 0.7, 1.3, 1.8]]),
        (inside, [[0.0, 0.7, 1.3, 1.8]]),
    ]:
        for x in map(np.array, points):
            value, gradient = sx.value_and_gradient(f, x)
            assert np.isclose(value, f(x), rtol=1e-12)
            np.testing.assert_allclose(gradient, slopes(f, x), rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_lanes_of_a_batch_and_both_modes_agree_with_single_calls():
    points = np.array(
        [[0.7, 0.2, 1.3, 0.1], [0.2, 0.7, 0.0, 0.9], [0.1, 0.2, 0.35, 0.1], [1.2, 1.1, 1.5, 0.0], [0.0] * 4]
    )
    want = np.stack([slopes(several, x) for x in points])
    with jax.enable_x64(True):
        f, xs = sx.lift(several), jnp.asarray(points)
        np.testing.assert_allclose(jax.vmap(jax.grad(f))(xs), want, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(jax.vmap(jax.jacfwd(f))(xs), want, rtol=1e-5, atol=1e-5)


def test_a_root_of_a_sum_with_negative_weights_keeps_its_infinite_slope():
    """It is no sum of squares, and its 0 no kink."""

    def interval(x, sign):
        weights = np.array([1.0, -1.0])
        return (
            np.sqrt(np.sum(weights * x**2)),
            np.sqrt(x[0] ** 2 / (-1.0) + 1.0),
            np.sqrt(np.where(x > sign, -1.0, 1.0) * x**2 + 1.0)[0],
        )

    for k, want in enumerate([[np.inf, -np.inf], [-np.inf, 0.0], [-np.inf, 0.0]]):
        found = sx.gradient(lambda x, k=k: interval(x, 0.0)[k], np.ones(2), nan="return")
        np.testing.assert_array_equal(found, want)
    counted = lambda x: (
        np.sqrt(np.sum(x**2) / (len(x[x > -1.0]) + 1.0)) + np.std(x, ddof=1) + np.sqrt(np.sum((x > -1) * x**2))
    )
    assert sx.gradient(counted, np.zeros(2)).tolist() == [0.0, 0.0]
