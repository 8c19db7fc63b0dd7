"""A trebuchet that is aimed by its release angle and its counterweight, in wind."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._forward_mode import by_forward_mode
from ..._jaxprs import is_traced
from ..env import Box, Env
from ..showing.canvas import Picture, refuse_traced
from ._phases import INTEGRATORS, LONGEST_FLIGHT, LONGEST_SWING, simulate
from .machine import Machine
from .record import Throw, distance, events_fired, throw_fields

if TYPE_CHECKING:
    from ..showing.throw import ThrowDrawing

Number = float | Float[Array, ""]
Integration = Literal["rk4", "euler"]


def shoot(
    wind: Number, angle: Number, weight: Number, *, integrator: Integration = "rk4", machine: Machine | None = None
) -> Float[Array, ""]:
    """How far a trebuchet throws, in metres.

    Derivatives of every order, by all three numbers and by the machine's, are those of this simulation: the times of lift-off,
    release and landing move with them, by the implicit function theorem. One gradient costs about as much as forward mode
    does; use `jax.vmap` for many throws, in `jax.jit` or not.

    **Arguments:**

    - `wind`: in m/s, along the throw.
    - `angle`: of release, in degrees, folded to -90..90: 135 is 45. Above 0 it throws forwards, below 0 backwards; at 0 the
      distance jumps, and at 90 it has a kink (there the derivative is that from above).
    - `weight`: of the counterweight, in pounds.
    - `integrator`: "rk4": right to a millimetre. "euler": explicit Euler steps of 1/60 s, up to metres off: the program of
      https://fluxml.ai/blogposts/2019-03-05-dp-vs-rl/, number for number.
    - `machine`: a `control.trebuchet.Machine`; None: the published one.

    **Returns:**

    The distance. Inside `jax.jit` or `jax.vmap` distance and gradient are NaN where the throw fails; `throw` has the flags.

    **Raises:**

    - `SpanaxError` where the sling does not lift the projectile, or it is not released, or does not land: the counterweight
      is too light; and for arrays of several throws.

    The equations of motion: http://www.virtualtrebuchet.com/#documentation_EquationsOfMotion.

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
    """The same throw as `shoot`'s, with its whole trajectory and the times of its events.

    **Arguments:**

    - `wind`: in m/s.
    - `angle`: of release, in degrees.
    - `weight`: of the counterweight, in pounds.
    - `integrator`: "rk4" or "euler", as for `shoot`.
    - `machine`: a `control.trebuchet.Machine`; None: the published one.

    **Returns:**

    A `control.trebuchet.Throw`, in metres and seconds.

    **Raises:**

    - `SpanaxError` as `shoot` does.

    >>> import spanax as sx
    >>> there = sx.control.throw(-2.0, 45.0, 200.0)
    >>> print([f"{time:.2f}" for time in there.event_times], f"{there.distance:.2f}")
    ['0.23', '0.55', '5.80'] 74.35
    """
    smooth, (_, others) = _program(integrator, True)(*_numbers(wind, angle, weight, machine))
    return Throw(**smooth, **others)


def _numbers(wind: Number, angle: Number, weight: Number, machine: Machine | None) -> list[Float[Array, ""]]:
    numbers = [wind, angle, weight, *jax.tree.leaves(Machine() if machine is None else machine)]
    refuse_foreign(numbers)
    if any(jnp.shape(x) != () for x in numbers):
        raise SpanaxError(
            f"one throw takes numbers, not arrays of shapes {[jnp.shape(x) for x in numbers[:3]]}",
            "jax.vmap(shoot)(winds, angles, weights)",
        )
    # All of one dtype, which the loops then have: a float64 wind makes it a simulation in float64.
    dtype = jnp.result_type(float, *(x for x in numbers if hasattr(x, "dtype")))
    return [jnp.asarray(x, dtype) for x in numbers]


@functools.cache
def _program(integrator: str, record: bool) -> Callable[..., tuple[Any, Any]]:
    if integrator not in INTEGRATORS:
        raise SpanaxError(f"integrator={integrator!r}", *(f"integrator={name!r}" for name in INTEGRATORS))
    # Compiled once for each integrator: a machine's numbers are arguments, its structure is always the same.
    structure = jax.tree.structure(Machine())

    def run(wind, angle, weight, *machine):
        inputs = jax.lax.stop_gradient((wind, angle, weight))
        phases = simulate(structure.unflatten(machine), wind, angle, weight, INTEGRATORS[integrator], record)
        if record:
            smooth, others = throw_fields(phases)
            return smooth, ((inputs, others["event_fired"]), others)
        return distance(phases), ((inputs, events_fired(phases)), None)

    # A loop whose length depends on its numbers has no reverse mode, and 15 numbers have a cheap forward mode.
    return by_forward_mode(run, 3 + structure.num_leaves, _check)


