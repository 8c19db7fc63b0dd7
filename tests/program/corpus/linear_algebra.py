"""Linear algebra: `np.linalg`, `scipy.linalg`, and the algorithms that textbooks write as loops."""

import numpy as np
import scipy.linalg

from ._case import Case


def ridge(X, y, penalty):
    A = X.T @ X + penalty * np.eye(X.shape[1])
    beta = np.linalg.solve(A, X.T @ y)
    return np.sum((y - X @ beta) ** 2) + penalty * beta @ beta


def inverse_and_determinant(A):
    sign, log_determinant = np.linalg.slogdet(A)
    return np.trace(np.linalg.inv(A)) + np.linalg.det(A) * sign + log_determinant


def norms(A, x):
    total = np.linalg.norm(A) + np.linalg.norm(x, ord=1) + np.linalg.norm(x, np.inf)
    return total + np.linalg.norm(A, axis=1).sum() + np.linalg.norm(A, "fro") * np.linalg.norm(x)


def eigenvalues(A):
    S = (A + A.T) / 2
    w, V = np.linalg.eigh(S)
    reconstructed = (V * np.exp(w)) @ V.T
    return w[0] * w[-1] + reconstructed[0, 1] + np.linalg.eigvalsh(S)[1] ** 2


def factorisations(A):
    S = A @ A.T + np.eye(3)
    L = np.linalg.cholesky(S)
    Q, R = np.linalg.qr(A)
    return L[2, 0] * L[1, 1] + np.abs(np.diag(R)).prod() + (Q @ Q.T)[0, 1] + np.abs(R[0, 2])


def singular_values(A):
    U, s, Vt = np.linalg.svd(A, full_matrices=False)
    low_rank = s[0] * np.outer(U[:, 0], Vt[0])
    return s.sum() + s[-1] * s[0] + low_rank[0, 1]


def least_squares(x, y):
    X = np.column_stack([np.ones_like(x), x, x**2])
    coefficients, *_ = np.linalg.lstsq(X, y, rcond=None)
    return coefficients @ np.array([1.0, 2.0, 3.0])


def gaussian_elimination(A, b):
    """With partial pivoting."""
    A, b = A.copy(), b.copy()
    n = len(b)
    for k in range(n - 1):
        pivot = k + np.argmax(np.abs(A[k:, k]))
        if pivot != k:
            A[[k, pivot]] = A[[pivot, k]]
            b[k], b[pivot] = b[pivot], b[k]
        for i in range(k + 1, n):
            factor = A[i, k] / A[k, k]
            A[i, k:] -= factor * A[k, k:]
            b[i] -= factor * b[k]
    x = np.zeros(n)
    for i in range(n - 1, -1, -1):
        x[i] = (b[i] - A[i, i + 1 :] @ x[i + 1 :]) / A[i, i]
    return x[0] + x[1] * x[2]


def cholesky_by_hand(A):
    n = A.shape[0]
    L = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            s = A[i, j] - sum(L[i, k] * L[j, k] for k in range(j))
            if i == j:
                L[i, i] = np.sqrt(s)
            else:
                L[i, j] = s / L[j, j]
    return np.log(np.diag(L)).sum() + L[2, 0]


def thomas(diagonal, load):
    """A tridiagonal system."""
    n = len(load)
    c, d = np.zeros(n), np.zeros(n)
    c[0], d[0] = -1 / diagonal[0], load[0] / diagonal[0]
    for i in range(1, n):
        m = diagonal[i] + c[i - 1]
        c[i] = -1 / m
        d[i] = (load[i] + d[i - 1]) / m
    x = d.copy()
    for i in reversed(range(n - 1)):
        x[i] -= c[i] * x[i + 1]
    return x @ x


def gram_schmidt(A):
    Q = []
    for column in A.T:
        v = column.copy()
        for q in Q:
            v -= (q @ column) * q
        Q.append(v / np.sqrt(v @ v))
    return (np.array(Q)[:, 0] ** 3).sum()


