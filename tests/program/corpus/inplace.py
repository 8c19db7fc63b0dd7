"""Writes in place: entries, slices, views, aliases, masks, `out=`, buffers that swap, functions that write their arguments."""

import numpy as np

from ._case import Case


def fibonacci_like(a, b):
    x = np.zeros(10)
    x[0] = a
    x[1] = b
    for i in range(2, len(x)):
        x[i] = x[i - 1] + 0.5 * x[i - 2] ** 2
    return x[-1]


def binned(x, weights):
    counts = np.zeros(3)
    for i in range(len(x)):
        counts[i % 3] += weights[i] * x[i]
    return (counts**2).sum()


def slices(x):
    y = np.ones(6)
    y[1:4] = x[:3] ** 2
    y[::2] *= 1.5
    y[-2:] -= x[1:3]
    y[...] = y + 1
    return np.prod(y)


def row_views(M):
    """Each row is normalised through a view."""
    M = M.copy()
    for i in range(len(M)):
        row = M[i]
        row[:] = row / row.sum()
        row[0] += 0.1
    return (M[:, 0] * M[:, 1] ** 2).sum()


def transposed_write(x):
    A = np.zeros((3, 2))
    A.T[0] = x
    A.T[1, 1:] = 2 * x[1:]
    B = A.T
    B += 1
    return (A**2).sum() + A[2, 1]


def ufunc_out(x, y):
    buffer = np.empty_like(x)
    np.multiply(x, y, out=buffer)
    np.sin(buffer, out=buffer)
    np.add(buffer[:-1], buffer[1:], out=buffer[1:])
    return buffer @ x


def scatter_add(x):
    histogram = np.zeros(4)
    index = np.array([0, 2, 2, 3, 0])
    np.add.at(histogram, index, x)
    np.multiply.at(histogram, [0, 3], 2.0)
    return np.sum(histogram**2)


def masked_writes(x):
    y = x.copy()
    y[y < 0] = 0
    mask = y > 1
    y[mask] *= 2
    y[mask & (y < 3)] += x[0]
    y[~mask] -= 0.1
    return (y * np.arange(4)).sum()


def masked_function(x):
    """The entries of a mask are read, changed and written back."""
    y = x.copy()
    mask = x > 0
    y[mask] = np.sqrt(y[mask])
    y[~mask] = np.exp(x[~mask]) - 1
    return (y * x[::-1]).sum()


def masked_mean(x):
    positive = x[x > 0]
    return positive.mean() + np.sum(x[x < 1] ** 2)


def heat(u, alpha):
    """Two buffers that swap."""
    u = u.copy()
    new = u.copy()
    for _ in range(20):
        new[1:-1] = u[1:-1] + alpha * (u[2:] - 2 * u[1:-1] + u[:-2])
        u, new = new, u
    return (u * np.arange(len(u))).sum()


def heat_loops(u, alpha):
    new = np.zeros_like(u)
    for _ in range(5):
        for i in range(1, len(u) - 1):
            new[i] = u[i] + alpha * (u[i + 1] - 2 * u[i] + u[i - 1])
        u[1:-1] = new[1:-1]
    return np.sum(u**3)


def _relax(grid, omega):
    for i in range(1, grid.shape[0] - 1):
        for j in range(1, grid.shape[1] - 1):
            average = 0.25 * (grid[i - 1, j] + grid[i + 1, j] + grid[i, j - 1] + grid[i, j + 1])
            grid[i, j] += omega * (average - grid[i, j])


def gauss_seidel(boundary, omega):
    grid = np.zeros((4, 4))
    grid[0, :] = boundary
    for _ in range(4):
        _relax(grid, omega)
    return grid[1:3, 1:3].sum()


def alias(x):
    y = x
    y[0] = 2 * x[1]
    z = x.copy()
    z[1] = 100.0
    y *= x[0]
    return x[0] ** 2 + x.sum()


def augmented_alias(x, s):
    """`+=` writes into an array, and rebinds a number."""
    y, t = x, s
    y += s
    t += 1
    y = y * 2
    y -= 3
    return (x * y).sum() * s + t


def filled(x, value):
    buffer = np.empty((2, 3))
    buffer.fill(value)
    buffer[1].fill(x[0])
    buffer[:, 2] = x
    np.fill_diagonal(buffer, value**2)
    return np.sum(buffer * np.arange(6.0).reshape(2, 3))


def sorted_in_place(x):
    y = x.copy()
    y.sort()
    weights = np.arange(len(y)) + 1.0
    y[::-1].sort()
    return y @ weights


def reshaped_views(x):
    A = x.reshape(2, 3)
    A[0] = A[1] ** 2
    flat = A.ravel()
    flat[4] *= 3
    x[1:3] += 1
    return (A[0] * A[1]).sum()


def swapped_rows(M, x):
    M = M.copy()
    M[[0, 2]] = M[[2, 0]]
    x[0], x[2] = x[2], x[0]
    M[:, 1], x[1] = M[:, 0] * 2, x[0] + 1
    return x @ M @ x


def bubble_sort(x):
    n = len(x)
    for i in range(n):
        for j in range(n - 1 - i):
            if x[j] > x[j + 1]:
                x[j], x[j + 1] = x[j + 1], x[j]
    return sum((i + 1) * x[i] ** 2 for i in range(n))


def insertion_sort(x):
    for i in range(1, len(x)):
        value = x[i]
        j = i - 1
        while j >= 0 and x[j] > value:
            x[j + 1] = x[j]
            j -= 1
        x[j + 1] = value
    return x[0] + 2 * x[1] ** 2 + x[-1] ** 3


