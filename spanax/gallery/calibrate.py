"""Calibrating a stochastic epidemic: five parameters from one noisy curve, in three ways, and how far each is to be trusted.

The simulator (`_calibrate/outbreak.py`) is agent-based and plain NumPy: people, days, random numbers, and no derivative. The data are
one of its runs: how many fell ill in each of 14 weeks, and how many were ill. Two epidemics with the same parameters differ, and the
luck of one week is carried over to the next. So the question is not only which parameters fit, but what the curve says about them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

from .. import FiniteDifference, Fit, Smoothing, descend, fit_surrogate, least_squares
from ._calibrate.curve import Logs, curve, logs
from ._calibrate.lab import Lab, mean
from ._calibrate.method import Found, Method, timed
from ._shared.run import Run

# People infected in a day by one who is ill: before, during and after a lockdown. Days of illness. Share exposed at the start.
TRUTH = {"open": 0.6, "lockdown": 0.12, "reopened": 0.4, "illness": 6.0, "start": 0.02}
GUESS = {"open": 0.4, "lockdown": 0.2, "reopened": 0.3, "illness": 8.0, "start": 0.01}
LOWER = {"open": 0.2, "lockdown": 0.03, "reopened": 0.1, "illness": 3.0, "start": 0.004}
UPPER = {"open": 1.5, "lockdown": 0.6, "reopened": 1.2, "illness": 15.0, "start": 0.08}
BOUNDS = logs(LOWER), logs(UPPER)

STEP = 0.1  # of differences, 10%: those of shorter steps drown in noise, those of longer ones are bent
RUNS = 4  # epidemics whose mean is one value: their noise is then half of the data's


@dataclass(frozen=True)
class Settings:
    """`repeats`: epidemics that show the scatter; `jacobians`: averaged for the errors; `steps` of `descend`; `designs` for the
    surrogate."""

    seed: int
    workers: int
    repeats: int
    jacobians: int
    steps: int
    designs: int


@dataclass(frozen=True)
class Result:
    """The methods that came to their end (all, if not `interrupted`), epidemics run in this process, and the files written."""

    settings: Settings
    methods: tuple[Method, ...]
    run: int
    interrupted: bool
    files: tuple[Path, ...]


@dataclass(frozen=True)
class Problem:
    """The data, and the covariance of their noise."""

    data: Float[np.ndarray, "28"]
    scatter: Float[np.ndarray, "28 28"]
    lab: Lab
    settings: Settings


def run(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    workers: int = 2,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Fits one epidemic in three ways, and writes calibrate.png, result.json and runs.db into `out`.

    - `quick`: 60 steps of `descend` instead of 200, and 400 epidemics for the surrogate instead of 2,000;
    - `seed`: of the epidemic that is observed, and of all draws; `workers`: processes that run the simulator;
    - `on_stage`: called with "scatter", with the name of each method, and with "drawing".

    runs.db has every epidemic that was run: what is done again, after Ctrl-C or a crash, runs none of them twice. At Ctrl-C
    (`KeyboardInterrupt`) the methods that came to their end are drawn and reported, and the result says `interrupted`.
    """
    settings = Settings(seed, workers, 250, 8, *((60, 400) if quick else (200, 2000)))
    this = Run(out, "calibrate", settings, on_stage)
    data, key = observe(seed), jax.random.key(seed)
    methods: list[Method] = []
    with Lab(this.out, workers, BOUNDS) as lab:
        with this.until_interrupted():
            this.stage("scatter")
            problem = Problem(data, scatter(lab, data, settings.repeats, key), lab, settings)
            for number, (name, method) in enumerate(METHODS.items(), 1):
                this.stage(name)
                methods.append(timed(name, lab, lambda m=method, n=number: m(problem, jax.random.fold_in(key, n))))
        run = lab.runs()[1]
    pictures = ()
    if methods:
        this.stage("drawing")
        pictures = (_draw(this.out, problem, methods),)
    report = this.report(truth=TRUTH, methods=[asdict(one) for one in methods], run=run)
    return Result(settings, tuple(methods), run, this.interrupted, (*pictures, report))


def observe(seed: int) -> Float[np.ndarray, "28"]:
    """The epidemic that is to be explained."""
    # As far from the seeds of the fits as can be: they are 31 bits at most.
    return curve(logs(TRUTH), 2**40 + seed)


