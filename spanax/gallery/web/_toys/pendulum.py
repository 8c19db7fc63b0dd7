"""The pendulum: a policy swings it up from wherever it was thrown."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .... import control
from ..requests import number
from .policies import policy

SECONDS = 8.0
UPRIGHT = 0.1  # rad: so near, from then on, it stands


def swing(body: dict[str, Any]) -> dict[str, Any]:
    """{angle, velocity} to the next 8 seconds: `states` (rad from upright, rad/s) at every step of `dt` s, the `torques` in
    N m, and the second from which on it is upright (None: not yet).
    """
    speed = control.Pendulum().max_speed
    start = [number(body, "angle", -math.pi, math.pi), number(body, "velocity", -speed, speed)]
    played = jax.device_get(_play()(np.asarray(start, np.float32)))
    states = np.concatenate([played.states, played.final[None]]).astype(float)
    return {
        "dt": control.Pendulum().dt,
        "states": np.round(states, 4).tolist(),
        "torques": np.round(played.actions[:, 0].astype(float), 3).tolist(),
        "upright_s": _upright(states[:, 0], control.Pendulum().dt),
    }


def _upright(angles: np.ndarray, dt: float) -> float | None:
    away = np.abs((angles + math.pi) % (2 * math.pi) - math.pi) > UPRIGHT
    # After the last moment at which it is away; at the end itself nothing has been shown to stay.
    since = int(np.flatnonzero(away)[-1]) + 1 if away.any() else 0
    return None if since >= len(angles) - 1 else round(since * dt, 2)


@functools.cache
def _play() -> Callable[..., control.Trajectory]:
    env, swings = control.Pendulum(), policy("pendulum")
    return jax.jit(lambda state: control.rollout(env, swings, jnp.asarray(state), round(SECONDS / env.dt)))
