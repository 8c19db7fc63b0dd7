"""Curves to fit, with certified answers.

Misra1a, BoxBOD and MGH09 with their certified values are from NIST's Statistical Reference Datasets, nonlinear regression.
"""

from typing import NamedTuple

import numpy as np


class Curve(NamedTuple):
    """A model in NumPy or JAX, its data, a start, and the certified parameters, standard errors and sum of squares."""

    model: object
    t: np.ndarray
    y: np.ndarray
    start: tuple
    x: tuple
    errors: tuple | None
    rss: float

    def residuals(self, x):
        return self.model(x, self.t) - self.y


def _numbers(text):
    return np.array(text.split(), np.float64)


def _exp(z):
    # NumPy's or JAX's, whatever z is.
    return np.exp(z) if isinstance(z, np.ndarray | float | np.generic) else z.__array_namespace__().exp(z)


MISRA1A = Curve(
    lambda x, t: x[0] * (1 - _exp(-x[1] * t)),
    _numbers("77.6 114.9 141.1 190.8 239.9 289.0 332.8 378.4 434.8 477.3 536.8 593.1 689.1 760.0"),
    _numbers("10.07 14.73 17.94 23.93 29.61 35.18 40.02 44.82 50.76 55.05 61.01 66.40 75.47 81.78"),
    (250.0, 5e-4),
    (2.3894212918e2, 5.5015643181e-4),
    (2.7070075241, 7.2668688436e-6),
    1.2455138894e-1,
)
BOXBOD = Curve(
    MISRA1A.model,
    _numbers("1 2 3 5 7 10"),
    _numbers("109 149 149 191 213 224"),
    (100.0, 0.75),
    (2.1380940889e2, 5.4723748542e-1),
    (1.2354515176e1, 1.0455993237e-1),
    1.1680088766e3,
)
MGH09 = Curve(
    lambda x, t: x[0] * (t**2 + t * x[1]) / (t**2 + t * x[2] + x[3]),
    _numbers("4 2 1 .5 .25 .167 .125 .1 .0833 .0714 .0625"),
    _numbers(".1957 .1947 .1735 .16 .0844 .0627 .0456 .0342 .0323 .0235 .0246"),
    (0.25, 0.39, 0.415, 0.39),
    (1.9280693458e-1, 1.9128232873e-1, 1.2305650693e-1, 1.3606233068e-1),
    (1.1435312227e-2, 1.9633220911e-1, 8.0842031232e-2, 9.0025542308e-2),
    3.0750560385e-4,
)
CERTIFIED = {"Misra1a": MISRA1A, "BoxBOD": BOXBOD, "MGH09": MGH09}


def decay_curve(seed=0, points=30, noise=0.05):
    """An exponential decay to a level, with Gaussian noise; x = (height, rate, level)."""
    t = np.linspace(0.0, 4.0, points)
    x = (2.5, 1.3, 0.5)

    def model(x, t):
        return x[0] * _exp(-x[1] * t) + x[2]

    y = model(x, t) + noise * np.random.default_rng(seed).standard_normal(points)
    return Curve(model, t, y, (1.0, 1.0, 0.0), x, None, np.nan)


def rosenbrock(x):
    """The residuals of Rosenbrock's function, 0 at (1, 1)."""
    return np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]])