# First of all: how large is the noise? A fit that takes every week alike is good enough to start from, and epidemics with its
# parameters scatter as the data do. They give the whole covariance: a fit that took weeks for independent would be too sure of itself.
def scatter(lab: Lab, data: np.ndarray, repeats: int, key: Key[Array, ""]) -> Float[np.ndarray, "28 28"]:
    simulate = mean(lab.box(FiniteDifference(step=3 * STEP)), RUNS)
    first = least_squares(lambda x, key: simulate(x, key=key) - data, logs(GUESS), bounds=BOUNDS, key=key, sigma=1.0)
    each = jax.vmap(lambda k: lab.box(FiniteDifference(step=STEP))(first.x, key=k))(jax.random.split(key, repeats))
    # The inverse of a covariance from few repeats is too large on average, by this factor (Hartlap et al. 2007).
    return np.cov(np.asarray(each, np.float64).T) * (repeats - 1) / (repeats - len(data) - 2)


# 1. Least squares. The residuals are whitened by the covariance; the Jacobian comes from differences with common random numbers:
# the same people have the same luck on both sides.
def by_least_squares(problem: Problem, key: Key[Array, ""]) -> Found:
    fit = _fit(problem, logs(GUESS), key)
    return Found(fit.x, *fit.interval(0.95), "its Jacobian at the end")


def _fit(problem: Problem, start: Logs, key: Key[Array, ""], **options: float) -> Fit:
    simulate = mean(problem.lab.box(FiniteDifference(step=STEP)), RUNS)
    return least_squares(
        lambda x, key: simulate(x, key=key) - problem.data,
        start,
        bounds=BOUNDS,
        key=key,
        sigma=problem.scatter,
        repeats=problem.settings.jacobians,
        **options,
    )


# 2. Descent on the same sum of squares. It needs a gradient and no Jacobian, and so works for any loss; it takes more epidemics.
def by_descent(problem: Problem, key: Key[Array, ""]) -> Found:
    import optax

    # All five at once: random directions around x cost as much for five parameters as for fifty.
    simulate = mean(problem.lab.box(Smoothing(sigma=STEP, pairs=2)), RUNS)
    root = jnp.asarray(np.linalg.cholesky(problem.scatter), jnp.float32)

    def misfit(x: Logs, *, key: Key[Array, ""]) -> Float[Array, ""]:
        residuals = solve_triangular(root, simulate(x, key=key) - problem.data, lower=True)
        return jnp.sum(residuals**2) / 2

    first, last = jax.random.split(key)
    steps = problem.settings.steps
    # The rate falls to 0, so that the last steps average the noise instead of following it.
    optimizer = optax.adam(optax.cosine_decay_schedule(STEP, steps))
    found = descend(misfit, logs(GUESS), optimizer=optimizer, steps=steps, key=first, bounds=BOUNDS)
    # A descent does not know how far it may be off. Least squares does, and needs no step for it: any is tolerated.
    fit = _fit(problem, found.x, last, tolerance=1e9)
    lower, upper = (around(found.x, fit.x, end) for end in fit.interval(0.95))
    return Found(found.x, lower, upper, "the Jacobian of least_squares at its end", found.stopped == "interrupted")


def around(x: Logs, middle: Logs, end: Logs) -> Logs:
    """`end` moved with the middle of its interval to x."""
    return {name: x[name] + end[name] - middle[name] for name in x}


# 3. A network that is trained on epidemics all over the bounds, and then fitted in place of the simulator: exact derivatives, no
# noise, and the next curve costs nothing. It is as right as its report says, and its own error is not in the interval.
def by_surrogate(problem: Problem, key: Key[Array, ""]) -> Found:
    box = problem.lab.box(FiniteDifference(step=STEP))
    model = fit_surrogate(box, BOUNDS, key=key, evaluations=problem.settings.designs)
    fit = least_squares(lambda x: model(x) - problem.data, logs(GUESS), bounds=BOUNDS, sigma=problem.scatter)
    return Found(fit.x, *fit.interval(0.95), "the surrogate's own Jacobian")


METHODS = {"least_squares": by_least_squares, "descend": by_descent, "fit_surrogate": by_surrogate}
