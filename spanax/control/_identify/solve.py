"""The method of Levenberg and Marquardt for parameters that all windows share and a state that each has for itself.

The normal equations have a block for each window's state, which is eliminated (a Schur complement), so that the cost grows
with the number of windows and not with its cube. Marquardt 1963 (SIAM J. Appl. Math. 11, 431); Golub and Pereyra 1973 (SIAM J.
Numer. Anal. 10, 413).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .shooting import Problem

_STEPS, _MOST_DAMPING = 60, 1e10
# A step that lowers the cost by less than this part of it changes nothing that the data could tell.
_ENOUGH = 1e-9


class Bounds(NamedTuple):
    low: Float[np.ndarray, " p"]
    high: Float[np.ndarray, " p"]


class Point(NamedTuple):
    """Where the search stands: parameters, a state for each window, and the weighted sum of squares."""

    theta: Float[np.ndarray, " p"]
    states: Float[np.ndarray, "W n"]
    cost: float


class Equations(NamedTuple):
    """The normal equations at a point, with the states eliminated: `info` theta = -`slope`, and what gives the states back."""

    info: Float[np.ndarray, "p p"]
    slope: Float[np.ndarray, " p"]
    inverse: Float[np.ndarray, "W n n"]  # of the states' own blocks
    cross: Float[np.ndarray, "W n p"]
    own: Float[np.ndarray, "W n"]
    alone: Float[np.ndarray, " p"]  # each parameter's own curvature, if the states were known

    def states(self, step: Float[np.ndarray, " p"]) -> Float[np.ndarray, "W n"]:
        """The states' step that belongs to this one of the parameters."""
        return -np.einsum("wij,wj->wi", self.inverse, self.own + self.cross @ step)


def equations(
    problem: Problem, point: Point, weights: Float[np.ndarray, " channels"], damping: float = 0.0
) -> Equations:
    """`weights`: of the errors' channels. `damping`: relative to each unknown's own curvature, as Marquardt has it."""
    value, by_theta, by_state = problem.linear(point.theta, point.states)
    rows = (flatten(x, weights) for x in (value[..., None], by_theta, by_state))
    return reduce(*rows, damping=damping)


def flatten(x: np.ndarray, weights: np.ndarray) -> Float[np.ndarray, "W rows unknowns"]:
    # Sizes are written out: without parameters an array is empty, and -1 would be ambiguous.
    return (x * weights[:, None]).reshape(x.shape[0], x.shape[1] * x.shape[2], x.shape[3])


def reduce(value: np.ndarray, by_theta: np.ndarray, by_state: np.ndarray, damping: float = 0.0) -> Equations:
    own = by_state.transpose(0, 2, 1) @ by_state
    # A direction of the state that the window does not see stays where it is, by the pseudo-inverse.
    diagonal = np.einsum("wii->wi", own)
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    scaled = own / (scale[:, :, None] * scale[:, None, :]) + damping * np.eye(own.shape[-1])
    inverse = np.linalg.pinv(scaled, rcond=1e-10, hermitian=True) / (scale[:, :, None] * scale[:, None, :])
    cross, rest = by_state.transpose(0, 2, 1) @ by_theta, (by_state.transpose(0, 2, 1) @ value)[..., 0]
    full = np.einsum("wri,wrj->ij", by_theta, by_theta)
    # Damped by the full curvature: what the elimination leaves of it may be next to nothing.
    info = full - np.einsum("wip,wij,wjq->pq", cross, inverse, cross) + damping * np.diag(np.diag(full))
    slope = np.einsum("wri,wr->i", by_theta, value[..., 0]) - np.einsum("wip,wij,wj->p", cross, inverse, rest)
    return Equations(info, slope, inverse, cross, rest, np.diag(full).copy())


def cost_at(problem: Problem, theta: np.ndarray, states: np.ndarray, weights: np.ndarray) -> float:
    return float(np.sum((problem.errors(theta, states) * weights) ** 2))


def minimise(problem: Problem, theta: np.ndarray, states: np.ndarray, weights: np.ndarray, bounds: Bounds) -> Point:
    """The least weighted sum of squares, from here. Parameters stay between the bounds."""
    point, damping = Point(theta, states, cost_at(problem, theta, states, weights)), 1e-3
    for _ in range(_STEPS):
        value, by_theta, by_state = problem.linear(point.theta, point.states)
        rows = [flatten(x, weights) for x in (value[..., None], by_theta, by_state)]
        better, damping = _better(problem, point, rows, weights, bounds, damping)
        gain, point = point.cost - better.cost, better
        if gain <= _ENOUGH * point.cost:
            break
    return point


def _better(problem, point, rows, weights, bounds: Bounds, damping: float) -> tuple[Point, float]:
    """The first shorter and shorter step that lowers the cost, and the damping to go on with; the same point if none does."""
    while damping < _MOST_DAMPING:
        system = reduce(*rows, damping=damping)
        step = _step(system, point.theta, bounds)
        theta = np.clip(point.theta + step, bounds.low, bounds.high)
        # With the step that is taken, which a bound may have shortened.
        states = point.states + system.states(theta - point.theta)
        cost = cost_at(problem, theta, states, weights)
        # NaN and infinity are not lower: a step to where the simulation fails is not taken.
        if cost < point.cost:
            return Point(theta, states, cost), max(damping / 10, 1e-12)
        damping *= 10
    return point, damping


def _step(system: Equations, theta: np.ndarray, bounds: Bounds) -> np.ndarray:
    """The step of the parameters, of which those stay that are at a bound and would leave it."""
    leaves = ((theta <= bounds.low) & (system.slope > 0)) | ((theta >= bounds.high) & (system.slope < 0))
    step, free = np.zeros_like(theta), np.flatnonzero(~leaves)
    if len(free):
        info = system.info[np.ix_(free, free)]
        scale = np.sqrt(np.maximum(np.diag(info), np.finfo(float).tiny))
        step[free] = (
            -np.linalg.pinv(info / np.outer(scale, scale), rcond=1e-14, hermitian=True)
            @ (system.slope[free] / scale)
            / scale
        )
    return step
