"""Equations of motion of a trebuchet in its three phases: the projectile slides, hangs in the sling, flies.

Lagrange's equations of three coupled rods: a mass matrix times the angular accelerations is a right-hand side, and the
elimination is written out. Source: http://www.virtualtrebuchet.com/#documentation_EquationsOfMotion, with the letters of
`Body`. What a program calls often is under `jit`, so that it is traced once.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from .._event.once import once
from ._sincos import sincos
from .machine import Body, Scalar

Vector = tuple[Scalar, Scalar]  # x forwards, y upwards; metres from the pivot, or metres a second


class Swing(NamedTuple):
    """The machine: the angles of the arm, of the hanger to the arm, of the sling to the arm, and their rates."""

    time: Scalar
    arm: Scalar
    weight: Scalar
    sling: Scalar
    arm_rate: Scalar
    weight_rate: Scalar
    sling_rate: Scalar


class Flight(NamedTuple):
    """The projectile after its release."""

    time: Scalar
    x: Scalar
    y: Scalar
    vx: Scalar
    vy: Scalar


def start(body: Body) -> Swing:
    """At rest, with the long arm's end on the ground and the sling stretched along it."""
    # Where the long arm touches the ground, a pivot's height below.
    slope = jnp.arcsin(body.a / body.b)
    arm = jnp.pi / 2 + slope
    rest = jnp.zeros_like(slope)
    return Swing(rest, arm, -arm, jnp.pi - slope, rest, rest, rest)


@jax.jit
def sliding_rates(body: Body, s: Swing) -> Swing:
    """The derivative by time while the projectile slides along the ground."""
    at = _angles(s)
    # The projectile stays on the ground: the sling's angle is a function of the arm's, and its acceleration is eliminated first.
    b, e, m = body.b, body.e, body.projectile
    bend = at.cos_sling_up * s.sling_rate * (s.sling_rate + 2 * s.arm_rate)
    bend += (at.cos_sling_up + b * at.cos_arm / e) * s.arm_rate**2
    bend /= at.sin_sling_up
    reach = at.sin_arm / at.sin_sling_up
    m11, m12, m22, r1, r2 = _weight_and_arm(body, s, at)
    m11 += m * b**2 * (1 - 2 * reach * at.cos_sling + reach**2)
    r1 += b * e * m * (at.sin_sling * (s.arm_rate + s.sling_rate) ** 2 + at.cos_sling * bend)
    r1 += b * m * reach * (b * at.sin_sling * s.arm_rate**2 - e * bend)
    arm = once((r1 - r2 * m12 / m22) / (m11 - m12**2 / m22))
    weight = (r2 - m12 * arm) / m22
    sling = -bend - (1 + b * reach / e) * arm
    return Swing(jnp.ones_like(arm), s.arm_rate, s.weight_rate, s.sling_rate, arm, weight, sling)


@jax.jit
def hanging_rates(body: Body, s: Swing) -> Swing:
    """The derivative by time while the projectile hangs in the sling, off the ground."""
    b, e, m, g = body.b, body.e, body.projectile, body.gravity
    at = _angles(s)
    m11, m12, m22, r1, r2 = _weight_and_arm(body, s, at)
    m11 += m * (b**2 + e**2 + 2 * b * e * at.cos_sling)
    m13, m33 = e * m * (e + b * at.cos_sling), m * e**2
    r1 += g * m * (b * at.sin_arm + e * at.sin_sling_up)
    r1 -= b * e * m * at.sin_sling * (s.arm_rate**2 - (s.arm_rate + s.sling_rate) ** 2)
    r3 = e * m * (g * at.sin_sling_up - b * at.sin_sling * s.arm_rate**2)
    # Hanger and sling are coupled to the arm only, not to each other: both are eliminated.
    arm = once((r1 - r2 * m12 / m22 - r3 * m13 / m33) / (m11 - m12**2 / m22 - m13**2 / m33))
    weight, sling = (r2 - m12 * arm) / m22, (r3 - m13 * arm) / m33
    return Swing(jnp.ones_like(arm), s.arm_rate, s.weight_rate, s.sling_rate, arm, weight, sling)


class _Angles(NamedTuple):
    """Sines and cosines of the angles; of hanger and sling also to the vertical: arm + weight, arm + sling."""

    sin_arm: Scalar
    cos_arm: Scalar
    sin_weight: Scalar
    cos_weight: Scalar
    sin_sling: Scalar
    cos_sling: Scalar
    sin_weight_up: Scalar
    sin_sling_up: Scalar
    cos_sling_up: Scalar


# Of the sums of angles by the addition theorems: two products are cheaper than another sine.
def _angles(s: Swing) -> _Angles:
    sin_arm, cos_arm = sincos(s.arm)
    sin_weight, cos_weight = sincos(s.weight)
    sin_sling, cos_sling = sincos(s.sling)
    return _Angles(
        *(sin_arm, cos_arm, sin_weight, cos_weight, sin_sling, cos_sling),
        sin_weight_up=sin_arm * cos_weight + cos_arm * sin_weight,
        sin_sling_up=sin_arm * cos_sling + cos_arm * sin_sling,
        cos_sling_up=cos_arm * cos_sling - sin_arm * sin_sling,
    )


