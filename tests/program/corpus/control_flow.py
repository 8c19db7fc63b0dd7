"""Branches: if and elif, early returns, conditional expressions, boolean operators, assertions."""
# ruff: noqa: SIM108

import math

import numpy as np

from ._case import Case

GRAVITY = 9.81
BRACKETS = [(0.0, 0.10), (11_000.0, 0.12), (44_725.0, 0.22), (95_375.0, 0.24)]


def income_tax(income, allowance):
    taxable = income - allowance
    if taxable <= 0:
        tax = 0.0
    elif taxable < 11_000:
        tax = 0.1 * taxable
    elif taxable < 44_725:
        tax = 1_100 + 0.12 * (taxable - 11_000)
    else:
        tax = 5_147 + 0.22 * (taxable - 44_725)
    return tax / income


def bracket_table(income):
    tax = 0.0
    for i, (start, rate) in enumerate(BRACKETS):
        end = BRACKETS[i + 1][0] if i + 1 < len(BRACKETS) else float("inf")
        if income > start:
            tax += rate * (min(income, end) - start)
    return tax


def sphere_drag(velocity, diameter):
    nu = 1.5e-5
    re = velocity * diameter / nu
    if re < 1:
        cd = 24 / re
    else:
        if re < 1000:
            if velocity > 0.5:
                cd = 24 / re * (1 + 0.15 * re**0.687)
            else:
                cd = 24 / re * (1 + 3 / 16 * re)
        else:
            cd = 0.44
    return 0.5 * cd * 1.2 * math.pi * diameter**2 / 4 * velocity**2


def huber(residual, delta):
    if abs(residual) <= delta:
        return 0.5 * residual**2
    return delta * (abs(residual) - 0.5 * delta)


def soft_threshold(x, penalty):
    return x - penalty if x > penalty else x + penalty if x < -penalty else 0.0


def triangular_density(x, low, mode, high):
    if low <= x < mode:
        return 2 * (x - low) / ((high - low) * (mode - low))
    elif mode <= x <= high:
        return 2 * (high - x) / ((high - low) * (high - mode))
    return 0.0


def thermostat(temperature, setpoint, outside, occupied=True):
    power = 0.0
    if temperature < setpoint - 0.5 and (occupied or temperature < 12):
        power = 2.0 * (setpoint - temperature)
    elif not occupied and not (temperature < 25):
        power = -1.0
    if outside > temperature or power > 3.0:
        power *= 0.5
    return power + 0.1 * (outside - temperature)


def quadratic_root(a, b, c):
    if abs(a) < 1e-12:
        return -c / b
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return math.sqrt(-discriminant) / (2 * a) - b
    q = -0.5 * (b + math.copysign(math.sqrt(discriminant), b))
    return max(q / a, c / q)


def checked_range(speed, angle):
    if speed <= 0:
        raise ValueError(f"speed must be positive, got {speed}")
    assert 0 < angle < 90, "angle must be between 0 and 90 degrees"
    return speed**2 * np.sin(2 * np.radians(angle)) / GRAVITY


def first_crossing(signal, level):
    for i in range(len(signal) - 1):
        if signal[i] < level <= signal[i + 1]:
            fraction = (level - signal[i]) / (signal[i + 1] - signal[i])
            return i + fraction
    return -1.0


def first_large_product(x, y):
    """A return out of two loops."""
    for a in x:
        for b in y:
            if a * b > 2.0:
                return a * b + a
            if a + b < -10:
                continue
    return 0.0


def stick_or_slip(force, normal, speed):
    mu = 0.6
    friction = force
    if abs(speed) > 1e-3:
        mu = 0.4
        friction = -mu * normal * np.sign(speed)
    elif abs(force) > mu * normal:
        friction = mu * normal
    return force + friction + mu


def wind_chill(temperature, wind, kind="wind"):
    if kind == "none":
        return temperature
    if kind == "wind":
        if temperature > 10 or wind < 4.8:
            return temperature
        return 13.12 + 0.6215 * temperature - 11.37 * wind**0.16 + 0.3965 * temperature * wind**0.16
    raise ValueError(kind)


