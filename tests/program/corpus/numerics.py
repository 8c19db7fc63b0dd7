"""Numerical methods: integrators, quadrature, root finding, interpolation, optimisation, transforms."""

import numpy as np
import scipy.interpolate
from numpy.polynomial import chebyshev

from ._case import Case


def rk4(f, y, t, h):
    k1 = f(y, t)
    k2 = f(y + h / 2 * k1, t + h / 2)
    k3 = f(y + h / 2 * k2, t + h / 2)
    k4 = f(y + h * k3, t + h)
    return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)


def lotka_volterra(alpha, beta, start):
    def rates(y, t):
        prey, predator = y
        return np.array([alpha * prey - beta * prey * predator, -predator + 0.5 * prey * predator])

    t, h = 0.0, 0.05
    history = [start]
    for _ in range(40):
        history.append(rk4(rates, history[-1], t, h))
        t += h
    return np.array(history)[::10].sum()


def runge_kutta_fehlberg(stiffness, end):
    """Steps that adapt to the error."""
    t, y, h = 0.0, 1.0, 0.1
    while t < end - 1e-12:
        h = min(h, end - t)
        k1 = -stiffness * y
        k2 = -stiffness * (y + h * k1 / 2)
        k3 = -stiffness * (y + h * (2 * k2 - k1))
        low, high = y + h * k2, y + h * (k1 + 4 * k2 + k3) / 6
        error = abs(high - low)
        if error < 1e-3:
            t += h
            y = high
        h *= min(2.0, max(0.3, 0.9 * (1e-3 / (error + 1e-16)) ** 0.5))
    return y


def implicit_euler(k, y0):
    """Newton's method in each step."""
    y, h = y0, 0.1
    for _ in range(8):
        new = y
        for _ in range(20):
            residual = new - y + h * k * new**3
            if abs(residual) < 1e-13:
                break
            new -= residual / (1 + 3 * h * k * new**2)
        y = new
    return y


def newton_system(a, b):
    x = np.array([1.0, 1.0])
    for _ in range(30):
        F = np.array([x[0] ** 2 + a * x[1] - 2, x[0] * x[1] - b])
        J = np.array([[2 * x[0], a], [x[1], x[0]]])
        dx = np.linalg.solve(J, -F)
        x = x + dx
        if np.linalg.norm(dx) < 1e-12:
            break
    return x[0] * 3 + x[1]


def simpson(a, b, n):
    x = np.linspace(a, b, 2 * n + 1)
    y = np.sqrt(x) * np.cos(x)
    return (b - a) / (6 * n) * (y[0] + y[-1] + 4 * y[1::2].sum() + 2 * y[2:-1:2].sum())


def romberg(a, b):
    R = np.zeros((5, 5))
    f = lambda t: np.exp(-t) * np.sin(3 * t)
    h = b - a
    R[0, 0] = h / 2 * (f(a) + f(b))
    for i in range(1, 5):
        h /= 2
        R[i, 0] = R[i - 1, 0] / 2 + h * sum(f(a + k * h) for k in range(1, 2**i, 2))
        for j in range(1, i + 1):
            R[i, j] = R[i, j - 1] + (R[i, j - 1] - R[i - 1, j - 1]) / (4**j - 1)
    return R[4, 4]


def lagrange(x, ys):
    xs = np.array([0.0, 0.7, 1.5, 2.4])
    total = 0.0
    for i in range(len(xs)):
        basis = 1.0
        for j in range(len(xs)):
            if i != j:
                basis *= (x - xs[j]) / (xs[i] - xs[j])
        total += ys[i] * basis
    return total


def splines(x, ys):
    xs = np.array([0.0, 0.7, 1.5, 2.4, 3.0])
    linear = scipy.interpolate.interp1d(xs, ys)
    cubic = scipy.interpolate.CubicSpline(xs, ys)
    return linear(x) * cubic(x) + cubic(x + 0.3) + cubic(x, 1)


