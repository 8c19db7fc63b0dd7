"""Ordinary differential equations, solved by loops as in cookbooks: steps appended to lists, steps of adaptive length."""

import numpy as np

from ._program import Program


def lotka_volterra(a, b, c, d):
    """Rabbits and foxes: 1,000 Runge-Kutta steps."""

    def rates(X):
        return np.array([a * X[0] - b * X[0] * X[1], -c * X[1] + d * b * X[0] * X[1]])

    t, dt = np.linspace(0, 15, 1001, retstep=True)
    X = np.array([10.0, 5.0])
    history = [X]
    for _ in t[1:]:
        k1 = rates(X)
        k2 = rates(X + dt / 2 * k1)
        k3 = rates(X + dt / 2 * k2)
        k4 = rates(X + dt * k3)
        X = X + dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        history.append(X)
    rabbits, foxes = np.array(history).T
    return rabbits.mean() + 0.1 * foxes[-1]


# The table of Dormand and Prince
STAGES = [
    [],
    [1 / 5],
    [3 / 40, 9 / 40],
    [44 / 45, -56 / 15, 32 / 9],
    [19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729],
    [9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656],
    [35 / 384, 0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84],
]
ERROR = np.array([71 / 57600, 0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40])


def rk45(f, y, t, t_end, args=(), tol=1e-6):
    """Steps of adaptive length, accepted or tried again."""
    h = 0.1
    while t < t_end:
        h = min(h, t_end - t)
        k = []
        for row in STAGES:
            k.append(f(y + h * sum(w * kj for w, kj in zip(row, k, strict=False)), t, *args))
        y_new = y + h * sum(w * kj for w, kj in zip(STAGES[-1], k, strict=False))
        error = np.linalg.norm(h * np.dot(ERROR, np.array(k))) / (tol * (1 + np.linalg.norm(y)))
        if error <= 1:
            t = t + h
            y = y_new
        h = h * min(5.0, max(0.2, 0.9 * error**-0.2))
    return y


def vectorfield(w, t, p):
    x1, y1, x2, y2 = w
    m1, m2, k1, k2, L1, L2, b1, b2 = p
    return np.array(
        [
            y1,
            (-b1 * y1 - k1 * (x1 - L1) + k2 * (x2 - x1 - L2)) / m1,
            y2,
            (-b2 * y2 - k2 * (x2 - x1 - L2)) / m2,
        ]
    )


def coupled_springs(m1, m2, k1, k2):
    """Two masses on two springs with friction."""
    p = [m1, m2, k1, k2, 0.5, 1.0, 0.8, 0.5]
    w = rk45(vectorfield, np.array([0.5, 0.0, 2.25, 0.0]), 0.0, 3.0, args=(p,))
    return w[0] + w[2]


def zombies(beta, zeta, alpha):
    """Susceptible, zombie, removed: the last of the living."""
    P, d, G = 0.0, 0.0001, 0.0001
    S, Z, R = 500.0, 10.0, 0.0
    dt = 0.01
    living = np.empty(400)
    for i in range(400):
        living[i] = S
        dS = P - beta * S * Z - d * S
        dZ = beta * S * Z + G * R - alpha * S * Z
        dR = d * S + alpha * S * Z - G * R - zeta * R
        S += dt * dS
        Z += dt * dZ
        R += dt * dR
    return living[-1] / living[0] + 1e-3 * Z + 1e-2 * R


THRESHOLD = 0.06


def sir_with_a_lockdown(beta, gamma):
    """Contacts fall while more than a share is ill. The threshold steers only: the derivative is that of the path taken."""
    s, i, r = 0.99, 0.01, 0.0
    peak = 0.0
    locked = False
    for _ in range(200):
        if i > THRESHOLD:
            locked = True
        elif i < 0.5 * THRESHOLD:
            locked = False
        rate = 0.3 * beta if locked else beta
        new = rate * s * i
        well = gamma * i
        s, i, r = s - new, i + new - well, r + well
        peak = max(peak, i)
    return r + peak


def pid_control(gains):
    """A heater that saturates, with an integrator that stops winding up."""
    kp, ki, kd = gains
    temperature, integral, previous = 15.0, 0.0, None
    cost = 0.0
    for k in range(200):
        setpoint = 20.0 if k < 100 else 24.0
        error = setpoint - temperature
        derivative = 0.0 if previous is None else (error - previous) / 0.1
        power = kp * error + ki * integral + kd * derivative
        if power > 10:
            power = 10.0
        elif power < 0:
            power = 0.0
        else:
            integral += error * 0.1
        temperature += 0.1 * (power - 0.3 * (temperature - 10.0))
        previous = error
        cost += 0.1 * error**2
    return cost


def bouncing_ball(height, restitution):
    """Semi-implicit Euler steps, and the moment of each impact inside its step."""
    y, v, dt, g = height, 0.0, 0.01, 9.81
    energy = []
    for _ in range(300):
        y_new = y + dt * v - 0.5 * g * dt**2
        v_new = v - g * dt
        if y_new < 0:
            hit = (v + np.sqrt(v**2 + 2 * g * y)) / g
            v_hit = -restitution * (v - g * hit)
            rest = dt - hit
            y_new = v_hit * rest - 0.5 * g * rest**2
            v_new = v_hit - g * rest
        y, v = y_new, v_new
        energy.append(g * y + v**2 / 2)
    return sum(energy) / len(energy)


def heat_equation(conductivity, left):
    """Crank-Nicolson by the Thomas algorithm, in place."""
    n, r = 20, conductivity * 0.5
    u = np.zeros(n)
    u[n // 3 : 2 * n // 3] = 1.0
    for _ in range(12):
        rhs = u.copy()
        rhs[1:-1] += r / 2 * (u[2:] - 2 * u[1:-1] + u[:-2])
        rhs[0] = left
        rhs[-1] = 0.0
        a, b, c = np.full(n, -r / 2), np.full(n, 1 + r), np.full(n, -r / 2)
        b[0] = b[-1] = 1.0
        a[0] = a[-1] = c[0] = c[-1] = 0.0
        for k in range(1, n):
            w = a[k] / b[k - 1]
            b[k] -= w * c[k - 1]
            rhs[k] -= w * rhs[k - 1]
        u[-1] = rhs[-1] / b[-1]
        for k in range(n - 2, -1, -1):
            u[k] = (rhs[k] - c[k] * u[k + 1]) / b[k]
    return np.sum(u**2) + u[n // 2]


PROGRAMS = [
    Program(lotka_volterra, (1.0, 0.1, 1.5, 0.75), step=1e-4),
    Program(coupled_springs, (1.0, 1.5, 8.0, 40.0), value=1e-10, step=1e-5),
    Program(zombies, (0.0095, 0.02, 0.005), step=1e-5),
    Program(sir_with_a_lockdown, (0.35, 0.1), step=1e-5),
    Program(pid_control, (np.array([1.7, 0.6, 0.1]),), step=1e-5),
    Program(bouncing_ball, (1.0, 0.8), step=1e-6),
    Program(heat_equation, (0.8, 0.3)),
]
