"""Loops: while with tests on what is differentiated, for over all that Python iterates over, break, continue, else."""
# ruff: noqa: B007, SIM108

import math

import numpy as np

from ._case import Case


def newton_sqrt(a):
    x = a
    while abs(x * x - a) > 1e-12:
        x = 0.5 * (x + a / x)
    return x


def bisection_polished(c):
    """Root of x^3 + x = c: bisection, then one step of Newton's method, which carries the derivative."""
    low, high = 0.0, max(1.0, c)
    while high - low > 1e-9:
        middle = (low + high) / 2
        if middle**3 + middle < c:
            low = middle
        else:
            high = middle
    x = (low + high) / 2
    return x - (x**3 + x - c) / (3 * x**2 + 1)


def fixed_point(a):
    x = 1.0
    while True:
        new = math.cos(a * x)
        if abs(new - x) < 1e-13:
            break
        x = new
    return new


def kepler(mean_anomaly, eccentricity):
    E = mean_anomaly
    for iteration in range(50):
        delta = (E - eccentricity * np.sin(E) - mean_anomaly) / (1 - eccentricity * np.cos(E))
        E -= delta
        if abs(delta) < 1e-12:
            break
    else:
        raise RuntimeError("Kepler's equation did not converge")
    return E


def secant(c):
    x0, x1 = 1.0, 2.0
    f0, f1 = x0**3 - c, x1**3 - c
    steps = 0
    while abs(x1 - x0) > 1e-10 and steps < 40:
        x0, x1 = x1, x1 - f1 * (x1 - x0) / (f1 - f0)
        f0, f1 = f1, x1**3 - c
        steps += 1
    return x1


def halvings(x):
    n = 0
    while x > 1:
        x /= 2
        n += 1
    return x + n


def agm(a, b):
    while not math.isclose(a, b, rel_tol=1e-14):
        a, b = (a + b) / 2, math.sqrt(a * b)
    return a


def exponential_series(x):
    term, total = 1.0, 1.0
    for n in range(1, 200):
        term *= x / n
        total += term
        if abs(term) < 1e-17:
            break
    return total


def positive_geometric_mean(x):
    log_sum, count = 0.0, 0
    for value in x:
        if value <= 0:
            continue
        log_sum += math.log(value)
        count += 1
    return math.exp(log_sum / count)


def searched(x, target):
    """for-else: the branch without a break."""
    for i, value in enumerate(x):
        if value > target:
            result = value * i
            break
    else:
        result = np.sum(x) - target
    return result


def budget(balance, rate):
    """while-else, with a break that is not taken."""
    years = 0
    while balance < 2000:
        balance *= 1 + rate
        years += 1
        if years > 100:
            break
    else:
        balance -= 100 * years
    return balance


def lower_triangle(x):
    total = 0.0
    for i in range(len(x)):
        for j in range(i):
            total += (x[i] - x[j]) ** 2 / (i + j)
    return total


def horner(x, coefficients):
    result = 0.0
    for c in reversed(coefficients):
        result = result * x + c
    return result


def weighted(x, y, w):
    total, norm = 0.0, 0.0
    for i, (a, b, c) in enumerate(zip(x, y, w, strict=True), start=1):
        total += c * a * b / i
        norm += c
    return total / norm


def logistic_orbit(r, x):
    orbit = []
    for _ in range(30):
        x = r * x * (1 - x)
        orbit.append(x)
    orbit = np.array(orbit)
    return orbit[-10:].mean() + orbit.std()


def adaptive_decay(rate, end):
    t, y, h = 0.0, 1.0, 0.05
    while t < end:
        h = min(h, end - t)
        full = y * (1 - rate * h + (rate * h) ** 2 / 2)
        error = abs((rate * h) ** 3 / 6 * y)
        if error > 1e-4:
            h /= 2
            continue
        t, y = t + h, full
        if error < 1e-5:
            h *= 1.5
    return y


def continued_fraction(x):
    value = 0.0
    for k in range(12, 0, -1):
        value = k * x / (k + 1 + value)
    return 1 / (1 + value)


def power_iteration(A):
    v = np.ones(A.shape[0])
    eigenvalue = 0.0
    for _ in range(200):
        w = A @ v
        previous, eigenvalue = eigenvalue, np.sqrt(w @ w)
        v = w / eigenvalue
        if abs(eigenvalue - previous) < 1e-13:
            break
    return v @ A @ v


