"""The best that any policy can do on Pendulum-v1: dynamic programming over a grid of its states, backwards from the last step."""

from __future__ import annotations

import numpy as np

STEPS, ANGLES, VELOCITIES, TORQUES = 200, 512, 385, 41
TORQUE, SPEED, DT = 2.0, 8.0, 0.05
STARTS = np.random.default_rng(0).uniform([-np.pi, -1.0], [np.pi, 1.0], (100, 2))
OPTIMUM = -142.18  # the mean return over STARTS, as this file computes it

_angle = -np.pi + 2 * np.pi / ANGLES * np.arange(ANGLES)
_velocity = np.linspace(-SPEED, SPEED, VELOCITIES)
_torque = np.linspace(-TORQUE, TORQUE, TORQUES)


def solve() -> np.ndarray:
    """W[t, i, j]: the return from step t + 1 on, after a step t from angle i to velocity j; float32.

    The angle moves by the NEW velocity, so the value of a next state, (angle + dt velocity', velocity'), is first brought onto
    the grid of (angle, velocity'), along the angle; then each torque is a shift along the velocity. Both by linear interpolation.
    """
    rows = np.arange(ANGLES)[:, None] * VELOCITIES
    landing = np.clip(
        _velocity + 15.0 * np.sin(_angle)[:, None] * DT + (3.0 * DT * _torque)[:, None, None], -SPEED, SPEED
    )
    below, part = _cell((landing + SPEED) / (2 * SPEED) * (VELOCITIES - 1), VELOCITIES - 1)
    below += rows
    cost = _angle[:, None] ** 2 + 0.1 * _velocity**2

    travel = _velocity * DT / (2 * np.pi / ANGLES) + np.arange(ANGLES)[:, None]
    before = np.floor(travel).astype(int)
    share, column = travel - before, np.arange(VELOCITIES)
    here, there = before % ANGLES * VELOCITIES + column, (before + 1) % ANGLES * VELOCITIES + column

    ahead = np.zeros((STEPS, ANGLES, VELOCITIES), np.float32)
    for t in range(STEPS - 1, 0, -1):
        after = ahead[t].ravel().astype(float)
        best = np.full((ANGLES, VELOCITIES), -np.inf)
        for u, i, w in zip(_torque, below, part, strict=True):
            low = after[i]
            np.maximum(best, low + w * (after[i + 1] - low) - 0.001 * u**2, out=best)
        value = (best - cost).ravel()
        ahead[t - 1] = value[here] * (1 - share) + value[there] * share
    return ahead


def _cell(position: np.ndarray, last: int) -> tuple[np.ndarray, np.ndarray]:
    """The grid point below a position, and the part of a cell beyond it."""
    below = np.minimum(position.astype(int), last - 1)
    return below, position - below


def rollout(ahead: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The returns (n,) of the greedy policy of `ahead` from starts (n, 2), in the true dynamics, and its torques (200, n)."""
    angle, velocity = starts.T.copy()
    returns, torques = np.zeros(len(starts)), []
    for after in ahead:
        at, share = _cell((angle + np.pi) % (2 * np.pi) / (2 * np.pi) * ANGLES, ANGLES)
        free = velocity + 15.0 * np.sin(angle) * DT
        landing = np.clip(free + 3.0 * DT * _torque[:, None], -SPEED, SPEED)
        below, part = _cell((landing + SPEED) / (2 * SPEED) * (VELOCITIES - 1), VELOCITIES - 1)
        # along the angle at a fixed velocity', as the sweep interpolates
        value = sum(
            a * v * after[i % ANGLES, j]
            for i, a in ((at, 1 - share), (at + 1, share))
            for j, v in ((below, 1 - part), (below + 1, part))
        )
        u = _torque[np.argmax(value - 0.001 * _torque[:, None] ** 2, 0)]
        returns -= ((angle + np.pi) % (2 * np.pi) - np.pi) ** 2 + 0.1 * velocity**2 + 0.001 * u**2
        velocity = np.clip(free + 3.0 * DT * u, -SPEED, SPEED)
        angle = angle + velocity * DT
        torques.append(u)
    return returns, np.array(torques)


if __name__ == "__main__":
    import time

    start = time.perf_counter()
    found = rollout(solve(), STARTS)[0]
    print(f"the optimum: {found.mean():.2f} over {len(STARTS)} starts, {time.perf_counter() - start:.0f} s")
