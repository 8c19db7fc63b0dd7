"""Numerical algorithms by hand: solvers, fits, dynamic programming, training."""

import numpy as np

from ._program import Program


def hilbert_like(n, shift):
    i = np.arange(n)
    return 1.0 / (i[:, None] + i[None, :] + shift) + np.eye(n)


def conjugate_gradient(b, shift):
    """Until the residual is small."""
    A = hilbert_like(5, shift)
    x = np.zeros_like(b)
    r = b - A @ x
    p = r.copy()
    rs = r @ r
    while np.sqrt(rs) > 1e-9:
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        rs_new = r @ r
        p = r + (rs_new / rs) * p
        rs = rs_new
    return np.sum(x**3)


def lu_by_hand(A, b):
    """Doolittle's factors in triple loops over one array, then both triangles."""
    n = len(b)
    LU = A.copy()
    for k in range(n):
        for i in range(k + 1, n):
            LU[i, k] /= LU[k, k]
            for j in range(k + 1, n):
                LU[i, j] -= LU[i, k] * LU[k, j]
    x = np.zeros(n)
    for i in range(n):
        x[i] = b[i] - sum(LU[i, j] * x[j] for j in range(i))
    for i in reversed(range(n)):
        for j in range(i + 1, n):
            x[i] -= LU[i, j] * x[j]
        x[i] /= LU[i, i]
    return x @ np.arange(1.0, n + 1)


def pivoting_elimination(A, b):
    """Rows swapped by fancy indices: the pivot is an argmax."""
    M = np.column_stack([A, b])
    n = len(b)
    for k in range(n):
        p = k + np.argmax(np.abs(M[k:, k]))
        if p != k:
            M[[k, p]] = M[[p, k]]
        for i in range(k + 1, n):
            M[i, k:] -= M[i, k] / M[k, k] * M[k, k:]
    x = np.zeros(n)
    for i in range(n - 1, -1, -1):
        x[i] = (M[i, -1] - M[i, i + 1 : n] @ x[i + 1 :]) / M[i, i]
    return np.linalg.norm(x)


def gradient_descent(learning_rate, w0):
    """A descent inside the program: what the rate does to the loss at the end."""
    t = np.linspace(-1, 1, 20)
    y = np.sin(2 * t)
    w = np.array([w0, 0.0, 0.0])
    features = np.stack([np.ones_like(t), t, t**3], axis=1)
    losses = np.zeros(15)
    for epoch in range(15):
        residual = features @ w - y
        w -= learning_rate * features.T @ residual / len(t)
        losses[epoch] = loss = 0.5 * np.mean(residual**2)
        if loss < 1e-8:
            break
    return loss + losses.mean()


def armijo_descent(a, b):
    """Backtracking: a `while` in a `while`."""
    f = lambda z: (a - z[0]) ** 2 + b * (z[1] - z[0] ** 2) ** 2
    z = np.array([-0.5, 0.8])
    for _ in range(10):
        g = np.array([-2 * (a - z[0]) - 4 * b * z[0] * (z[1] - z[0] ** 2), 2 * b * (z[1] - z[0] ** 2)])
        step = 1.0
        while f(z - step * g) > f(z) - 1e-4 * step * (g @ g):
            step *= 0.5
        z = z - step * g
    return f(z)


def escape_smoothness(re, im):
    """Mandelbrot's iteration with the smooth count of its escape."""
    x = y = 0.0
    n = 0
    while x * x + y * y <= 256.0**2 and n < 100:
        x, y = x * x - y * y + re, 2 * x * y + im
        n += 1
    if n == 100:
        return 100.0
    return n + 1 - np.log(np.log(np.sqrt(x * x + y * y))) / np.log(2)


def escape_of_complex_numbers(re, im):
    """The same by a complex number."""
    c = complex(re, im)
    z = 0j
    for n in range(100):
        z = z**2 + c
        if abs(z) > 256:
            return n + 2 - np.log2(np.log(abs(z)))
    return 100.0


