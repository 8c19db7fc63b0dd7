"""The pole on a cart: a policy balances it from whatever state a push has left it in."""

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

SECONDS = 5.0
# Past the rules' 12 degrees a pole can still be caught; on the page it has fallen when it lies.
FALLEN = math.pi / 2
LIMITS = {"x": 2.4, "velocity": 20.0, "angle": FALLEN, "rate": 20.0}


def balance(body: dict[str, Any]) -> dict[str, Any]:
    """{x, velocity, angle, rate} to the next 5 seconds: `states` at every step of `dt` s, the cart's pushes (-1 or 1), and what
    ended it early, "pole" or "rail" (None: nothing).
    """
    state = [number(body, name, -limit, limit) for name, limit in LIMITS.items()]
    played = jax.device_get(_play()(np.asarray(state, np.float32)))
    steps = int(played.alive.sum())
    states = np.concatenate([played.states, played.final[None]])[: steps + 1]
    env, last = _env(), states[-1]
    ended = None if steps == len(played.alive) else "rail" if abs(last[0]) > env.x_threshold else "pole"
    return {
        "dt": env.tau,
        # Four digits: tenths of a millimetre.
        "states": np.round(states.astype(float), 4).tolist(),
        "pushes": (2 * played.actions[:steps] - 1).astype(int).tolist(),
        "ended": ended,
    }


@functools.cache
def _env() -> control.CartPole:
    return control.CartPole(theta_threshold_radians=FALLEN)


@functools.cache
def _play() -> Callable[..., control.Trajectory]:
    env, balances = _env(), policy("cartpole")
    return jax.jit(lambda state: control.rollout(env, balances, jnp.asarray(state), round(SECONDS / float(env.tau))))