def walrus_descent(x, rate):
    steps = 0
    while (slope := 4 * x**3 - 2 * x) > 0.05 and steps < 6:
        x -= rate * slope
        steps += 1
    return x


def row_norms(M):
    total = 0.0
    for row in M:
        largest = row[0]
        for value in row[1:]:
            if abs(value) > abs(largest):
                largest = value
        total += largest * row.sum()
    return total


def spectrum(lines, width):
    strengths = {"H": 1.0, "He": 0.4, "Na": 0.7}
    total = 0.0
    for (element, strength), centre in zip(strengths.items(), lines, strict=True):
        total += strength / (1 + ((centre - 0.5) / width) ** 2) * len(element)
    return total


def table_lookup(x):
    """An index that depends on what is differentiated."""
    xs = [0.0, 0.5, 1.2, 2.0, 3.5]
    ys = np.array([1.0, 0.7, 1.4, 1.1, 0.2])
    i = 0
    while i < 3 and x > xs[i + 1]:
        i += 1
    slope = (ys[i + 1] - ys[i]) / (xs[i + 1] - xs[i])
    return ys[i] + slope * (x - xs[i])


def bouncing_ball(height, restitution):
    t, y, v, bounces = 0.0, height, 0.0, 0
    while bounces < 3:
        fall = (v + math.sqrt(v * v + 2 * 9.81 * y)) / 9.81
        t += fall
        v = restitution * (9.81 * fall - v)
        y = 0.0
        bounces += 1
    return t


def nested_while(x, y):
    outer = 0
    while x > 0.5:
        inner = x
        while inner > 0.3:
            inner *= y
            if inner < 0.4:
                break
        x -= 0.3 * inner
        outer += 1
    return x * outer + inner


def nested_break(M, level):
    hit = 0.0
    for i in range(M.shape[0]):
        for j in range(M.shape[1]):
            if M[i, j] > level:
                hit += M[i, j] ** 2 * (i + 1) * (j + 1)
                break
        if hit > 10:
            break
    return hit + level


def stepping(x, count):
    for k in range(0, 3 * count, 3):
        if k % 2 == 0:
            x = np.sin(x) + k / 10
        else:
            x = x * x / (k // 3 + 1)
    return x


CASES = [
    Case(newton_sqrt, (7.3,)),
    Case(bisection_polished, (4.2,)),
    Case(fixed_point, (0.7,)),
    Case(kepler, (1.1, 0.4)),
    Case(secant, (5.0,)),
    Case(halvings, (11.7,)),
    Case(agm, (1.0, 3.7)),
    Case(exponential_series, (1.9,)),
    Case(positive_geometric_mean, (np.array([1.2, -0.5, 3.1, 0.7]),)),
    Case(searched, (np.array([0.4, 1.3, 2.2]), 2.0), "searched_found"),
    Case(searched, (np.array([0.4, 1.3, 1.9]), 5.0), "searched_missed"),
    Case(budget, (1000.0, 0.07)),
    Case(lower_triangle, (np.array([0.3, 1.4, -0.8, 2.1]),)),
    Case(horner, (0.8, np.array([1.0, -2.0, 0.5, 3.0]))),
    Case(weighted, (np.array([1.0, 2.0, 3.0]), np.array([0.5, -1.0, 0.7]), np.array([0.2, 0.3, 0.9]))),
    Case(logistic_orbit, (2.9, 0.3)),
    Case(adaptive_decay, (1.3, 1.04), step=1e-3),
    Case(continued_fraction, (0.6,)),
    Case(power_iteration, (np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 0.5]]),)),
    Case(walrus_descent, (1.2, 0.06)),
    Case(row_norms, (np.array([[0.3, -1.4, 0.9], [2.1, 0.4, -0.2]]),)),
    Case(spectrum, (np.array([0.2, 0.9, 0.6]), 0.3)),
    Case(table_lookup, (1.6,)),
    Case(bouncing_ball, (1.5, 0.8)),
    Case(nested_while, (1.75, 0.73)),
    Case(nested_break, (np.array([[0.3, 1.4], [2.1, 0.4]]), 1.0)),
    Case(stepping, (0.9, 5)),
]
