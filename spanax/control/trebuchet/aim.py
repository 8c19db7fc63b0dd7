"""Aiming one throw by the gradient of the throw.

The distance is a smooth function of angle and weight, so hitting a target is one equation in two unknowns: it is solved
along a line between a throw that is too short and one that is too far, by Newton's method within a bracket.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..._errors import SpanaxError
from ..._foreign_arrays import refuse_foreign
from ..._jaxprs import is_traced
from .env import shoot
from .machine import Machine

# Degrees: those of the actions of `Trebuchet`.
FLATTEST, STEEPEST = 5.0, 90.0
# Pounds: so much and more throws at 1 to 90 degrees, with the default machine.
LIGHTEST = 60.0


class Aim(NamedTuple):
    """How to set the trebuchet: `angle` in degrees, `weight` in lb. `error`: distance - target, in metres. `aim` returns it.

    >>> from spanax import control
    >>> there = control.aim(90.0, 2.0)
    >>> isinstance(there, control.trebuchet.Aim), abs(there.error) < 1e-3
    (True, True)
    """

    angle: float
    weight: float
    distance: float
    error: float
    iterations: int


class Reach(NamedTuple):
    """The farthest throw: its `distance` in metres, and the `angle` in degrees that gives it. `reach` returns it.

    >>> from spanax import control
    >>> print(f"{control.reach(0.0).angle:.0f} degrees")
    29 degrees
    """

    distance: float
    angle: float


def aim(
    target: float,
    wind: float,
    *,
    angle: float = 45.0,
    weight: float = 200.0,
    heaviest: float = 500.0,
    tolerance: float = 1e-3,
    machine: Machine | None = None,
) -> Aim:
    """A release angle and a counterweight whose throw lands at the target.

    Many do: this one lies on the line from the start (`angle`, `weight`) to the farthest throw of `heaviest` lb, or, where
    the start throws too far, to the nearest one, 60 lb at 90 degrees. Along that line it is a root, found by Newton's
    steps with the throw's own gradient, and by halving where they leave the bracket.

    **Arguments:**

    - `target`: in metres.
    - `wind`: in m/s.
    - `angle`: the angle to start from, in degrees.
    - `weight`: the counterweight to start from, in pounds.
    - `heaviest`: the largest counterweight, in pounds.
    - `tolerance`: how far from the target it may land, in metres.
    - `machine`: a `control.trebuchet.Machine`; None: the published one.

    **Returns:**

    A `control.trebuchet.Aim`, whose `iterations` counts the throws.

    **Raises:**

    - `SpanaxError` where the target is out of reach; the message says what the reach is (see `reach`). Also for arrays and traced
      values, and for a tolerance below the rounding of the distance.

    >>> import spanax as sx
    >>> there = sx.control.aim(90.0, 2.0)
    >>> print(f"{sx.control.shoot(2.0, there.angle, there.weight):.2f}")
    90.00
    """
    _check(target=target, wind=wind, angle=angle, weight=weight, heaviest=heaviest, tolerance=tolerance)
    if not (FLATTEST <= angle <= STEEPEST and LIGHTEST <= weight <= heaviest):
        raise SpanaxError(
            f"aim(angle={angle:g}, weight={weight:g}) is not a start",
            f"{FLATTEST:g} to {STEEPEST:g} degrees, {LIGHTEST:g} to {heaviest:g} lb",
        )
    throw = _thrower(float(wind), machine)
    start = np.array([angle, weight])
    # The other end of the line: the farthest throw there is, or the nearest.
    if throw(start)[0] < target:
        farthest = reach(wind, heaviest=heaviest, machine=machine)
        end, there = np.array([farthest.angle, heaviest]), farthest.distance
        bound = f"the reach of {heaviest:g} lb is {there:.1f} m"
    else:
        end = np.array([STEEPEST, LIGHTEST])
        there = throw(end)[0]
        bound = f"the nearest throw, {LIGHTEST:g} lb at {STEEPEST:g} degrees, is {there:.1f} m"
    if not min(throw(start)[0], there) - tolerance <= target <= max(throw(start)[0], there) + tolerance:
        raise SpanaxError(
            f"{target:g} m cannot be hit in wind {wind:g} m/s: {bound}",
            "a target within reach(wind)",
            "heaviest=..., in lb",
        )

    def miss(part: float) -> tuple[float, float]:
        far, slope = throw(start + part * (end - start))
        return far - target, float(slope @ (end - start))

    part, error, iterations = _root(miss, tolerance)
    there = start + part * (end - start)
    return Aim(float(there[0]), float(there[1]), target + error, error, iterations)


def reach(wind: float, *, heaviest: float = 500.0, machine: Machine | None = None) -> Reach:
    """The farthest throw: the best angle is where the slope by the angle is 0, found by bisection.

    **Arguments:**

    - `wind`: in m/s.
    - `heaviest`: the counterweight, in pounds.
    - `machine`: a `control.trebuchet.Machine`; None: the published one.

    **Returns:**

    A `control.trebuchet.Reach`: distance in metres, angle in degrees.

    **Raises:**

    - `SpanaxError` for arrays and traced values.

    >>> import spanax as sx
    >>> print(f"{sx.control.reach(2.0).distance:.0f} m")
    110 m
    """
    _check(wind=wind, heaviest=heaviest)
    throw = _thrower(float(wind), machine)

    def slope(angle: float) -> float:
        return throw(np.array([angle, heaviest]))[1][0]

    low, high = FLATTEST, STEEPEST
    # To 1e-4 degrees, which changes nothing in the distance: it is flat there.
    for _ in range(20):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    angle = (low + high) / 2
    return Reach(throw(np.array([angle, heaviest]))[0], angle)


def _root(miss: Callable[[float], tuple[float, float]], tolerance: float) -> tuple[float, float, int]:
    """(part, what it misses by, evaluations) where |miss| <= tolerance. miss(part) also gives its slope, and changes its sign
    between 0 and 1, from where Newton's method starts.
    """
    low, high, part = 0.0, 1.0, 0.0
    # Along the line the distance grows or falls, depending on which end is too short.
    rises = miss(0.0)[0] < 0
    for evaluations in range(1, 60):
        value, slope = miss(part)
        if abs(value) <= tolerance:
            return part, value, evaluations
        low, high = (part, high) if (value < 0) == rises else (low, part)
        # Newton's step, or halving where it leaves the bracket or there is no slope.
        part = part - value / slope if slope else high
        if not low < part < high:
            part = (low + high) / 2
    raise SpanaxError(
        f"tolerance={tolerance:g} m is below the rounding of the distance: {abs(value):.2g} m is left",
        "a larger tolerance",
        "with jax.enable_x64(True): ...",
    )


def _thrower(wind: float, machine: Machine | None) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    machine = Machine() if machine is None else machine

    def throw(setting: np.ndarray) -> tuple[float, np.ndarray]:
        far, slope = _value_and_slope()(jnp.asarray(setting, float), jnp.asarray(wind, float), machine)
        if not np.isfinite(far):
            # Outside of jit it raises, and says what is wrong.
            shoot(wind, *map(float, setting), machine=machine)
        return float(far), np.asarray(slope, float)

    return throw


@functools.cache
def _value_and_slope() -> Callable[..., Any]:
    # Compiled once for all aims: wind and machine are arguments.
    return jax.jit(jax.value_and_grad(lambda setting, wind, machine: shoot(wind, *setting, machine=machine)))


def _check(**numbers: Any) -> None:
    refuse_foreign(numbers)
    for name, value in numbers.items():
        if is_traced(value) or np.shape(value) != () or not np.isfinite(value):
            raise SpanaxError(
                f"{name}={value!r} is not one number",
                "aim for one target at a time, outside jax.jit and jax.vmap",
            )
