"""A trebuchet in plain Python and NumPy: the physics of http://www.virtualtrebuchet.com, explicit Euler steps of 1/60 s.

The machine is that of https://fluxml.ai/blogposts/2019-03-05-dp-vs-rl/, whose program swaps two moments of inertia.
"""

import numpy as np

from ._program import Program

FOOT, POUND = 0.3048, 0.45359237
A, B, C, D, E = (FOOT * feet for feet in (5.0, 6.792, 1.75, 2.0, 6.833))  # pivot height, arms, hanger, sling
ARM, STONE, RADIUS = 10.65 * POUND, 0.328 * POUND, 0.1245 * FOOT
ARM_INERTIA = POUND * FOOT**2
WEIGHT_INERTIA = ARM * (B + C) ** 2 / 12
CENTRE = (B - C) / 2
GRAVITY = 9.80665
DRAG = np.pi * RADIUS**2 / (2 * STONE)
STEP = 1 / 60


def mass_and_force(y, weight):
    """What the arm and the counterweight give to the equations of both phases."""
    arm, hang, sling, arm_rate, hang_rate, sling_rate = y
    m12 = WEIGHT_INERTIA + D * weight * (D + C * np.cos(hang))
    m22 = WEIGHT_INERTIA + weight * D**2
    m11 = ARM_INERTIA + WEIGHT_INERTIA + ARM * CENTRE**2 + weight * (C**2 + D**2 + 2 * C * D * np.cos(hang))
    r1 = GRAVITY * CENTRE * ARM * np.sin(arm) - GRAVITY * weight * (C * np.sin(arm) + D * np.sin(arm + hang))
    r1 -= C * D * weight * np.sin(hang) * (arm_rate**2 - (arm_rate + hang_rate) ** 2)
    r2 = -D * weight * (GRAVITY * np.sin(arm + hang) + C * np.sin(hang) * arm_rate**2)
    return m11, m12, m22, r1, r2


def sliding(y, weight):
    arm, hang, sling, arm_rate, hang_rate, sling_rate = y
    up = arm + sling
    bend = np.cos(up) * sling_rate * (sling_rate + 2 * arm_rate) / np.sin(up)
    bend += (np.cos(up) / np.sin(up) + B * np.cos(arm) / (E * np.sin(up))) * arm_rate**2
    reach = np.sin(arm) / np.sin(up)
    m11, m12, m22, r1, r2 = mass_and_force(y, weight)
    m11 += STONE * B**2 * (1 - 2 * reach * np.cos(sling) + reach**2)
    r1 += B * E * STONE * (np.sin(sling) * (arm_rate + sling_rate) ** 2 + np.cos(sling) * bend)
    r1 += B * STONE * reach * (B * np.sin(sling) * arm_rate**2 - E * bend)
    arm_acc, hang_acc = np.linalg.solve(np.array([[m11, m12], [m12, m22]]), np.array([r1, r2]))
    sling_acc = -bend - (1 + B * reach / E) * arm_acc
    return np.array([arm_rate, hang_rate, sling_rate, arm_acc, hang_acc, sling_acc])


def hanging(y, weight):
    arm, hang, sling, arm_rate, hang_rate, sling_rate = y
    m = np.zeros((3, 3))
    r = np.zeros(3)
    m[0, 0], m[0, 1], m[1, 1], r[0], r[1] = mass_and_force(y, weight)
    m[0, 0] += STONE * (B**2 + E**2 + 2 * B * E * np.cos(sling))
    m[0, 2] = E * STONE * (E + B * np.cos(sling))
    m[2, 2] = STONE * E**2
    m[1, 0], m[2, 0] = m[0, 1], m[0, 2]
    r[0] += GRAVITY * STONE * (B * np.sin(arm) + E * np.sin(arm + sling))
    r[0] -= B * E * STONE * np.sin(sling) * (arm_rate**2 - (arm_rate + sling_rate) ** 2)
    r[2] = E * STONE * (GRAVITY * np.sin(arm + sling) - B * np.sin(sling) * arm_rate**2)
    return np.concatenate([y[3:], np.linalg.solve(m, r)])


def flying(y, wind):
    vx, vy = y[2] - wind, y[3]
    speed = np.sqrt(vx**2 + vy**2)
    return np.array([y[2], y[3], -DRAG * vx * speed, -DRAG * vy * speed - GRAVITY])


def velocity(y):
    arm, hang, sling, arm_rate, hang_rate, sling_rate = y
    tip, end = B * arm_rate, E * (arm_rate + sling_rate)
    return -tip * np.cos(arm) - end * np.cos(arm + sling), -tip * np.sin(arm) - end * np.sin(arm + sling)


def grip(y, weight):
    """Falls through 0 when the sling lifts the stone off the ground."""
    arm, hang, sling, arm_rate, hang_rate, sling_rate = y
    _, _, _, arm_acc, _, sling_acc = sliding(y, weight)
    up = arm + sling
    pull = E * ((arm_rate + sling_rate) ** 2 * np.sin(up) - (arm_acc + sling_acc) * np.cos(up))
    pull += B * (arm_rate**2 * np.sin(arm) - arm_acc * np.cos(arm))
    return STONE * GRAVITY + pull * STONE * np.cos(up) / np.sin(up)


def until(event, slope, y):
    """Euler steps until `event(y)` falls to 0; the last one is cut there, by the secant method."""
    ahead = y + STEP * slope(y)
    while event(ahead) > 0:
        y = ahead
        ahead = y + STEP * slope(y)
    before, after = 0.0, 1.0
    f_before, f_after = event(y), event(ahead)
    while abs(f_after) > 1e-10:
        part = after - f_after * (after - before) / (f_after - f_before)
        before, f_before = after, f_after
        after, f_after = part, event(y + part * (ahead - y))
    return y + after * (ahead - y)


def shoot(wind, angle, weight):
    """How far it throws, in metres: wind in m/s, angle of release in degrees, counterweight in pounds."""
    weight = weight * POUND
    slope = np.arcsin(A / B)
    y = np.array([np.pi / 2 + slope, -np.pi / 2 - slope, np.pi - slope, 0.0, 0.0, 0.0])
    y = until(lambda y: grip(y, weight), lambda y: sliding(y, weight), y)

    release = np.arcsin(np.sin(np.deg2rad(angle)))

    def turned(y):
        vx, vy = velocity(y)
        return vy * np.cos(release) - vx * np.sin(release)

    y = until(turned, lambda y: hanging(y, weight), y)
    arm, sling = y[0], y[2]
    x, height = -B * np.sin(arm) - E * np.sin(arm + sling), B * np.cos(arm) + E * np.cos(arm + sling)
    vx, vy = velocity(y)
    y = until(lambda y: y[1] + A, lambda y: flying(y, wind), np.array([x, height, vx, vy]))
    return float(y[0])


PROGRAMS = [Program(shoot, (-2.0, 45.0, 200.0), value=1e-10, step=1e-4)]
