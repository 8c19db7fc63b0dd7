"""The record of a throw: the distance, and everything that a picture of it needs.

The three phases have each a table with room for their longest course; here these become one trajectory, in which `valid`
says which rows count. Under jit all shapes are fixed.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from . import _motion as motion
from ._event import Path
from ._phases import Phases


class Throw(eqx.Module):
    """One throw, in metres from the pivot, x forwards and y upwards, and seconds from the start.

    `distance`: x where the projectile lands; NaN where an event did not come. `event_fired`: whether it lifted off the ground,
    left the sling, and landed; `event_times`: when. The trajectory has one row for the start of each step, and one for the
    landing; a row counts where `valid`. `phase`: 0 where the projectile slides, 1 where it hangs, 2 where it flies, 3 on landing.
    After the release the machine stays as it was then.

    Everything except flags and phases can be differentiated, as `distance` can. `throw` returns it.

    >>> from spanax import control
    >>> there = control.throw(-2.0, 45.0, 200.0)
    >>> isinstance(there, control.trebuchet.Throw), there.event_fired.tolist()
    (True, [True, True, True])
    """

    distance: Float[Array, ""]
    event_fired: Bool[Array, " 3"]
    event_times: Float[Array, " 3"]
    times: Float[Array, " n"]
    valid: Bool[Array, " n"]
    phase: Int[Array, " n"]
    arm_tip: Float[Array, "n 2"]  # where the sling is tied
    arm_tail: Float[Array, "n 2"]  # where the counterweight hangs
    weight: Float[Array, "n 2"]
    projectile: Float[Array, "n 2"]
    velocity: Float[Array, "n 2"]  # of the projectile


def events_fired(phases: Phases) -> Bool[Array, " 3"]:
    """An event counts only where those before it came."""
    # The time of an event that did not come is where the phase was given up, and the next phase starts from there all the same.
    came = jnp.stack([phases.sliding.fired, phases.hanging.fired, phases.flying.fired])
    return jnp.logical_and.accumulate(came)


def distance(phases: Phases) -> Float[Array, ""]:
    return _or_nan(phases.flying.state.x, events_fired(phases)[2])


def throw_fields(phases: Phases) -> tuple[Any, Any]:
    """A throw's fields: those that can be differentiated, and the others."""
    body, slide, hang, fly = phases
    # Sliding and hanging have the same states, flight has others.
    swings = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), slide.passed, hang.passed)
    # A phase records the starts of its steps: the landing is the end of the last one.
    landing = jax.tree.map(lambda x: x[None], fly.state)
    flight = jax.tree.map(lambda a, b: jnp.concatenate([a, b]), fly.passed, landing)

    def machine_point(of_swing):
        """A point of the machine: along its way, and after the release as it was then."""
        there = jnp.stack(of_swing(body, swings), -1)
        last = jnp.stack(of_swing(body, hang.state))
        return jnp.concatenate([there, jnp.broadcast_to(last, (len(flight.x), 2))])

    came = events_fired(phases)
    times = jnp.stack([slide.state.time, hang.state.time, fly.state.time])
    smooth = {
        "distance": distance(phases),
        "event_times": jax.vmap(_or_nan)(times, came),
        "times": jnp.concatenate([swings.time, flight.time]),
        "arm_tip": machine_point(lambda *at: motion.arm_ends(*at)[0]),
        "arm_tail": machine_point(lambda *at: motion.arm_ends(*at)[1]),
        "weight": machine_point(motion.weight_position),
        "projectile": _concatenate(motion.position(body, swings), (flight.x, flight.y)),
        "velocity": _concatenate(motion.velocity(body, swings), (flight.vx, flight.vy)),
    }
    begun = jnp.stack([jnp.ones((), bool), came[0], came[1]])
    valid = [_rows(path) & there for path, there in zip((slide, hang, fly), begun, strict=True)] + [came[2:]]
    phase = [jnp.full(len(rows), i) for i, rows in enumerate(valid)]
    return smooth, {"event_fired": came, "valid": jnp.concatenate(valid), "phase": jnp.concatenate(phase)}


def _or_nan(x: Float[Array, ""], there: Bool[Array, ""]) -> Float[Array, ""]:
    """x, or NaN."""
    # By a product: the derivative of `where` would be 0, and look like an answer.
    return x * jnp.where(there, 1.0, jnp.nan)


def _rows(path: Path) -> Bool[Array, " n"]:
    return jnp.arange(len(path.passed.time)) < path.steps


def _concatenate(swings: motion.Vector, flight: motion.Vector) -> Float[Array, "n 2"]:
    return jnp.stack([jnp.concatenate(both) for both in zip(swings, flight, strict=True)], -1)
