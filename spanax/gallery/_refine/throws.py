"""A trebuchet in a wind that grows with height, seen through a model in which it does not."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ... import control
from ...control.trebuchet import Machine, Shot
from ...control.trebuchet.machine import FOOT, body

NOISE = 0.1  # metres, of a measured distance
WIND = 3.0  # m/s, the standard deviation of what the vane shows
GROWTH = 0.015  # of the wind by each metre of height: the vane stands on the ground
DRAG = 1.2  # the real coefficient; the model's is 1


class Thrower(control.Trebuchet):
    """A trebuchet in `gain` times the wind that the vane shows."""

    gain: float = 1.0

    def step(self, state, action):
        angle, weight = action
        return state._replace(distance=control.shoot(self.gain * state.wind, angle, weight, machine=self.machine))


PARAMETERS = ["gain", "machine.drag_coefficient"]


class Throws(NamedTuple):
    winds: np.ndarray
    settings: np.ndarray  # (n, 2): angle, weight


def draw(count: int, rng: np.random.Generator) -> Throws:
    return Throws(rng.normal(0, WIND, count), rng.uniform([30.0, 150.0], [60.0, 400.0], (count, 2)))


def real_distance(wind: float, angle: float, weight: float, step: float = 0.01) -> float:
    """Where a throw lands in a wind that grows with height. An own integration, so that the model is not its own judge."""
    # The machine is as modelled: only the flight is another.
    there = control.throw(wind, angle, weight)
    row = int(np.argmax(np.asarray(there.phase == 2) & np.asarray(there.valid)))
    state = np.concatenate([np.asarray(there.projectile[row], float), np.asarray(there.velocity[row], float)])
    machine = Machine(drag_coefficient=DRAG)
    drag, ground = float(body(machine, jnp.asarray(weight)).drag), -FOOT * machine.pivot_height

    def slope(s):
        air = s[2:] - np.array([wind * (1 + GROWTH * (s[1] - ground)), 0.0])
        return np.concatenate([s[2:], -drag * np.hypot(*air) * air - np.array([0.0, machine.gravity])])

    while True:
        k1 = slope(state)
        k2 = slope(state + step / 2 * k1)
        k3 = slope(state + step / 2 * k2)
        after = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + slope(state + step * k3))
        if after[1] < ground:
            # The last step is short enough for a straight line.
            return float(state[0] + (after[0] - state[0]) * (state[1] - ground) / (state[1] - after[1]))
        state = after


def observe(throws: Throws, rng: np.random.Generator) -> control.Trajectory:
    """Each throw as an episode of one step: measured are the wind before it, and the distance after it."""
    far = np.array([real_distance(wind, *setting) for wind, setting in zip(throws.winds, throws.settings, strict=True)])
    measured = far + NOISE * rng.normal(size=len(far))
    winds, distances, settings = (jnp.asarray(x, float) for x in (throws.winds, measured, throws.settings))
    # One step an episode; the target of a throw is of no matter here.
    zero, flags = jnp.zeros((len(far), 1)), jnp.ones((len(far), 1), bool)
    before, after = Shot(winds[:, None], zero, zero), Shot(winds, zero[:, 0], distances)
    seen: Any = None
    return control.Trajectory(before, seen, settings[:, None], zero, flags, after)


def misses(env: Any, winds: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """By how many metres real throws miss that were aimed by this model."""
    # A field that was fitted is a float, as `aim` needs it.
    aims = [
        control.aim(target, env.gain * wind, machine=env.machine) for wind, target in zip(winds, targets, strict=True)
    ]
    real = [real_distance(wind, aim.angle, aim.weight) for wind, aim in zip(winds, aims, strict=True)]
    return np.array(real) - targets