def _weight_and_arm(body: Body, s: Swing, at: _Angles) -> tuple[Scalar, Scalar, Scalar, Scalar, Scalar]:
    """The terms of arm and counterweight in the mass matrix (m11, m12, m22) and in the right-hand side (r1, r2)."""
    c, d, m, g = body.c, body.d, body.weight, body.gravity
    m12 = body.weight_inertia + d * m * (d + c * at.cos_weight)
    m22 = body.weight_inertia + m * d**2
    m11 = body.arm_inertia + body.weight_inertia + body.arm * body.centre**2
    m11 += m * (c**2 + d**2 + 2 * c * d * at.cos_weight)
    r1 = g * body.centre * body.arm * at.sin_arm - g * m * (c * at.sin_arm + d * at.sin_weight_up)
    r1 -= c * d * m * at.sin_weight * (s.arm_rate**2 - (s.arm_rate + s.weight_rate) ** 2)
    r2 = -d * m * (g * at.sin_weight_up + c * at.sin_weight * s.arm_rate**2)
    return m11, m12, m22, r1, r2


@jax.jit
def flight_rates(body: Body, wind: Scalar, p: Flight) -> Flight:
    """The derivative by time in the air, which moves with `wind`: drag grows with the square of the speed in it."""
    # The speed is never 0 in flight, where its square root would have no derivative.
    vx = p.vx - wind
    drag = body.drag * jnp.sqrt(vx**2 + p.vy**2)
    return Flight(jnp.ones_like(vx), p.vx, p.vy, -drag * vx, -drag * p.vy - body.gravity)


def position(body: Body, s: Swing) -> Vector:
    """Of the projectile in the sling."""
    at = _angles(s)
    return -body.b * at.sin_arm - body.e * at.sin_sling_up, body.b * at.cos_arm + body.e * at.cos_sling_up


def velocity(body: Body, s: Swing) -> Vector:
    """Of the projectile in the sling."""
    at = _angles(s)
    tip, sling = body.b * s.arm_rate, body.e * (s.arm_rate + s.sling_rate)
    return -tip * at.cos_arm - sling * at.cos_sling_up, -tip * at.sin_arm - sling * at.sin_sling_up


def arm_ends(body: Body, s: Swing) -> tuple[Vector, Vector]:
    """The end of the long arm, where the sling is, and that of the short one."""
    sin, cos = sincos(s.arm)
    return (-body.b * sin, body.b * cos), (body.c * sin, -body.c * cos)


def weight_position(body: Body, s: Swing) -> Vector:
    """Of the counterweight's centre."""
    sin, cos = sincos(s.arm + s.weight)
    _, (x, y) = arm_ends(body, s)
    return x + body.d * sin, y - body.d * cos


@jax.jit
def lift_event(body: Body, s: Swing, slope: Swing) -> tuple[Scalar, Array]:
    """Falls through 0 when the sling lifts the projectile: m g - T cos(phi), T the tension, phi the angle to the vertical.

    Also whether the sling is taut, T >= 0. T balances the projectile's horizontal acceleration on the ground. `slope`: that of
    the state by any clock, whose rate is the slope of the time.
    """
    at = _angles(s)
    rate = s.arm_rate + s.sling_rate
    arm, sling = slope.arm_rate / slope.time, slope.sling_rate / slope.time
    acceleration = body.e * (rate**2 * at.sin_sling_up - (arm + sling) * at.cos_sling_up)
    acceleration += body.b * (s.arm_rate**2 * at.sin_arm - arm * at.cos_arm)
    # The only horizontal force on the projectile is the sling's.
    # phi is the sling's angle to the vertical: sin(phi) = -sin(arm + sling), and cos likewise.
    tension = acceleration * body.projectile / at.sin_sling_up
    return body.projectile * body.gravity + tension * at.cos_sling_up, tension >= 0


@jax.jit
def release_event(body: Body, release: Vector, s: Swing) -> tuple[Scalar, Array]:
    """Falls through 0 when the projectile moves in the direction `release`, upwards or downwards in front, or in its opposite.

    It lifts off moving backwards and turns clockwise: an angle of 0 or more releases it forwards, one below 0 backwards, in
    the direction opposite to the one asked for.
    """
    vx, vy = velocity(body, s)
    # The sine of the angle between the two, times the speed: it needs no arctan, which jumps.
    across = vy * release[0] - vx * release[1]
    return jnp.where(release[1] >= 0, across, -across), jnp.ones((), bool)


def landing_event(body: Body, p: Flight) -> tuple[Scalar, Array]:
    """Falls through 0 on the ground."""
    return p.y + body.a, jnp.ones((), bool)
