"""Functions of NumPy that surrogates are fitted to, with exact derivatives where they have any, and what has none."""

import hashlib

import numpy as np


def camel(x):
    """Three-hump camel."""
    return 2 * x[0] ** 2 - 1.05 * x[0] ** 4 + x[0] ** 6 / 6 + x[0] * x[1] + x[1] ** 2


def camel_slope(x):
    return np.array([4 * x[0] - 4.2 * x[0] ** 3 + x[0] ** 5 + x[1], x[0] + 2 * x[1]])


def friedman(x):
    return 10 * np.sin(np.pi * x[0] * x[1]) + 20 * (x[2] - 0.5) ** 2 + 10 * x[3] + 5 * x[4]


def friedman_slope(x):
    inner = 10 * np.pi * np.cos(np.pi * x[0] * x[1])
    return np.array([inner * x[1], inner * x[0], 40 * (x[2] - 0.5), 10.0, 5.0])


def bowl(x):
    return np.sum((x - 0.25) ** 2)


def step(x):
    return np.where(np.sum(x) > 0.3, 1.0, 0.0)


def white_noise(x):
    """As random as a digest of its input."""
    digest = hashlib.sha256(np.asarray(x, np.float32).tobytes()).digest()
    return int.from_bytes(digest[:4], "little") / 2**32


def weierstrass(x):
    """Continuous, and without a derivative anywhere (to its twelfth term)."""
    x = np.atleast_1d(np.asarray(x, np.float64))
    return sum(0.5**k * np.sum(np.cos(7**k * np.pi * x)) for k in range(12))


def cosine(a, b):
    """Over all points and coordinates."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    return np.sum(a * b) / np.linalg.norm(a) / np.linalg.norm(b)