def spline(y, at):
    """Natural cubic spline: its tridiagonal system, then the interval by a loop."""
    x = np.array([0.0, 0.7, 1.5, 2.2, 3.0, 4.0])
    n = len(x) - 1
    h = np.diff(x)
    A, rhs = np.eye(n + 1), np.zeros(n + 1)
    for i in range(1, n):
        A[i, i - 1], A[i, i], A[i, i + 1] = h[i - 1], 2 * (h[i - 1] + h[i]), h[i]
        rhs[i] = 3 * ((y[i + 1] - y[i]) / h[i] - (y[i] - y[i - 1]) / h[i - 1])
    c = np.linalg.solve(A, rhs)
    b = np.diff(y) / h - h * (2 * c[:-1] + c[1:]) / 3
    d = np.diff(c) / (3 * h)
    total = 0.0
    for t in at:
        i = 0
        while i < n - 1 and t > x[i + 1]:
            i += 1
        s = t - x[i]
        total += y[i] + s * (b[i] + s * (c[i] + s * d[i]))
    return total


def soft_edit_distance(costs, softness):
    """Edit distance of two words with soft minima, in a table."""
    a, b = "kitten", "sitting"
    insert, delete, substitute = costs
    D = np.zeros((len(a) + 1, len(b) + 1))
    D[:, 0] = delete * np.arange(len(a) + 1)
    D[0, :] = insert * np.arange(len(b) + 1)
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            change = 0.0 if a[i - 1] == b[j - 1] else substitute
            ways = np.array([D[i - 1, j] + delete, D[i, j - 1] + insert, D[i - 1, j - 1] + change])
            D[i, j] = -softness * np.log(np.sum(np.exp(-ways / softness)))
    return D[-1, -1]


def edit_distance(insert, delete, substitute):
    """The hard one, with built-in min over nested lists."""
    a, b = "intention", "execution"
    D = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in range(len(a) + 1):
        for j in range(len(b) + 1):
            if i == 0:
                D[i][j] = j * insert
            elif j == 0:
                D[i][j] = i * delete
            else:
                change = 0 if a[i - 1] == b[j - 1] else substitute
                D[i][j] = min(D[i - 1][j] + delete, D[i][j - 1] + insert, D[i - 1][j - 1] + change)
    return D[-1][-1]


def dynamic_time_warping(x, y):
    """A table of infinities, filled."""
    n, m = len(x), len(y)
    D = np.full((n + 1, m + 1), np.inf)
    D[0, 0] = 0
    for i in range(1, n + 1):
        for j in range(1, m + 1):
            D[i, j] = abs(x[i - 1] - y[j - 1]) + min(D[i - 1, j], D[i, j - 1], D[i - 1, j - 1])
    return D[n, m]


def viterbi(start, transitions, emissions):
    """The best path's log-probability, and the path read back by argmax."""
    seen = [0, 1, 2, 1, 0, 2, 2]
    log_a, log_b = np.log(transitions), np.log(emissions)
    V = np.zeros((len(seen), 3))
    back = np.zeros((len(seen), 3), dtype=int)
    V[0] = np.log(start) + log_b[:, seen[0]]
    for t in range(1, len(seen)):
        for s in range(3):
            scores = V[t - 1] + log_a[:, s]
            back[t, s] = np.argmax(scores)
            V[t, s] = scores[back[t, s]] + log_b[s, seen[t]]
    path = [int(np.argmax(V[-1]))]
    for t in range(len(seen) - 1, 0, -1):
        path.insert(0, back[t, path[0]])
    along = np.log(start[path[0]])
    for s, t in zip(path[:-1], path[1:], strict=True):  # noqa: RUF007
        along += log_a[s, t]
    return np.max(V[-1]) + along


class Network:
    """Two layers, trained by hand-written backpropagation."""

    def __init__(self, scale, seed=0):
        rng = np.random.default_rng(seed)
        self.W1, self.b1 = scale * rng.standard_normal((2, 8)), np.zeros(8)
        self.W2, self.b2 = scale * rng.standard_normal((8, 1)), np.zeros(1)

    def forward(self, X):
        self.h = np.tanh(X @ self.W1 + self.b1)
        return 1 / (1 + np.exp(-(self.h @ self.W2 + self.b2)))

    def train(self, X, y, rate, epochs):
        for _ in range(epochs):
            p = self.forward(X)
            delta = (p - y) / len(X)
            back = (delta @ self.W2.T) * (1 - self.h**2)
            self.W2 -= rate * self.h.T @ delta
            self.b2 -= rate * delta.sum(axis=0)
            self.W1 -= rate * X.T @ back
            self.b1 -= rate * back.sum(axis=0)
        p = self.forward(X)
        return -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))


