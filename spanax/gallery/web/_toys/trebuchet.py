"""The trebuchet: a network aims, the simulator throws."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .... import control
from ....control.rollout import Policy
from ....control.showing.throw import Scene, scene
from ....control.trebuchet import Throw
from ..requests import number
from .policies import policy, reach

WINDS, TARGETS = (-8.0, 8.0), (20.0, 110.0)  # m/s and m: what may be asked, in reach or not


def asked(body: dict[str, Any]) -> tuple[float, float]:
    return number(body, "wind", *WINDS), number(body, "target", *TARGETS)


def shoot(body: dict[str, Any]) -> dict[str, Any]:
    """{wind, target} to where the network's throw lands, and the motion: see `answer`."""
    wind, target = asked(body)
    return answer(wind, target, *_shipped()(wind, target))


@functools.cache
def _shipped() -> Callable[[float, float], tuple[Any, Throw]]:
    aims = policy("trebuchet")
    # One program for all requests: numbers are its arguments, and the weights constants.
    return jax.jit(lambda wind, target: aim_and_throw(aims, wind, target))


def aim_and_throw(aims: Policy, wind: Any, target: Any) -> tuple[Any, Throw]:
    # In the precision of the weights, whatever JAX computes in.
    dtype = next(x.dtype for x in jax.tree.leaves(aims) if eqx.is_inexact_array(x))
    wind, target = jnp.asarray(wind, dtype), jnp.asarray(target, dtype)
    settings = aims(jnp.stack([wind, target]))
    return settings, control.throw(wind, *settings)


def answer(wind: float, target: float, settings: Any, thrown: Throw) -> dict[str, Any]:
    """Metres, degrees, pounds, seconds; `error_cm` is above 0 where it lands too far, `motion` has the frames of the film."""
    angle, weight = (float(x) for x in settings)
    distance, (nearest, farthest) = float(thrown.distance), reach(wind)
    return {
        "wind": wind,
        "target": target,
        "angle": round(angle, 2),
        "weight": round(weight, 1),
        "distance": round(distance, 3),
        "error_cm": round(100 * (distance - target), 1),
        "reach": [round(nearest, 1), round(farthest, 1)],
        "in_reach": nearest <= target <= farthest,
        "motion": _motion(scene(jax.device_get(thrown))),
    }


def _motion(film: Scene) -> dict[str, Any]:
    # In whole centimetres, x and y in turn: half the size of metres with two digits.
    points = {name: _centimetres(getattr(film, name)) for name in ("projectile", "tip", "short", "weight")}
    # The machine rests as soon as the projectile is off: its last place is enough.
    machine = {name: rows[: 2 * film.released + 2] for name, rows in points.items() if name != "projectile"}
    return {
        "time": np.round(film.time, 3).tolist(),
        "released": film.released,
        "pivot": _centimetres(film.pivot),
        "projectile": points["projectile"],
        **machine,
    }


def _centimetres(points: np.ndarray) -> list[int]:
    return np.rint(100 * points).astype(int).ravel().tolist()