def kernel(x, y, length, kind):
    r = abs(x - y) / length
    match kind:
        case "rbf":
            k = np.exp(-0.5 * r**2)
        case "matern32":
            k = (1 + np.sqrt(3) * r) * np.exp(-np.sqrt(3) * r)
        case _:
            k = 1.0 if r < 1 else 0.0
    return k


def default_when_zero(damping, stiffness):
    damping = damping or 0.1
    ratio = damping / (2 * np.sqrt(stiffness)) and damping * stiffness
    if stiffness:
        ratio += 1.0
    return ratio


def indicator_arithmetic(x, y):
    inside = x**2 + y**2 < 4
    return inside * (x + y) ** 2 + (not inside) * x + (x > 0) * np.exp(y)


def any_and_all(x, limit):
    if np.any(x > limit):
        x = np.minimum(x, limit)
    if (x > 0).all() and not (x < -1).any():
        return np.log(x).sum()
    return np.sum(x**2)


def flagged(x):
    found = False
    best = 0.0
    for value in x:
        if value > best and not found:
            best = value
            found = value > 1.5
    if found:
        best = best * 2
    return best


def number_or_array(x, y):
    total = 0.0
    for item in (x, y):
        if np.isscalar(item):
            total += item**2
        elif isinstance(item, np.ndarray):
            total += np.sum(item**3)
    if isinstance(x, float) and isinstance(total, float):
        total *= 2
    return total


def optional_offset(x, scale, offset=None):
    if offset is None:
        offset = scale**2
    return scale * x + offset if x is not None else offset


def sign_cases(x, y):
    quadrant = 1 if x >= 0 and y >= 0 else 2 if y >= 0 else 3 if x < 0 else 4
    weights = {1: 1.0, 2: x, 3: y, 4: x * y}
    if x < 0:
        if y >= 0:
            return quadrant * x * y
        return quadrant + x - y
    return quadrant * (x + 2 * y) + weights[1]


def sqrt_where_positive(x):
    """The branch that is not taken has no finite derivative."""
    if x > 0:
        return math.sqrt(x) + x
    return x**2 - x


CASES = [
    Case(income_tax, (38_000.0, 12_000.0)),
    Case(income_tax, (90_000.0, 12_000.0), "income_tax_top"),
    Case(bracket_table, (60_000.0,)),
    Case(sphere_drag, (0.8, 0.01)),
    Case(sphere_drag, (0.3, 0.003), "sphere_drag_slow"),
    Case(huber, (0.3, 1.0), "huber_inside", step=1e-3),
    Case(huber, (-2.3, 1.0), "huber_outside"),
    Case(soft_threshold, (-1.7, 0.4)),
    Case(triangular_density, (2.5, 1.0, 2.0, 4.0)),
    Case(thermostat, (17.0, 20.0, 5.0, True)),
    Case(thermostat, (26.0, 20.0, 30.0, False), "thermostat_empty"),
    Case(quadratic_root, (1.0, -3.0, 1.5)),
    Case(quadratic_root, (1.0, 2.0, 5.0), "quadratic_root_complex"),
    Case(checked_range, (20.0, 35.0)),
    Case(first_crossing, (np.array([0.1, 0.4, 0.9, 1.7, 1.2]), 1.1)),
    Case(first_large_product, (np.array([0.5, 1.0, 1.9]), np.array([0.7, 1.2, 2.5]))),
    Case(stick_or_slip, (2.0, 5.0, 0.7)),
    Case(wind_chill, (-5.0, 20.0, "wind")),
    Case(kernel, (1.0, 2.2, 0.8, "rbf"), "kernel_rbf"),
    Case(kernel, (1.0, 2.2, 0.8, "matern32"), "kernel_matern"),
    Case(default_when_zero, (0.3, 4.0)),
    Case(indicator_arithmetic, (0.7, 1.1)),
    Case(any_and_all, (np.array([0.5, 2.5, 1.5]), 2.0)),
    Case(flagged, (np.array([0.3, 1.1, 1.8, 2.6]),)),
    Case(number_or_array, (1.3, np.array([0.5, -0.7]))),
    Case(optional_offset, (1.5, 0.7)),
    Case(sign_cases, (-1.2, 0.8)),
    Case(sqrt_where_positive, (1.7,)),
]
