"""A throw as a scene for pictures: where every part is, at even times."""

from __future__ import annotations

import numpy as np

from ...control.trebuchet.env import Throw
from .pictures import FLIGHT, SWING, Scene


def scene(thrown: Throw) -> Scene:
    """Of a throw that lands."""
    rows = np.asarray(thrown.valid)
    known = np.asarray(thrown.times)[rows]
    release, landing = float(thrown.event_times[1]), float(thrown.event_times[2])
    # The swing takes a second and the flight many: two time scales, so that both can be followed.
    early, late = np.arange(0, release, SWING), np.append(np.arange(release, landing, FLIGHT), landing)
    times = np.append(early, late)
    # The machine's own coordinates begin at the pivot; pictures have the ground at 0.
    ground = np.array([0, -float(thrown.projectile[-1, 1])])

    def at(part) -> np.ndarray:
        return np.stack([np.interp(times, known, x) for x in np.asarray(part)[rows].T], axis=1) + ground

    return Scene(
        times,
        projectile=at(thrown.projectile),
        tip=at(thrown.arm_tip),
        short=at(thrown.arm_tail),
        weight=at(thrown.weight),
        pivot=ground,
        released=len(early),
    )