def _check(aux: Any) -> None:
    (inputs, came), _ = aux
    # Under jit nothing can be raised: the distance is NaN there.
    if is_traced(came) or np.all(came):
        return
    wind, angle, weight = map(float, inputs)
    did_not = (
        f"the sling does not lift the projectile off the ground within {LONGEST_SWING:g} s, or it goes slack",
        f"the projectile does not reach the angle of release within {LONGEST_SWING:g} s",
        f"the projectile does not land within {LONGEST_FLIGHT:g} s",
    )[int(np.argmin(came))]
    raise SpanaxError(
        f"the throw fails: {did_not} (wind {wind:g} m/s, angle {angle:g} degrees, weight {weight:g} lb)",
        "a heavier counterweight: with the default machine, 60 lb and more throw at 1 to 90 degrees",
        "under jax.jit it is NaN, and throw(...).event_fired says which event is missing",
    )


class Shot(NamedTuple):
    """The state of a `Trebuchet`. `distance`: how far the projectile flew; 0 before the throw.

    >>> from spanax import control
    >>> control.trebuchet.Shot(wind=2.0, target=80.0, distance=0.0).target
    80.0
    """

    wind: Float[Array, ""]
    target: Float[Array, ""]
    distance: Float[Array, ""]


class Trebuchet(Env):
    """Hit a target with one throw: the observation is (wind in m/s, target in m), the action (angle in degrees, weight in lb).

    An episode is one step: `reset` draws wind ~ N(0, `wind_std`) and a target uniform between `nearest` and `farthest`, in reach
    or not (see `reach`); the reward is -|distance - target|, in metres. An action outside the box is thrown as it is. Where
    the throw fails (see `shoot`), which inside the box does not happen with this machine, the reward is NaN.

    >>> import jax
    >>> from spanax import control
    >>> env = control.Trebuchet()
    >>> shot = env.step(env.reset(jax.random.key(0)), jax.numpy.array([45.0, 200.0]))
    >>> env.observe(shot).shape, bool(shot.distance > 0)
    ((2,), True)
    """

    machine: Machine = Machine()
    wind_std: float = 5.0
    nearest: float = 20.0
    farthest: float = 100.0
    lightest: float = 60.0
    heaviest: float = 500.0

    def reset(self, key: Key[Array, ""]) -> Shot:
        wind, target = jax.random.split(key)
        # In reach or not: a policy has to know that some targets are too far.
        target = jax.random.uniform(target, minval=self.nearest, maxval=self.farthest)
        return Shot(self.wind_std * jax.random.normal(wind), target, jnp.zeros_like(target))

    def step(self, state: Shot, action: Float[Array, " 2"]) -> Shot:
        angle, weight = action
        # A throw is the whole episode: the state after it needs no motion.
        return state._replace(distance=shoot(state.wind, angle, weight, machine=self.machine))

    def observe(self, state: Shot) -> Float[Array, " 2"]:
        return jnp.stack([state.wind, state.target])

    def state_from(self, observation: Float[Array, " 2"]) -> Shot:
        """The state before the throw."""
        wind, target = observation
        return Shot(wind, target, jnp.zeros_like(target))

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

    def render(self, state: Shot, action: Any = None) -> Picture:
        """The machine and the flight at the landing; without an action, the machine ready to throw (for 45 degrees, 200 lb)."""
        drawing = self._drawing(state, (45.0, 200.0) if action is None else action)
        return drawing.at(0 if action is None else len(drawing.scene.time) - 1)

    def frames(self, trajectory: Any, every: int = 1) -> Iterator[tuple[Picture, str]]:
        """The whole throw: the machine slowly, then the flight."""
        states, action = jax.device_get((trajectory.states, trajectory.actions[0]))
        film = self._drawing(jax.tree.map(lambda x: x[0], states), action).film()
        return itertools.islice(film, 0, None, every)

    @property
    def render_fps(self) -> float:
        """Pictures a second: a film slows down the machine, and hurries the flight."""
        return 25.0

    def _drawing(self, state: Shot, action: Any) -> ThrowDrawing:
        from ..showing.throw import ThrowDrawing, scene

        refuse_traced(self, (state, action))
        angle, weight = (float(x) for x in action)
        notes = f"release at {angle:.1f}°", f"counterweight {weight:.0f} lb"
        thrown = scene(throw(float(state.wind), angle, weight, machine=self.machine))
        return ThrowDrawing(thrown, target=float(state.target), wind=float(state.wind), notes=notes)