def neural_network(scale, rate, X):
    """Exclusive or: the loss after 60 epochs, as a function of the rate, of the start and of the data."""
    y = np.array([[0.0], [1.0], [1.0], [0.0]])
    return Network(scale).train(X, y, rate, epochs=60)


def page_rank(damping, links):
    """Power iteration until it stands."""
    n = len(links)
    M = links / links.sum(axis=0)
    v = np.ones(n) / n
    while True:
        last = v
        v = damping * M @ v + (1 - damping) / n
        if np.abs(v - last).sum() < 1e-12:
            break
    return v[0] + 2 * v.max()


def simpson_adaptive(a, b, width):
    """Recursion to a fixed depth, integrand by a closure."""
    f = lambda x: np.exp(-((x / width) ** 2)) * np.cos(3 * x)

    def integrate(lo, hi, depth):
        mid = (lo + hi) / 2
        if depth == 0:
            return (hi - lo) / 6 * (f(lo) + 4 * f(mid) + f(hi))
        return integrate(lo, mid, depth - 1) + integrate(mid, hi, depth - 1)

    return integrate(a, b, 4)


def elo(k, results):
    """Ratings in a dictionary of players."""
    ratings = {"ann": 1500.0, "bob": 1500.0, "cyd": 1500.0}
    games = [("ann", "bob"), ("bob", "cyd"), ("cyd", "ann"), ("ann", "bob"), ("ann", "cyd")]
    for (first, second), result in zip(games, results, strict=True):
        expected = 1 / (1 + 10 ** ((ratings[second] - ratings[first]) / 400))
        ratings[first] += k * (result - expected)
        ratings[second] -= k * (result - expected)
    return max(ratings.values()) - min(ratings.values())


MATRIX = hilbert_like(4, 1.3) + np.diag([0.5, 0.2, -2.5, 0.1]) + 0.1 * np.tri(4)
VECTOR = np.array([1.0, -0.5, 0.3, 0.8])

PROGRAMS = [
    Program(conjugate_gradient, (np.array([1.0, -0.5, 0.3, 0.8, 0.1]), 1.0), step=1e-4),
    Program(lu_by_hand, (MATRIX, VECTOR), step=1e-4),
    Program(pivoting_elimination, (MATRIX, VECTOR), step=1e-4),
    Program(gradient_descent, (0.1, 0.2)),
    Program(armijo_descent, (1.0, 10.0), value=1e-10, step=1e-5),
    Program(escape_smoothness, (0.3, 0.6), value=1e-11, step=1e-6),
    Program(escape_of_complex_numbers, (0.3, 0.6), value=1e-11, step=1e-6),
    Program(spline, (np.array([0.0, 1.0, 0.5, -0.4, 0.2, 1.1]), np.array([0.3, 1.6, 2.9, 3.5]))),
    Program(soft_edit_distance, (np.array([1.0, 1.1, 1.5]), 0.3)),
    Program(edit_distance, (1.0, 1.17, 1.9)),
    Program(dynamic_time_warping, (np.array([0.0, 1.2, 2.1, 0.7, -0.4]), np.array([0.1, 0.3, 1.0, 2.4, 0.2, -0.5]))),
    Program(
        viterbi,
        (
            np.array([0.5, 0.3, 0.2]),
            np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3], [0.25, 0.15, 0.6]]),
            np.array([[0.7, 0.2, 0.1], [0.15, 0.6, 0.25], [0.1, 0.3, 0.6]]),
        ),
    ),
    Program(neural_network, (0.8, 1.5, np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])), step=1e-4),
    Program(page_rank, (0.85, np.array([[0.1, 1.0, 1.0], [1.0, 0.1, 0.1], [1.0, 0.1, 1.0]])), value=1e-11, step=1e-4),
    Program(simpson_adaptive, (0.2, 2.0, 1.5)),
    Program(elo, (32.0, np.array([1.0, 0.5, 0.2, 0.7, 0.9]))),
]
