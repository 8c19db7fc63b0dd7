"""Calibrating a stochastic epidemic: five parameters from one noisy curve, in three ways, and how far each is to be trusted.

The simulator (`_calibrate/outbreak.py`) is agent-based and plain NumPy: people, days, random numbers, and no derivative. The data
are one of its runs: how many fell ill in each of 14 weeks, and how many were ill. Two epidemics with the same parameters differ,
and the luck of one week is carried over to the next. So the question is not only which parameters fit, but what the curve says
about them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Key

import spanax as sx

from ._calibrate.curve import Curve, Logs, curve, logs
from ._calibrate.lab import Lab
from ._calibrate.method import Found, Method, timed
from ._shared.run import Run

# People infected in a day by one who is ill: before, during and after a lockdown. Days of illness. Share exposed at the start.
TRUTH = {"open": 0.6, "lockdown": 0.12, "reopened": 0.4, "illness": 6.0, "start": 0.02}
GUESS = {"open": 0.4, "lockdown": 0.2, "reopened": 0.3, "illness": 8.0, "start": 0.01}
LOWER = {"open": 0.2, "lockdown": 0.03, "reopened": 0.1, "illness": 3.0, "start": 0.004}
UPPER = {"open": 1.5, "lockdown": 0.6, "reopened": 1.2, "illness": 15.0, "start": 0.08}
BOUNDS = logs(LOWER), logs(UPPER)

VERSION = "outbreak-1"  # of what the store keeps: a changed simulator gets another
STEP = 0.1  # of differences, 10%: those of shorter steps drown in noise, those of longer ones are bent
RUNS = 4  # epidemics whose mean is one value, with half the noise of the data
SCATTER = 250  # epidemics that show how much they differ
STEPS, QUICK_STEPS = 200, 80  # of `descend`
DESIGNS, QUICK_DESIGNS = 1000, 400  # epidemics that the surrogate learns from
AROUND = np.float32(0.5)  # how far around the first fit: a factor of 1.6, and 3 standard errors of what is known least


@dataclass(frozen=True)
class Settings:
    seed: int
    workers: int
    steps: int
    designs: int


@dataclass(frozen=True)
class Result:
    """The methods that came to their end (all of them, if not `interrupted`), and the files written."""

    settings: Settings
    methods: tuple[Method, ...]
    interrupted: bool
    files: tuple[Path, ...]


def run(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    workers: int = 2,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> Result:
    """Fits one epidemic in three ways, and writes calibrate.png, result.json and runs.db into `out`.

    - `quick`: 80 steps of `descend` instead of 200, and 400 epidemics for the surrogate instead of 1,000;
    - `seed`: of the epidemic that is observed, and of all draws; `workers`: processes that run the simulator;
    - `on_stage`: called with "first fit", with the name of each method, and with "drawing".

    runs.db has every epidemic that was run: what is done again, after Ctrl-C or a crash, runs none of them twice. At Ctrl-C
    (`KeyboardInterrupt`) the methods that came to their end are drawn and reported, and the result says `interrupted`.
    """
    settings = Settings(seed, workers, *((QUICK_STEPS, QUICK_DESIGNS) if quick else (STEPS, DESIGNS)))
    this = Run(out, "calibrate", settings, on_stage)
    data, keys = observe(seed), jax.random.split(jax.random.key(seed), 5)
    ways = {
        "least_squares": by_least_squares,
        "descend": partial(by_descent, steps=settings.steps),
        "fit_surrogate": partial(by_surrogate, designs=settings.designs),
    }
    methods: list[Method] = []
    pictures = ()
    with sx.processes(workers) as pool, sx.Store(this.out / "runs.db", version=VERSION) as store:
        lab = Lab(BOUNDS, sx.Run(executor=pool, timeout=60), store)
        with this.until_interrupted():
            this.stage("first fit")
            problem = pose(lab, data, keys[0])
            for key, (name, way) in zip(keys[2:], ways.items(), strict=True):
                this.stage(name)
                methods.append(timed(name, lab, TRUTH, partial(way, problem, key)))
        if methods:
            this.stage("drawing")
            pictures = (_draw(this.out, problem, methods, keys[1]),)
    report = this.report(truth=TRUTH, methods=[asdict(one) for one in methods])
    return Result(settings, tuple(methods), this.interrupted, (*pictures, report))


def observe(seed: int) -> Curve:
    """The epidemic that is to be explained."""
    return curve(logs(TRUTH), [seed, 2020])  # seeds of the fits are single numbers


@dataclass(frozen=True)
class Problem:
    """A simulator and a curve; a first fit to it, and the covariance of the curve's noise."""

    lab: Lab
    data: Curve
    first: Any  # `Logs`, which a type checker does not know of a pytree
    scatter: Float[np.ndarray, "28 28"]


