"""The estimate: parameters, the noise of what was measured, and what the data say about each parameter."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from ..._errors import SpanaxError
from .shooting import Problem
from .solve import Bounds, Equations, Point, equations, minimise

# Rounds of fitting with the noise as it was found, and the change of it that is too small for another.
_ROUNDS, _SETTLED = 20, 1e-4
# A direction in which the errors change by less than this part of what they would if the parameters were independent.
_FLAT = {"float32": 1e-3, "float64": 1e-7}


class Estimate(NamedTuple):
    """`noise`: the standard deviation of each channel's errors. `correlation`: of successive errors, in standard errors of it."""

    point: Point
    noise: Float[np.ndarray, " channels"]
    covariance: Float[np.ndarray, "p p"]
    at_bound: Bool[np.ndarray, " p"]
    correlation: float


def estimate(
    problem: Problem, theta: np.ndarray, states: np.ndarray, spread: np.ndarray, bounds: Bounds, labels: list[str]
) -> Estimate:
    """Maximum likelihood for normal noise of an unknown size in each channel: least squares weighted by the noise it finds.

    The covariance of the parameters is the inverse of the information that is left after the states are fitted as well. Raises
    `SpanaxError` where there is none.
    """
    noise, smallest = spread, _rounding(problem, spread)
    point = Point(theta, states, np.inf)
    for _ in range(_ROUNDS):
        point = minimise(problem, point.theta, point.states, 1 / noise, bounds)
        # A model that fits to the last digit would find a noise of 0, and weights without a bound.
        before, noise = noise, np.maximum(_noise(problem, point, 1 / noise), smallest)
        if np.all(np.abs(noise / before - 1) < _SETTLED):
            break
    system = equations(problem, point, 1 / noise)
    _check_determined(system, labels, _FLAT[np.dtype(problem.dtype).name] ** 2)
    at_bound = (point.theta <= bounds.low) | (point.theta >= bounds.high)
    errors = problem.errors(point.theta, point.states) / noise
    return Estimate(
        point,
        noise,
        _covariance(system, at_bound),
        at_bound,
        # What is only the simulation's rounding has correlations that mean nothing.
        _correlation(errors, problem.counted, noise > 10 * smallest),
    )


def warm_up(problem: Problem, states: np.ndarray, theta: np.ndarray, spread: np.ndarray, bounds: Bounds) -> np.ndarray:
    """Parameters to start from, of short windows: their errors have few other minima."""
    return minimise(problem, theta, states, 1 / spread, bounds).theta


def _rounding(problem: Problem, spread: np.ndarray) -> np.ndarray:
    """Below this an error is the simulation's own, and says nothing about noise."""
    largest = np.max(np.abs(problem.windows.measured), (0, 1))
    return 10 * float(np.finfo(problem.dtype).eps) * np.maximum(largest, spread)


def _noise(problem: Problem, point: Point, weights: np.ndarray) -> np.ndarray:
    errors, counted = problem.errors(point.theta, point.states), problem.counted
    numbers = counted.sum() * errors.shape[-1]
    # Every fitted number takes one error with it, whichever channel it is from.
    fitted = len(point.theta) + _ranks(equations(problem, point, weights))
    if numbers <= fitted:
        raise SpanaxError(
            f"{numbers} measured numbers do not determine {len(point.theta)} parameters and the first state of each window",
            "more data",
            "a longer `window`",
        )
    return np.sqrt(np.sum(errors**2, (0, 1)) / (counted.sum() * (1 - fitted / numbers)))


def _ranks(system: Equations) -> int:
    return int(np.linalg.matrix_rank(system.inverse, hermitian=True).sum()) if system.inverse.size else 0


def _correlation(errors: np.ndarray, counted: np.ndarray, noisy: np.ndarray) -> float:
    """Of an error with the next one, over what it would be by chance. Fitted states make it a little negative."""
    both = (counted[:, 1:] & counted[:, :-1])[..., None] & noisy
    count, square = np.sum(both), np.sum(errors[:, 1:] ** 2 * both)
    return float(np.sum(errors[:, 1:] * errors[:, :-1] * both) / square * np.sqrt(count)) if square else 0.0


def _covariance(system: Equations, at_bound: np.ndarray) -> np.ndarray:
    """NaN for parameters at a bound: the data would have them beyond it."""
    free = np.flatnonzero(~at_bound)
    covariance = np.full(system.info.shape, np.nan)
    if len(free):
        info = system.info[np.ix_(free, free)]
        # In units that make the diagonal 1: else those of the fields would decide what the pseudo-inverse drops.
        scale = np.sqrt(np.diag(info))
        covariance[np.ix_(free, free)] = np.linalg.pinv(info / np.outer(scale, scale), hermitian=True) / np.outer(
            scale, scale
        )
    return covariance


def _check_determined(system: Equations, labels: list[str], flat: float) -> None:
    """Raises `SpanaxError` that names the parameters of which the data say nothing, alone or together."""
    left = np.diag(system.info)
    # Where the fitted states can do all that a parameter does, nothing is left of its curvature.
    silent = ~(left > flat * system.alone) | ~(system.alone > 0)
    if silent.any():
        names = ", ".join(label for label, is_silent in zip(labels, silent, strict=True) if is_silent)
        raise SpanaxError(
            f"the data say nothing about {names}: what was measured does not depend on it",
            "`parameters` without it",
            "data in which it matters",
        )
    scale = np.sqrt(left)
    sizes, directions = np.linalg.eigh(system.info / np.outer(scale, scale))
    if len(sizes) and not sizes[0] > flat:
        names = [label for label, part in zip(labels, np.abs(directions[:, 0]), strict=True) if part > 0.1]
        raise SpanaxError(
            f"the data cannot tell {', '.join(names[:-1])} and {names[-1]} apart: changed together, nothing measured changes",
            f"`parameters` without one of them: {', '.join(names)}",
            "data of another kind (other actions, other starts), if they tell them apart",
        )
