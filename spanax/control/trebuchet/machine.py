"""The trebuchet: its dimensions and masses, and both in SI units for one throw."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

FOOT, POUND = 0.3048, 0.45359237  # metres, kilograms

Scalar = Float[Array, ""]


class Machine(eqx.Module):
    """A trebuchet. Lengths in feet, masses in pounds, the rest in SI units: those of http://www.virtualtrebuchet.com.

    The moments of inertia are those of the published program (FluxML/Trebuchet.jl), which SWAPS two of them: the arm has
    `inertia`, 1 lb ft^2, and the counterweight that of a rod as heavy and long as the arm. They stay so, for parity.

    >>> import jax
    >>> from spanax import control
    >>> slope = jax.grad(lambda sling: control.shoot(0.0, 45.0, 200.0, machine=control.trebuchet.Machine(sling=sling)))
    >>> print(f"{slope(6.833):.1f} metres per foot of sling")
    -3.5 metres per foot of sling
    """

    pivot_height: float | Scalar = 5.0
    long_arm: float | Scalar = 6.792
    short_arm: float | Scalar = 1.75
    hanger: float | Scalar = 2.0
    sling: float | Scalar = 6.833
    arm_mass: float | Scalar = 10.65
    projectile_mass: float | Scalar = 0.328
    projectile_radius: float | Scalar = 0.1245
    inertia: float | Scalar = 1.0
    gravity: float | Scalar = 9.80665
    air_density: float | Scalar = 1.0
    drag_coefficient: float | Scalar = 1.0


class Body(NamedTuple):
    """One throw's machine in SI units. `a`, `b`, `c`, `d`, `e`: pivot height, long arm, short arm, hanger, sling."""

    a: Scalar
    b: Scalar
    c: Scalar
    d: Scalar
    e: Scalar
    arm: Scalar  # masses
    projectile: Scalar
    weight: Scalar
    arm_inertia: Scalar
    weight_inertia: Scalar
    centre: Scalar  # of the arm's gravity, from the pivot
    gravity: Scalar
    drag: Scalar  # deceleration by the square of the air's speed


def body(machine: Machine, weight: Scalar) -> Body:
    """`weight` in pounds; every field of the machine is an array of its dtype."""
    a, b, c, d, e, z = (
        FOOT * jnp.asarray(x)
        for x in (
            machine.pivot_height,
            machine.long_arm,
            machine.short_arm,
            machine.hanger,
            machine.sling,
            machine.projectile_radius,
        )
    )
    # The moments of inertia as in the published program: see `Machine`.
    arm, projectile = POUND * jnp.asarray(machine.arm_mass), POUND * jnp.asarray(machine.projectile_mass)
    return Body(
        *(a, b, c, d, e),
        arm=arm,
        projectile=projectile,
        weight=POUND * weight,
        arm_inertia=POUND * FOOT**2 * jnp.asarray(machine.inertia),
        weight_inertia=arm * (b + c) ** 2 / 12,
        # A uniform arm, whose middle is off the pivot.
        centre=(b - c) / 2,
        gravity=jnp.asarray(machine.gravity),
        # Half the density, the drag coefficient and the cross-section of a sphere, over its mass.
        drag=jnp.asarray(machine.air_density) * machine.drag_coefficient * jnp.pi * z**2 / (2 * projectile),
    )