# First of all: how large is the noise? A fit that takes all weeks alike is good enough to start from, for epidemics with its
# parameters scatter as the data do. They show the whole covariance: a fit that took weeks for independent would be too sure.
def pose(lab: Lab, data: Curve, key: Key[Array, ""]) -> Problem:
    first = _least_squares(lab, data, logs(GUESS), key, step=3 * STEP, sigma=1.0).x
    like_it = lab.many(sx.FiniteDifference(step=STEP), SCATTER)(first, key=key)
    # The inverse of a covariance of few curves is too large on average, by this factor (Hartlap et al. 2007).
    scatter = np.cov(np.asarray(like_it, np.float64).T) * (SCATTER - 1) / (SCATTER - len(data) - 2)
    return Problem(lab, data, first, scatter)


# 1. Least squares. The Jacobian comes from differences with common random numbers: the same people have the same luck on both
# sides.
def by_least_squares(problem: Problem, key: Key[Array, ""]) -> Found:
    fit = _least_squares(problem.lab, problem.data, logs(GUESS), key, sigma=problem.scatter, repeats=8)
    return Found(fit.x, *fit.interval(0.95), "the Jacobian at its end")


def _least_squares(lab: Lab, data: Curve, start: Logs, key: Key[Array, ""], *, step: float = STEP, **options) -> sx.Fit:
    simulate = lab.mean(sx.FiniteDifference(step=step), RUNS)
    return sx.least_squares(lambda x, key: simulate(x, key=key) - data, start, bounds=BOUNDS, key=key, **options)


# 2. Descent on the same sum of squares. All it asks of the program is a number, so it would do for any loss.
def by_descent(problem: Problem, key: Key[Array, ""], *, steps: int) -> Found:
    import optax

    simulate = problem.lab.mean(sx.Smoothing(sigma=STEP, pairs=5), RUNS // 2)
    root = jnp.asarray(np.linalg.cholesky(problem.scatter), jnp.float32)

    def misfit(x: Logs, *, key: Key[Array, ""]) -> Float[Array, ""]:
        return jnp.sum(solve_triangular(root, simulate(x, key=key) - problem.data, lower=True) ** 2) / 2

    first, last = jax.random.split(key)
    # The rate falls to 0, so that the last steps average the noise instead of following it.
    optimizer = optax.adam(optax.cosine_decay_schedule(STEP, steps))
    found = sx.descend(misfit, logs(GUESS), optimizer=optimizer, steps=steps, key=first, bounds=BOUNDS)
    if found.stopped == "interrupted":  # half a descent is not to be compared with the others
        raise KeyboardInterrupt
    # A descent does not know how far off it may be. Least squares does, and from there it need not take a step: any is tolerated.
    fit = _least_squares(problem.lab, problem.data, found.x, last, sigma=problem.scatter, repeats=8, tolerance=1e9)
    lower, upper = ({name: found.x[name] + end[name] - fit.x[name] for name in end} for end in fit.interval(0.95))
    return Found(found.x, lower, upper, "the Jacobian of least_squares at its end")


# 3. A network, trained on epidemics around the first fit and then fitted in place of the simulator: its derivative is exact, and
# the next curve costs nothing. It is as right as its report says; by how much it is wrong is not in the interval.
def by_surrogate(problem: Problem, key: Key[Array, ""], *, designs: int) -> Found:
    simulate = problem.lab.box(sx.FiniteDifference(step=STEP))
    lower, upper = (
        {name: np.clip(x + way * AROUND, *(end[name] for end in BOUNDS)) for name, x in problem.first.items()}
        for way in (-1, 1)
    )
    model = sx.fit_surrogate(simulate, (lower, upper), key=key, evaluations=designs)
    fit = sx.least_squares(
        lambda x: model(x) - problem.data, problem.first, bounds=(lower, upper), sigma=problem.scatter
    )
    return Found(fit.x, *fit.interval(0.95), "the network's Jacobian")


def _draw(out: Path, problem: Problem, methods: list[Method], key: Key[Array, ""]) -> Path:
    from ._calibrate.picture import picture

    path, x = out / "calibrate.png", logs({name: one.value for name, one in methods[0].parameters.items()})
    fitted = problem.lab.many(sx.FiniteDifference(step=STEP), SCATTER)(x, key=key)
    picture(path, problem.data, np.asarray(fitted), methods)
    return path


# What was learnt.
LEARNT = (
    "least_squares takes the fewest epidemics: it uses all 28 numbers of each, and knows its errors.",
    "descend comes to the same place with 4 to 9 times as many, and would do so for any loss.",
    "The surrogate takes as many again as least_squares, and fits the next curve at once. Its own error, here up to "
    "1.2 standard errors, is not in its interval.",
)
