"""Many points of a black box at once, without a derivative."""

import jax
import numpy as np
import pytest

import spanax as sx

SCALAR = jax.ShapeDtypeStruct((), float)


def square(x, seed=0):
    return np.sum(x**2) + seed % 1000


def test_rows_in_and_results_out():
    f = sx.blackbox(lambda x: {"a": x["u"] * 2, "b": np.sum(x["v"])}, {"a": SCALAR, "b": SCALAR}, via=sx.SPSA(0.1))
    Y, kept = f.evaluate({"u": np.arange(3.0), "v": np.ones((3, 4))})
    assert list(Y["a"]) == [0, 2, 4] and list(Y["b"]) == [4, 4, 4] and kept.all()
    assert f.stats().calls == 1 and f.stats().evaluations == 3


def test_failed_points_raise_or_are_left_out():
    f = lambda x: np.nan if x > 1 else x
    strict = sx.blackbox(f, SCALAR, via=sx.SPSA(0.1))
    with pytest.raises(sx.SpanaxError, match="returned NaN"):
        strict.evaluate(np.arange(3.0))
    Y, kept = sx.blackbox(f, SCALAR, via=sx.SPSA(0.1), run=sx.Run(on_failure="drop", retries=0)).evaluate(
        np.arange(3.0)
    )
    assert kept.tolist() == [True, True, False] and np.isnan(Y[2]) and Y[1] == 1


def test_rows_of_a_noisy_function_have_seeds_of_their_own():
    f = sx.blackbox(square, SCALAR, via=sx.SPSA(0.1), noisy=True)
    X = np.ones((4, 2), np.float32)
    Y, _ = f.evaluate(X, key=jax.random.key(0))
    assert len(set(Y.tolist())) == 4
    keys = jax.random.split(jax.random.key(1), 2)[np.array([0, 1, 0, 1])]
    Y, _ = f.evaluate(X, key=keys)
    assert Y[0] == Y[2] != Y[1] == Y[3] and Y[0] == f(X[0], key=keys[0])
    with pytest.raises(sx.SpanaxError, match="without a key"):
        f.evaluate(X)


@pytest.mark.parametrize("X", [np.float32(1.0), np.zeros((0, 2)), {"a": np.zeros(2), "b": np.zeros(3)}])
def test_rows_that_do_not_fit_together(X):
    f = sx.blackbox(np.sum, SCALAR, via=sx.SPSA(0.1))
    with pytest.raises(sx.SpanaxError, match="rows of x"):
        f.evaluate(X)


def test_nothing_is_evaluated_beyond_the_bounds():
    f = sx.blackbox(np.sum, SCALAR, via=sx.SPSA(0.1), bounds=(-1.0, 1.0))
    with pytest.raises(sx.SpanaxError):
        f.evaluate(np.full((2, 2), 2.0))


def test_the_users_own_derivative_in_rows():
    f = sx.blackbox(lambda x: x**2, SCALAR, via=sx.Manual(vjp=lambda x, y, ct: 2 * x * ct))
    X = np.arange(3, dtype=np.float32)
    Y, _ = f.evaluate(X)
    assert f.pull_back(X, Y, np.ones(3, np.float32)).tolist() == [0, 2, 4]
    with pytest.raises(sx.SpanaxError, match="no derivative of its own"):
        sx.blackbox(np.sum, SCALAR, via=sx.SPSA(0.1)).pull_back(X, Y, Y)
