"""A trebuchet that is aimed by its release angle and its counterweight, in wind."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ...._errors import SpanaxError
from ...._foreign_arrays import refuse_foreign
from ...._forward_mode import by_forward_mode
from ...._jaxprs import is_traced
from ...env import Box, Env
from ._phases import INTEGRATORS, LONGEST_FLIGHT, LONGEST_SWING, simulate
from .machine import Machine
from .record import Throw, distance, events_fired, throw_fields

Number = float | Float[Array, ""]
Integration = Literal["rk4", "euler"]


def shoot(
    wind: Number, angle: Number, weight: Number, *, integrator: Integration = "rk4", machine: Machine | None = None
) -> Float[Array, ""]:
    """How far a trebuchet throws, in metres: `wind` in m/s, release `angle` in degrees, counter`weight` in pounds.

    The release angle is folded to -90..90 degrees: 135 is 45. Above 0 it throws forwards, below 0 backwards; at 0 the distance
    jumps, and at 90 it has a kink (there the derivative is that from above).

    `integrator="rk4"`: right to a millimetre. "euler": explicit Euler steps of 1/60 s, up to metres off: the program of
    https://fluxml.ai/blogposts/2019-03-05-dp-vs-rl/, number for number.

    Derivatives of every order, by all three numbers and by the machine's, are those of this simulation: the times of lift-off,
    release and landing move with them, by the implicit function theorem. One gradient costs about as much as forward mode
    does; use `jax.vmap` for many throws, in `jax.jit` or not.

    Raises `SpanaxError` where the sling does not lift the projectile, or it is not released, or does not land: the counterweight
    is too light. Inside `jax.jit` or `jax.vmap` distance and gradient are NaN instead; `throw` has the flags.

    >>> import jax, spanax as sx
    >>> print(f"{sx.control.shoot(-2.0, 45.0, 200.0):.2f}")
    74.35
    >>> print([f"{slope:.2f}" for slope in jax.grad(sx.control.shoot, (0, 1, 2))(-2.0, 45.0, 200.0)])
    ['4.01', '-1.00', '0.07']
    """
    far, _ = _program(integrator, False)(*_numbers(wind, angle, weight, machine))
    return far


def throw(
    wind: Number, angle: Number, weight: Number, *, integrator: Integration = "rk4", machine: Machine | None = None
) -> Throw:
    """The same throw as `shoot`'s, with its whole trajectory and the times of its events."""
    smooth, (_, others) = _program(integrator, True)(*_numbers(wind, angle, weight, machine))
    return Throw(**smooth, **others)


def _numbers(wind: Number, angle: Number, weight: Number, machine: Machine | None) -> list[Float[Array, ""]]:
    given = [wind, angle, weight, *jax.tree.leaves(Machine() if machine is None else machine)]
    refuse_foreign(given)
    if any(jnp.shape(x) != () for x in given):
        raise SpanaxError(
            f"one throw takes numbers, not arrays of shapes {[jnp.shape(x) for x in given[:3]]}",
            "jax.vmap(shoot)(winds, angles, weights)",
        )
    dtype = jnp.result_type(float, *(x for x in given if hasattr(x, "dtype")))
    return [jnp.asarray(x, dtype) for x in given]


@functools.cache
def _program(integrator: str, record: bool) -> Callable[..., tuple[Any, Any]]:
    if integrator not in INTEGRATORS:
        raise SpanaxError(f"integrator={integrator!r}", *(f"integrator={name!r}" for name in INTEGRATORS))
    structure = jax.tree.structure(Machine())

    def run(wind, angle, weight, *machine):
        given = jax.lax.stop_gradient((wind, angle, weight))
        phases = simulate(structure.unflatten(machine), wind, angle, weight, INTEGRATORS[integrator], record)
        if record:
            smooth, others = throw_fields(phases)
            return smooth, ((given, others["event_fired"]), others)
        return distance(phases), ((given, events_fired(phases)), None)

    return by_forward_mode(run, _check)


def _check(aux: Any) -> None:
    (given, came), _ = aux
    if is_traced(came) or np.all(came):
        return
    wind, angle, weight = map(float, given)
    did_not = (
        f"the sling does not lift the projectile off the ground within {LONGEST_SWING:g} s, or it goes slack",
        f"the projectile does not reach the angle of release within {LONGEST_SWING:g} s",
        f"the projectile does not land within {LONGEST_FLIGHT:g} s",
    )[int(np.argmin(came))]
    raise SpanaxError(
        f"a throw that does not come off: {did_not} (wind {wind:g} m/s, angle {angle:g} degrees, weight {weight:g} lb)",
        "a heavier counterweight: with the default machine, 60 lb and more throw at 1 to 90 degrees",
        "under jax.jit it is NaN, and throw(...).event_fired says which event is missing",
    )


class Shot(NamedTuple):
    """`distance`: how far it flew; 0 before the throw."""

    wind: Float[Array, ""]
    target: Float[Array, ""]
    distance: Float[Array, ""]


class Trebuchet(Env):
    """Hit a target with one throw: the observation is (wind in m/s, target in m), the action (angle in degrees, weight in lb).

    An episode is one step: `reset` draws wind ~ N(0, `wind_std`) and a target uniform between `nearest` and `farthest`, in reach
    or not (see `reach`); the reward is -|distance - target|, in metres. An action outside of the box is thrown as it is. Where
    the throw does not come off (see `shoot`), which inside the box does not happen with this machine, the reward is NaN.
    """

    machine: Machine = Machine()
    wind_std: float = 5.0
    nearest: float = 20.0
    farthest: float = 100.0
    lightest: float = 60.0
    heaviest: float = 500.0

    def reset(self, key: Key[Array, ""]) -> Shot:
        wind, target = jax.random.split(key)
        target = jax.random.uniform(target, minval=self.nearest, maxval=self.farthest)
        return Shot(self.wind_std * jax.random.normal(wind), target, jnp.zeros_like(target))

    def step(self, state: Shot, action: Float[Array, " 2"]) -> Shot:
        angle, weight = action
        return state._replace(distance=shoot(state.wind, angle, weight, machine=self.machine))

    def observe(self, state: Shot) -> Float[Array, " 2"]:
        return jnp.stack([state.wind, state.target])

    def reward(self, state: Shot, action: Float[Array, " 2"], next_state: Shot) -> Float[Array, ""]:
        return -jnp.abs(next_state.distance - next_state.target)

    @property
    def action_space(self) -> Box:
        return Box([5.0, self.lightest], [90.0, self.heaviest])

    @property
    def observation_space(self) -> Box:
        return Box([-np.inf, self.nearest], [np.inf, self.farthest])

    @property
    def max_steps(self) -> int:
        return 1
