"""Programs in the idiom of public code that lean on SciPy's solvers: each is run as it is, and lifted."""

import numpy as np
import scipy.integrate
import scipy.interpolate
import scipy.optimize
import scipy.signal


def transfer(eccentricity, periapsis):
    """Orbital mechanics: Kepler's equation by two solvers, and the orbit by two integrators."""
    a = periapsis / (1 - eccentricity)
    mean = 1.2 * a**-1.5

    def kepler(E, e):
        return E - e * np.sin(E) - mean

    E = scipy.optimize.newton(kepler, mean, fprime=lambda E, e: 1 - e * np.cos(E), args=(eccentricity,), tol=1e-12)
    again = scipy.optimize.brentq(kepler, 0.0, 6.0, args=(eccentricity,))
    radius = a * (1 - eccentricity * np.cos(E))

    def two_body(t, state):
        x, y, vx, vy = state
        r3 = (x**2 + y**2) ** 1.5
        return [vx, vy, -x / r3, -y / r3]

    speed = np.sqrt((1 + eccentricity) / periapsis)
    start = np.array([periapsis, 0.0, 0.0, speed])
    orbit = scipy.integrate.solve_ivp(two_body, (0.0, 1.2), start, method="DOP853", rtol=1e-10, atol=1e-12)
    assert orbit.success
    path = scipy.integrate.odeint(two_body, start, [0.0, 0.6, 1.2], tfirst=True, rtol=1e-10, atol=1e-12)
    x, y = orbit.y[0, -1], orbit.y[1, -1]
    return radius * again + np.hypot(x, y) + path[1] @ np.array([1.0, 2.0, 0.5, 0.1])


def reactor(k1, feed):
    """A stirred tank: how it starts, stiffly, and its steady state."""
    exchange = 40.0

    def rates(t, c):
        A, B, C = c
        return np.array([feed - A - k1 * A * B, feed - B - k1 * A * B, k1 * A * B - exchange * (C - 0.1 * A)])

    run = scipy.integrate.solve_ivp(
        rates, (0.0, 2.0), [1.0, 0.5, 0.0], method="Radau", t_eval=np.linspace(0, 2, 5), rtol=1e-9, atol=1e-11
    )
    steady = scipy.optimize.fsolve(lambda c: rates(0.0, c), [0.5, 0.5, 0.1])
    return run.y[2, -1] + np.sum(run.y[0]) + steady @ np.array([1.0, 2.0, 3.0])


def exposure(clearance, volume):
    """Pharmacokinetics: two compartments, and the area under the curve."""

    def model(y, t, k, ka):
        gut, blood = y
        return [-ka * gut, ka * gut / volume - k * blood]

    k = clearance / volume
    times = np.linspace(0.0, 8.0, 9)
    blood = scipy.integrate.odeint(model, [10.0, 0.0], times, args=(k, 1.1))[:, 1]
    rest, error = scipy.integrate.quad(lambda t: blood[-1] * np.exp(-k * t), 0, np.inf)
    return scipy.integrate.trapezoid(blood, times) + rest + scipy.integrate.simpson(blood, x=times)


def ride(height, shift):
    """A trajectory through way points: its length and its highest speed."""
    knots = np.array([0.0, 1.0, 2.5, 4.0])
    x = scipy.interpolate.CubicSpline(knots, np.array([0.0, 1.0 + shift, 2.0, 4.0]))
    z = scipy.interpolate.CubicSpline(knots, np.array([0.0, height, 0.3, 0.0]), bc_type="natural")
    length, _ = scipy.integrate.quad(
        lambda t: np.sqrt(x(t, 1) ** 2 + z.derivative()(t) ** 2), 0.0, 4.0, points=[1.0, 2.5]
    )
    at = scipy.optimize.root_scalar(lambda t: z(t, 1), bracket=[0.5, 2.2], method="brentq").root
    return length + z(at)


def spectrum(pole, gain):
    """An autoregressive filter of noise that is given, and what it leaves of it."""
    noise = np.sin(np.arange(40) ** 1.7)
    a = [1.0, -1.6 * pole, pole**2]
    out, state = scipy.signal.lfilter([gain, 0.2], a, noise, zi=np.array([0.1, gain]))
    smooth = scipy.signal.convolve(out, np.ones(5) / 5, mode="same")
    return np.mean(smooth**2) + state @ state


PROGRAMS = {
    transfer: (0.3, 1.1),
    reactor: (3.0, 0.8),
    exposure: (0.6, 2.0),
    ride: (1.5, 0.2),
    spectrum: (0.8, 0.5),
}