def gradient_descent(x, momentum):
    velocity = np.zeros_like(x)
    for _ in range(20):
        slope = np.array([4 * x[0] ** 3 + x[1], 2 * x[1] + x[0] - 1])
        velocity = momentum * velocity - 0.05 * slope
        x = x + velocity
    return x[0] ** 4 + x[0] * x[1] + x[1] ** 2 - x[1]


def line_search(x, scale):
    """Backtracking: halves its step until the function falls."""

    def f(z):
        return np.sum(scale * z**4 - z)

    for _ in range(2):
        slope = 4 * scale * x**3 - 1
        step = 1.0
        while f(x - step * slope) > f(x) - 0.3 * step * np.sum(slope**2):
            step *= 0.5
        x = x - step * slope
    return f(x) + x[0]


def minimised(a, b):
    """A parabola through three points, again and again."""
    f = lambda t: (t - a) ** 2 + b * np.cos(t)
    x = [0.0, 0.5, 1.2]
    for _ in range(4):
        y = [f(t) for t in x]
        top = (x[1] - x[0]) ** 2 * (y[1] - y[2]) - (x[1] - x[2]) ** 2 * (y[1] - y[0])
        bottom = (x[1] - x[0]) * (y[1] - y[2]) - (x[1] - x[2]) * (y[1] - y[0])
        x = [x[1], x[2], x[1] - 0.5 * top / bottom]
    return x[-1]


def chebyshev_fit(a):
    nodes = np.cos(np.pi * (np.arange(8) + 0.5) / 8)
    values = 1 / (1 + a * nodes**2)
    coefficients = np.array([2 / 8 * np.sum(values * np.cos(k * np.arccos(nodes))) for k in range(8)])
    coefficients[0] /= 2
    return chebyshev.chebval(0.3, coefficients) + coefficients[2]


def spectral_derivative(amplitude, phase):
    n = 16
    x = 2 * np.pi * np.arange(n) / n
    u = np.exp(amplitude * np.sin(x + phase))
    k = np.fft.fftfreq(n, 1 / n)
    k[n // 2] = 0
    du = np.real(np.fft.ifft(1j * k * np.fft.fft(u)))
    return du[3] * u[1]


def radix_two(x):
    """A fast Fourier transform by recursion."""

    def transform(z):
        n = len(z)
        if n == 1:
            return z
        even, odd = transform(z[::2]), transform(z[1::2])
        twiddled = np.exp(-2j * np.pi * np.arange(n // 2) / n) * odd
        return np.concatenate([even + twiddled, even - twiddled])

    return np.abs(transform(x.astype(complex))[1:4]).sum()


def aitken(x):
    a, b, c = x, np.cos(x), np.cos(np.cos(x))
    while abs(c - b) > 1e-6:
        accelerated = c - (c - b) ** 2 / (c - 2 * b + a)
        a, b, c = accelerated, np.cos(accelerated), np.cos(np.cos(accelerated))
        a += 0.01 * x
    return c + 0.1 * x


CASES = [
    Case(lotka_volterra, (1.1, 0.4, np.array([2.0, 1.0]))),
    Case(runge_kutta_fehlberg, (2.0, 1.0)),
    Case(implicit_euler, (1.7, 1.2)),
    Case(newton_system, (0.8, 0.6)),
    Case(simpson, (0.4, 2.1, 6)),
    Case(romberg, (0.2, 1.9)),
    Case(lagrange, (1.1, np.array([0.4, 1.0, -0.3, 0.8]))),
    Case(splines, (1.1, np.array([0.4, 1.0, -0.3, 0.8, 0.5]))),
    Case(gradient_descent, (np.array([0.5, -0.8]), 0.6)),
    Case(line_search, (np.array([1.5, 0.3]), 0.7)),
    Case(minimised, (1.4, 0.6)),
    Case(chebyshev_fit, (2.5,)),
    Case(spectral_derivative, (0.7, 0.4)),
    Case(radix_two, (np.array([0.2, 1.0, 0.5, -0.3, 0.8, 1.4, -0.6, 0.1]),)),
    Case(aitken, (0.9,)),
]