def conditional_writes(x, threshold):
    counts = np.zeros(2)
    for i, value in enumerate(x):
        if value > threshold:
            counts[0] += value
            x[i] = threshold
        else:
            counts[1] += value**2
    return counts[0] * counts[1] + x.sum()


def growing_index(x):
    """Writes at an index that depends on the data."""
    kept = np.zeros_like(x)
    n = 0
    for value in x:
        if value > 0:
            kept[n] = value
            n += 1
    return kept[0] * kept[1] + kept[:3].sum() / n


def written_argument(x, y):
    x *= 2
    x[1:] += y[:-1]
    y[:] = x**2
    return x.sum() + y[0] * y[2]


def integer_store(x):
    """An integer array drops fractions."""
    cells = np.zeros(3, dtype=int)
    cells[1] = x
    cells[2] += 3
    return x * cells[1] + cells.sum()


def fancy_writes(x):
    y = np.zeros((3, 3))
    y[[0, 1, 2], [2, 1, 0]] = x
    y[np.ix_([0, 2], [0, 1])] += x[0]
    y[:, None, 2] -= 0.5
    np.put(y, [3, 5], x[1] ** 2)
    np.copyto(y[2], x, where=x > 1)
    return (y @ y).trace() + y[1, 0]


def cumulative(x):
    for i in range(1, x.size):
        x[i] += x[i - 1]
    x /= x[-1]
    return x[0] + x[1] * x[2]


def columns_by_out(A, v):
    result = np.zeros((3, 3))
    for k in range(3):
        np.dot(A, v, out=result[k])
        v = result[k] / np.linalg.norm(result[k])
    return np.add.reduce(result, axis=None) + result[2] @ v


def nested_lists(x, y):
    grid = [[0.0] * 3 for _ in range(2)]
    for i in range(2):
        for j in range(3):
            grid[i][j] = x * (i + 1) + y**j
    grid[0][1] += grid[1][2]
    grid[1], last = grid[0][:], grid[1]
    grid[1][0] = 5.0
    return np.array(grid).sum() * last[0]


def structured_state(position, velocity):
    state = {"position": position, "velocity": velocity, "log": np.zeros(3)}
    for step in range(3):
        state["velocity"] = state["velocity"] - 0.1 * state["position"]
        state["position"] += 0.1 * state["velocity"]
        state["log"][step] = state["position"].sum()
    return state["log"] @ np.array([1.0, 2.0, 3.0])


CASES = [
    Case(fibonacci_like, (0.3, 0.7)),
    Case(binned, (np.array([0.5, 1.5, -0.3, 0.8]), np.array([1.0, 0.4, 2.0, 0.9]))),
    Case(slices, (np.array([0.7, 1.3, -0.4]),)),
    Case(row_views, (np.array([[1.0, 2.0, 0.5], [0.3, 0.9, 1.1]]),)),
    Case(transposed_write, (np.array([0.4, -0.6, 1.2]),)),
    Case(ufunc_out, (np.array([0.5, 1.1, 0.8]), np.array([0.3, 0.9, -0.7]))),
    Case(scatter_add, (np.array([0.4, 1.0, -0.3, 2.2, 0.6]),)),
    Case(masked_writes, (np.array([0.6, -1.2, 1.3, 2.4]),)),
    Case(masked_function, (np.array([0.6, -1.2, 1.3, 2.4]),)),
    Case(masked_mean, (np.array([0.6, -1.2, 1.3, 2.4]),)),
    Case(heat, (np.array([0.0, 1.0, 0.5, 2.0, 0.3, 0.0]), 0.2)),
    Case(heat_loops, (np.array([0.5, 1.0, 0.4, 1.6, 0.2]), 0.3)),
    Case(gauss_seidel, (np.array([1.0, 0.5, -0.3, 2.0]), 1.2)),
    Case(alias, (np.array([0.5, 0.9, -0.4]),)),
    Case(augmented_alias, (np.array([0.5, 0.9, -0.4]), 0.7)),
    Case(filled, (np.array([0.8, 1.4]), 0.6)),
    Case(sorted_in_place, (np.array([0.8, -0.4, 1.9, 0.3]),)),
    Case(reshaped_views, (np.array([0.8, -0.4, 1.9, 0.3, 1.1, 0.6]),)),
    Case(swapped_rows, (np.array([[0.2, 0.4, 1.0], [0.7, -0.3, 0.5], [1.2, 0.1, 0.9]]), np.array([0.3, 0.8, -0.6]))),
    Case(bubble_sort, (np.array([1.4, 0.2, 0.9, -0.5]),)),
    Case(insertion_sort, (np.array([1.4, 0.2, 0.9, -0.5]),)),
    Case(conditional_writes, (np.array([1.4, 0.2, 0.9, -0.5]), 0.6)),
    Case(growing_index, (np.array([1.4, -0.2, 0.9, -0.5, 0.3]),)),
    Case(written_argument, (np.array([0.4, 0.8, 1.1]), np.array([0.9, -0.5, 0.6]))),
    Case(integer_store, (2.7,)),
    Case(fancy_writes, (np.array([0.4, 1.8, 1.1]),)),
    Case(cumulative, (np.array([0.4, 1.8, 1.1]),)),
    Case(columns_by_out, (np.array([[1.0, 0.2, 0.1], [0.0, 0.8, 0.3], [0.4, 0.1, 0.6]]), np.array([0.5, 1.0, 0.2]))),
    Case(nested_lists, (0.8, 1.3)),
    Case(structured_state, (np.array([1.0, 0.5]), np.array([0.2, -0.4]))),
]
