"""argmax and max under noise, against quadrature over the place of the maximum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import spanax as sx
from spanax import hard

from .reference import GUMBEL, differences, weights_of_the_largest

NOISES = {"logistic": GUMBEL, "gaussian": stats.norm}
ROWS = [[0.3, 0.1, 0.25], [0.2, 0.2, 0.2], [1.0, 1.0, -4.0], [-0.1, 0.5, 0.45]]


@jax.jit
def soft(x, softness):
    """By kernel: weights, their Jacobian, the maximum, its gradient and Hessian, and derivatives by the softness."""

    def of(kernel):
        weights = lambda x, s: hard.argmax(x, via=sx.Soft(s, kernel))
        largest = lambda x, s: hard.max(x, via=sx.Soft(s, kernel))
        return {
            "weights": weights(x, softness),
            "slope": jax.jacrev(weights)(x, softness),
            "weights by softness": jax.jacfwd(weights, 1)(x, softness),
            "max": largest(x, softness),
            "max slope": jax.grad(largest)(x, softness),
            "max curvature": jax.hessian(largest)(x, softness),
            "max by softness": jax.grad(largest, 1)(x, softness),
        }

    return {kernel: of(kernel) for kernel in NOISES}


@pytest.mark.few(3)
@pytest.mark.parametrize("kernel", NOISES)
@pytest.mark.parametrize("x", ROWS, ids=repr)
def test_relaxed_value_and_derivatives(x, kernel, x64):
    x, softness = np.array(x), 0.3
    out = soft(jnp.asarray(x), softness)[kernel]
    by_x = lambda i: differences(lambda x: weights_of_the_largest(x, softness, NOISES[kernel])[i], x, 1e-3)
    by_softness = lambda i: differences(
        lambda s: weights_of_the_largest(x, float(s), NOISES[kernel])[i], softness, 1e-3
    )
    weights, largest = weights_of_the_largest(x, softness, NOISES[kernel])
    for name, truth in {
        "weights": weights,
        "slope": by_x(0),
        "weights by softness": by_softness(0),
        "max": largest,
        "max slope": weights,  # the envelope theorem
        "max curvature": by_x(0),
        "max by softness": by_softness(1),
    }.items():
        np.testing.assert_allclose(out[name], truth, atol=1e-7, err_msg=name)


@pytest.mark.parametrize("kernel", NOISES)
def test_relaxed_in_single_precision(kernel):
    for x in ROWS:
        weights, largest = weights_of_the_largest(np.array(x), 0.3, NOISES[kernel])
        out = soft(jnp.asarray(x), 0.3)[kernel]
        np.testing.assert_allclose(out["weights"], weights, atol=2e-6)
        np.testing.assert_allclose(out["max"], largest, atol=2e-6)


@pytest.mark.parametrize("kernel", NOISES)
@pytest.mark.parametrize(
    "x",
    [[1.0, 1.2, -np.inf], [1.0, np.inf, -np.inf], [-np.inf] * 3, [np.inf, np.inf, 0.0], [1e30, 1.0, -1e30]],
    ids=repr,
)
def test_infinities_have_no_derivative_and_spoil_none(x, kernel):
    """As in a masked softmax: the finite ones are as if the others were not there."""
    out = soft(jnp.asarray(x), 0.3)[kernel]
    assert all(np.all(np.isfinite(value)) for name, value in out.items() if name != "max")
    assert out["max"] == pytest.approx(np.max(x)) if not np.isfinite(np.max(x)) else np.isfinite(out["max"])
    np.testing.assert_allclose(np.sum(out["weights"]), 1, rtol=1e-6)
    if x[0] == 1.0 and x[1] == 1.2:
        pair = weights_of_the_largest(np.array(x[:2]), 0.3, NOISES[kernel])[0]
        np.testing.assert_allclose(out["weights"], [*pair, 0], atol=1e-6)


@pytest.mark.parametrize("kernel", NOISES)
def test_many_entries_and_a_large_offset(kernel):
    x = jax.random.normal(jax.random.key(1), (500,))
    weights = hard.argmax(x + 1e4, via=sx.Soft(1.0, kernel))
    np.testing.assert_allclose(np.sum(weights), 1, rtol=1e-5)
    exact = weights_of_the_largest(np.asarray(x + 1e4, np.float64) - 1e4, 1.0, NOISES[kernel])[0]
    np.testing.assert_allclose(weights, exact, atol=1e-6)
