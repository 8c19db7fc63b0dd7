"""An independent trebuchet: NumPy, SciPy's adaptive integrator with its own event location, float64, one throw at a time."""

import numpy as np
from scipy.integrate import solve_ivp

FOOT, POUND, G = 0.3048, 0.45359237, 9.80665
A, B, C, D, E, Z = np.array([5, 6.792, 1.75, 2, 6.833, 0.1245]) * FOOT
PROJECTILE, ARM = 0.328 * POUND, 10.65 * POUND
ARM_INERTIA, WEIGHT_INERTIA = POUND * FOOT**2, ARM * (B + C) ** 2 / 12  # swapped, as published
DRAG = np.pi * Z**2 / (2 * PROJECTILE)


def _mass_matrix(w, s, weight):
    """Of the free machine in (arm, hanger, sling), from T = sum of m v^2 / 2 + I rate^2 / 2."""
    lever = (B - C) / 2
    swing = WEIGHT_INERTIA + D * weight * (D + C * np.cos(w))
    sling = E * PROJECTILE * (E + B * np.cos(s))
    arm = ARM_INERTIA + WEIGHT_INERTIA + ARM * lever**2
    arm += PROJECTILE * (B**2 + E**2 + 2 * B * E * np.cos(s)) + weight * (C**2 + D**2 + 2 * C * D * np.cos(w))
    return np.array([[arm, swing, sling], [swing, WEIGHT_INERTIA + weight * D**2, 0], [sling, 0, PROJECTILE * E**2]])


def _forces(y, weight):
    a, w, s, da, dw, ds = y
    arm = G * (B - C) / 2 * ARM * np.sin(a) + G * PROJECTILE * (B * np.sin(a) + E * np.sin(a + s))
    arm -= G * weight * (C * np.sin(a) + D * np.sin(a + w))
    arm -= B * E * PROJECTILE * np.sin(s) * (da**2 - (da + ds) ** 2)
    arm -= C * D * weight * np.sin(w) * (da**2 - (da + dw) ** 2)
    hanger = -D * weight * (G * np.sin(a + w) + C * np.sin(w) * da**2)
    sling = E * PROJECTILE * (G * np.sin(a + s) - B * np.sin(s) * da**2)
    return np.array([arm, hanger, sling])


def _free(y, weight):
    return np.concatenate([y[3:], np.linalg.solve(_mass_matrix(y[1], y[2], weight), _forces(y, weight))])


def _grounded(y, weight):
    """The same machine, held on the ground by a force on the projectile: one multiplier more, the height without acceleration."""
    a, _, s, da, _, ds = y
    row = np.array([-B * np.sin(a) - E * np.sin(a + s), 0, -E * np.sin(a + s)])  # d height / d angles
    curvature = -B * np.cos(a) * da**2 - E * np.cos(a + s) * (da + ds) ** 2
    system = np.block([[_mass_matrix(y[1], y[2], weight), -row[:, None]], [row[None], np.zeros((1, 1))]])
    solution = np.linalg.solve(system, np.append(_forces(y, weight), -curvature))
    return np.concatenate([y[3:], solution[:3]]), solution[3]


def _position(y):
    return np.array([-B * np.sin(y[0]) - E * np.sin(y[0] + y[2]), B * np.cos(y[0]) + E * np.cos(y[0] + y[2])])


def _velocity(y):
    tip, sling = B * y[3], E * (y[3] + y[5])
    both = y[0] + y[2]
    return -tip * np.array([np.cos(y[0]), np.sin(y[0])]) - sling * np.array([np.cos(both), np.sin(both)])


def _until(event, slope, start, longest):
    def stop(t, y):
        return event(y)

    stop.terminal = True
    run = solve_ivp(lambda t, y: slope(y), (0, longest), start, method="DOP853", events=stop, rtol=1e-10, atol=1e-10)
    assert run.status == 1, "the event did not come"
    return run.t[-1], run.y[:, -1]


def reference(wind, angle, weight):
    """(distance, the times of lift-off, release and landing): `angle` between 0 and 90 degrees."""
    mass, release = weight * POUND, np.deg2rad(angle)
    slope = np.arcsin(A / B)
    start = np.array([np.pi / 2 + slope, -np.pi / 2 - slope, np.pi - slope, 0, 0, 0])
    lift, y = _until(lambda y: _grounded(y, mass)[1], lambda y: _grounded(y, mass)[0], start, 1)

    def across(y):
        vx, vy = _velocity(y)
        return vy * np.cos(release) - vx * np.sin(release)

    hang, y = _until(across, lambda y: _free(y, mass), y, 1)

    def flight(p):
        air = p[2:] - [wind, 0]
        return np.concatenate([p[2:], -DRAG * air * np.hypot(*air) - [0, G]])

    fly, p = _until(lambda p: p[1] + A, flight, np.concatenate([_position(y), _velocity(y)]), 10)
    return p[0], np.cumsum([lift, hang, fly])
