"""An agent-based simulator of an epidemic, as somebody else may have written it: NumPy, days and people, and no derivative.

Susceptible, exposed, infectious, recovered (SEIR). Each day every person draws one number, and moves on if it is below the chance
of what comes next. The chances are those of exponential times: a susceptible person is infected at the rate
`contact * infectious / people`.
"""

from __future__ import annotations

import numpy as np

PEOPLE, WEEKS = 3000, 14
LOCKDOWN, REOPENING = 21, 49  # days
INCUBATION = 4.0  # days from infection to illness: known from the clinic

SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED = range(4)


def outbreak(
    seed: int | list[int], *, open: float, lockdown: float, reopened: float, illness: float, start: float
) -> tuple[np.ndarray, np.ndarray]:
    """One epidemic: how many people fell ill in each week, and how many were ill on an average day of it.

    - `open`, `lockdown`, `reopened`: people whom an infectious person infects in a day where everybody is susceptible: before the
      lockdown, during it and after it;
    - `illness`: its mean length, in days;
    - `start`: the share of people who are exposed on the first day.
    """
    rng = np.random.default_rng(seed)
    state = np.where(rng.random(PEOPLE, np.float32) < start, EXPOSED, SUSCEPTIBLE)
    chance = np.array([0, -np.expm1(-1 / INCUBATION), -np.expm1(-1 / illness), 0], np.float32)
    counts = [np.bincount(state, minlength=4)]
    for day in range(7 * WEEKS):
        contact = open if day < LOCKDOWN else lockdown if day < REOPENING else reopened
        chance[SUSCEPTIBLE] = -np.expm1(-contact * counts[-1][INFECTIOUS] / PEOPLE)
        # Everybody draws, even who cannot move: with the same seed a person then has the same luck whatever the parameters are,
        # and runs with nearby parameters stay alike.
        state += rng.random(PEOPLE, np.float32) < chance[state]
        counts.append(np.bincount(state, minlength=4))
    days = np.array(counts)
    ever_ill = days[:, INFECTIOUS] + days[:, RECOVERED]
    return np.diff(ever_ill[::7]), days[1:, INFECTIOUS].reshape(WEEKS, 7).mean(axis=1)