def conjugate_gradient(A, b):
    x = np.zeros_like(b)
    r = b - A @ x
    p = r
    rs = r @ r
    for _ in range(len(b)):
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x += alpha * p
        r = r - alpha * Ap
        new = r @ r
        if np.sqrt(new) < 1e-10:
            break
        p = r + new / rs * p
        rs = new
    return b @ x


def jacobi_iteration(A, b):
    D = np.diag(A)
    R = A - np.diagflat(D)
    x = np.zeros_like(b)
    change = 1.0
    while change > 1e-13:
        new = (b - R @ x) / D
        change = np.max(np.abs(new - x))
        x = new
    return np.sum(x**2)


def scipy_solvers(A, b):
    S = A @ A.T + np.eye(len(b))
    x = scipy.linalg.solve(S, b, assume_a="pos")
    L = scipy.linalg.cholesky(S, lower=True)
    y = scipy.linalg.solve_triangular(L, b, lower=True)
    factors = scipy.linalg.cho_factor(S)
    return x[0] + y @ y + scipy.linalg.cho_solve(factors, b)[1] + scipy.linalg.expm(0.1 * A)[0, 1] + scipy.linalg.det(S)


def rotations(a, b):
    Rz = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    plane = np.array([[np.cos(b), -np.sin(b)], [np.sin(b), np.cos(b)]])
    Rx = np.block([[np.ones((1, 1)), np.zeros((1, 2))], [np.zeros((2, 1)), plane]])
    v = np.linalg.multi_dot([Rz, Rx, np.array([1.0, 2.0, 3.0])])
    return v[0] + v[1] * v[2] + np.linalg.matrix_power(Rz, 3)[0, 1] + np.cross(v, [0, 0, 1.0])[1]


CASES = [
    Case(ridge, (np.array([[1.0, 0.3], [0.5, 1.2], [-0.4, 0.8]]), np.array([1.0, 0.2, -0.6]), 0.3)),
    Case(inverse_and_determinant, (np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, -0.3, 1.1]]),)),
    Case(norms, (np.array([[2.0, 0.3], [0.4, -1.5]]), np.array([0.7, -1.2, 0.4]))),
    Case(eigenvalues, (np.array([[2.0, 0.3, 0.1], [0.4, 1.0, 0.2], [0.1, -0.3, 3.1]]),)),
    Case(factorisations, (np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, -0.3, 1.1]]),)),
    Case(singular_values, (np.array([[2.0, 0.3, 0.1], [0.4, 1.5, -0.2]]),)),
    Case(least_squares, (np.array([0.0, 0.5, 1.1, 1.8, 2.4]), np.array([1.0, 0.7, 1.5, 2.9, 5.2]))),
    Case(
        gaussian_elimination,
        (np.array([[0.3, 2.0, 0.1], [1.4, 0.5, 0.2], [0.1, -0.3, 1.1]]), np.array([1.0, -0.5, 0.8])),
    ),
    Case(cholesky_by_hand, (np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.1]]),)),
    Case(thomas, (np.array([2.5, 2.2, 3.0, 2.1]), np.array([1.0, 0.4, -0.2, 0.9]))),
    Case(gram_schmidt, (np.array([[2.0, 0.3, 0.1], [0.4, 1.5, 0.2], [0.1, -0.3, 1.1]]),)),
    Case(
        conjugate_gradient, (np.array([[2.0, 0.3, 0.1], [0.3, 1.5, 0.2], [0.1, 0.2, 1.1]]), np.array([1.0, -0.5, 0.8]))
    ),
    Case(jacobi_iteration, (np.array([[2.0, 0.3, 0.1], [0.2, 1.5, 0.2], [0.1, 0.4, 1.1]]), np.array([1.0, -0.5, 0.8]))),
    Case(scipy_solvers, (np.array([[1.0, 0.3], [0.2, 0.7]]), np.array([0.5, 1.1]))),
    Case(rotations, (0.4, 1.1)),
]
