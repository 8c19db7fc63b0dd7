"""NumPy's makers of functions and of arrays, roots and places: what the tables of functions do not show."""

import bisect
import warnings

import jax
import numpy as np
import pytest

import spanax as sx

from .lines import place
from .test_autograd_like import check

X = np.array([1.3, -0.6, 0.7])
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # the class is not recommended
    M = np.matrix([[2.0, 1.0], [0.5, 3.0]])
P = np.poly1d([1.0, 2.0, -3.0])


@np.vectorize
def early(a, b):
    if a > 0.5:
        return a * b
    return a - b


@np.vectorize(otypes=[float], excluded={"k"})
def growing(a, k=2):
    for _ in range(k):
        if a > 1.0:
            return a
        a = a * 1.7
    return a


def test_vectorize():
    check(lambda x: early(x, x[0]).sum() + early(x[:, None], x).prod() + early(x[0], 2.0), (X,))
    check(lambda x: growing(x, k=3).sum() + growing(x[0]) * growing(np.array([x[1], 0.2])).sum(), (X,))
    check(lambda x: np.vectorize(lambda a: (2 * a, a**2))(x)[1] + np.vectorize(lambda a, b=2.0: a * b)(x, b=x[0]), (X,))


def mixed(x):
    return np.vectorize(lambda a, n: n if n > 1 else a)(x, np.arange(3)).sum()


def test_vectorize_of_several_kinds_of_numbers():
    """NumPy makes all results of the kind of the first, as if by chance."""
    with pytest.raises(sx.SpanaxError, match="otypes"):
        sx.gradient(mixed, X)


def test_polynomials_of_the_world_outside():
    check(lambda x: P(x) + (P * x[0] + np.poly1d(x))(0.3) + (2.0 * P - x[1]).deriv()(x[2]) * (x[1] * P).sum(), (X,))
    check(lambda x: np.poly1d(x)(np.poly1d([1.0, x[1]]))(0.7) + P(np.poly1d(x))(0.2) + np.polyval(P, x[0]), (X,))


def test_multiple_roots_have_no_derivative():
    """A root that is nearly double moves with the square root of the coefficients' error: NaN, and never a number."""
    double = lambda gap: lambda a: np.roots([1.0, -(2 * a + gap), a * (a + gap)]).real[0]
    with jax.enable_x64(True):
        for gap, expected in [(0.0, np.nan), (1e-9, np.nan), (1e-3, 1.0), (1.0, 1.0)]:
            slope = jax.grad(sx.lift(double(gap)))(1.3)
            np.testing.assert_allclose(slope, expected, rtol=1e-6)
        defective = lambda a: np.linalg.eigvals(np.array([[a, 1.0], [0.0, a]])).real.sum()
        assert np.isnan(jax.grad(sx.lift(defective))(1.3))


def test_roots_twice_and_in_batches():
    f = lambda a: np.roots([1.0, 0.0, -a]).real.max()  # sqrt(a)
    with jax.enable_x64(True):
        np.testing.assert_allclose(jax.grad(jax.grad(sx.lift(f)))(2.0), -0.25 * 2.0**-1.5, rtol=1e-10)
        np.testing.assert_allclose(jax.vmap(sx.lift(f))(np.array([1.0, 4.0])), [1.0, 2.0], rtol=1e-12)


def leading_zero(x):
    return np.roots([x - 1.0, 2.0, 1.0]).real.sum()


def test_a_leading_zero_changes_the_degree():
    with pytest.raises(sx.SpanaxError, match="degree") as caught:
        sx.gradient(leading_zero, 1.0)
    assert place(leading_zero, "return") in caught.value.where


def found(x):
    values = [0.5, x[0], x[0] + 2.0]
    bisect.insort(values, x[2])
    bisect.insort_left(values, 0.9)
    total = sum(i * v for i, v in enumerate(values))
    return total + values[bisect.bisect(values, 1.0)] + bisect.bisect_left([0.0, 1.0, 2.0], x[0]) * x[1]


