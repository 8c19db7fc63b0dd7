"""The loop of `least_squares` on a noisy decay in plain NumPy, for statistics over hundreds of data sets.

A stand-in for `Problem`: central differences of values that each have noise of their own, the worst that a simulator can do, or
the same noise for one key.
"""

import warnings

import jax
import numpy as np

import spanax as sx
from spanax.surrogate._least_squares.final import final_fields
from spanax.surrogate._least_squares.loop import Search
from spanax.surrogate._least_squares.problem import Probed
from spanax.surrogate._least_squares.vector import Form

T = np.linspace(0.0, 4.0, 30)
TRUTH = np.array([2.5, 0.5, 1.3])
FORM = Form.of("x", {"height": 1.0, "level": 1.0, "rate": 1.0})
DATA_NOISE = 0.05


def model(x):
    return x[0] * np.exp(-x[2] * T) + x[1]


class Noisy:
    """`noise`: of one value; `steps`: of the differences; `is_common`: has one key one noise, at all x?"""

    noisy = is_random = True
    form, resolution, failed = FORM, 2.0**-52, 0
    raw = staticmethod(lambda r: r)

    def __init__(self, seed, noise, steps, is_common, sigma):
        self.rng = np.random.default_rng(seed)
        self.y = model(TRUTH) + DATA_NOISE * self.rng.standard_normal(len(T))
        self.noise, self.steps, self.is_common, self.sigma = noise, np.array(steps), is_common, sigma
        self.evaluations = 0

    def value(self, x, key):
        self.evaluations += 1
        rng = np.random.default_rng(np.asarray(jax.random.key_data(key))) if self.is_common else self.rng
        return (model(x) + self.noise * rng.standard_normal(len(T)) - self.y) / (self.sigma or 1.0)

    def probe(self, x, key):
        columns = [
            (self.value(x + move, key) - self.value(x - move, key)) / (2 * step)
            for step, move in zip(self.steps, np.diag(self.steps), strict=True)
        ]
        return Probed(self.value(x, key), np.stack(columns, 1))

    def probe_many(self, x, keys):
        each = [self.probe(x, key) for key in keys]
        return Probed(np.stack([e.r for e in each]), np.stack([e.J for e in each]))

    def values(self, x, keys):
        return np.stack([self.value(x, key) for key in keys])

    def rounded(self, x, lower, upper):
        return np.clip(x, lower, upper)


def fit(seed, *, noise, steps, is_common=False, sigma=None, repeats=4):
    problem = Noisy(seed, noise, steps, is_common, sigma)
    free = np.full(3, np.inf)
    search = Search(problem, np.array([1.0, 0.0, 1.0]), -free, free, jax.random.key(seed), 1e-3, sigma and 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", sx.SpanaxWarning)
        return sx.Fit(**final_fields(search, search.run(100), sigma, repeats))