def test_bisect():
    check(found, (X,))


def taken(x):
    return np.take(x, np.argmax(x) + 1)


def chosen(x):
    return np.choose(np.array([3, 0, 0]) + (x > 9), [x, x]).sum()


def counted(x):
    return np.bincount((3 * x).astype(int), minlength=2).sum() * x[0]


@pytest.mark.parametrize("program", [taken, chosen, counted], ids=lambda program: program.__name__)
def test_indices_out_of_bounds(program):
    with pytest.raises(sx.SpanaxError) as caught:
        sx.gradient(program, np.array([0.2, 0.3, 4.0]))
    assert place(program, "return") in caught.value.where


def test_objects_that_nothing_is_differentiated_by():
    def filter_(x):
        z = np.array([[None] * 2]).T
        return x if z.shape == (2, 1) and z[0, 0] is None else 2 * x

    assert sx.gradient(filter_, 3.0) == 1.0


def filtered(x):
    """Kalman's filter."""
    F, H, R = np.matrix([[1.0, x[0]], [0.0, 1.0]]), np.matrix([[1.0, 0.0]]), np.matrix([[0.3]])
    P, s = np.matrix(np.eye(2)) * x[3], np.matrix([[x[1]], [x[2]]])
    for z in [0.1, 0.4, 0.9]:
        s, P = F * s, F * P * F.T + 0.01 * np.eye(2)
        K = P * H.T * (H * P * H.T + R).I
        s = s + K * (np.matrix([[z]]) - H * s)
        P = (np.eye(2) - K * H) * P
    return s[0, 0] + (s.T * s)[0, 0] + np.trace(P.A) + P.sum()


def computed(x):
    A = np.matrix(x.reshape(2, 2))
    total = (
        (A**2).sum() + (A + 1).mean() + (2 - A / 3).max() + (-A).min() + (A * A)[0, 0] + np.linalg.det(A) + A.I[0, 1]
    )
    total += np.linalg.inv(A)[1].sum() + np.multiply(A, A).sum() + A.T[0, 1] * A.H[1, 0] + A.A1 @ A.A1 + np.exp(A).sum()
    total += (
        A.sum(axis=0)[0, 1] + A.mean(1)[1, 0] + A[:, 1][0, 0] + A[0][0, 1] + A[1, :].sum() + A.shape[0] + len(A) * x[0]
    )
    total += (
        np.dot(A, A)[1, 1] + np.hstack([A, A]).sum() + np.asarray(A)[0] @ x[:2] + (A @ A)[0, 1] + (M * x[0] * M).sum()
    )
    return total + (M * np.asmatrix(x[:2]).T)[1, 0] + (x[:2] * M)[0, 1] + (np.linalg.solve(A, x[:2]) * x[:2]).sum()


def written(x):
    A = np.matrix(x.reshape(2, 2))
    B = A
    A[0, 1] = 5 * x[0]
    A[1] = A[0] * 2
    A += 1
    A *= A
    row = A[0]
    row[0, 0] = 7.0
    return (B.sum() + (A * B)[0, 1] + row.sum()) / 1000


def carried(x):
    A = np.matrix(x.reshape(2, 2))
    for _ in range(12):
        A = A * M * 0.03 + A
    B = A if x[0] > 0 else A * 2
    return (A * A)[0, 0] + (B * B).sum()


@pytest.mark.few(2)
@pytest.mark.parametrize("program", [filtered, computed, written, carried], ids=lambda program: program.__name__)
@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices(program):
    """`*` is their product, through loops and branches as well."""
    check(program, (np.array([1.3, -0.6, 0.7, 2.0]),))


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_elsewhere():
    def other(x):
        return np.fft.fft(np.matrix(x)).real.sum()

    with pytest.raises(sx.SpanaxError, match="matrix") as caught:
        sx.gradient(other, X)
    assert place(other, "return") in caught.value.where
