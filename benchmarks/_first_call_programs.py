"""Programs as their authors write them: what a first call of `sx.gradient` lifts, traces and compiles."""

from __future__ import annotations

import math

import numpy as np

# -- finite volumes: the compressible Euler equations on a periodic grid, with a Rusanov flux --------------------------


def conserved(rho, vx, vy, P, gamma, vol):
    Mass = rho * vol
    Momx = rho * vx * vol
    Momy = rho * vy * vol
    Energy = (P / (gamma - 1) + 0.5 * rho * (vx**2 + vy**2)) * vol
    return Mass, Momx, Momy, Energy


def primitive(Mass, Momx, Momy, Energy, gamma, vol):
    rho = Mass / vol
    vx = Momx / rho / vol
    vy = Momy / rho / vol
    P = (Energy / vol - 0.5 * rho * (vx**2 + vy**2)) * (gamma - 1)
    return rho, vx, vy, P


def slopes(f, dx):
    f_dx = (np.roll(f, -1, axis=0) - np.roll(f, 1, axis=0)) / (2 * dx)
    f_dy = (np.roll(f, -1, axis=1) - np.roll(f, 1, axis=1)) / (2 * dx)
    return f_dx, f_dy


def at_faces(f, f_dx, f_dy, dx):
    f_XL = f - f_dx * dx / 2
    f_XL = np.roll(f_XL, -1, axis=0)
    f_XR = f + f_dx * dx / 2
    f_YL = f - f_dy * dx / 2
    f_YL = np.roll(f_YL, -1, axis=1)
    f_YR = f + f_dy * dx / 2
    return f_XL, f_XR, f_YL, f_YR


def with_fluxes(F, flux_F_X, flux_F_Y, dx, dt):
    F = F - dt * dx * flux_F_X
    F = F + dt * dx * np.roll(flux_F_X, 1, axis=0)
    F = F - dt * dx * flux_F_Y
    F = F + dt * dx * np.roll(flux_F_Y, 1, axis=1)
    return F


def rusanov(rho_L, rho_R, vx_L, vx_R, vy_L, vy_R, P_L, P_R, gamma):
    en_L = P_L / (gamma - 1) + 0.5 * rho_L * (vx_L**2 + vy_L**2)
    en_R = P_R / (gamma - 1) + 0.5 * rho_R * (vx_R**2 + vy_R**2)

    rho_star = 0.5 * (rho_L + rho_R)
    momx_star = 0.5 * (rho_L * vx_L + rho_R * vx_R)
    momy_star = 0.5 * (rho_L * vy_L + rho_R * vy_R)
    en_star = 0.5 * (en_L + en_R)
    P_star = (gamma - 1) * (en_star - 0.5 * (momx_star**2 + momy_star**2) / rho_star)

    flux_Mass = momx_star
    flux_Momx = momx_star**2 / rho_star + P_star
    flux_Momy = momx_star * momy_star / rho_star
    flux_Energy = (en_star + P_star) * momx_star / rho_star

    C_L = np.sqrt(gamma * P_L / rho_L) + np.abs(vx_L)
    C_R = np.sqrt(gamma * P_R / rho_R) + np.abs(vx_R)
    C = np.maximum(C_L, C_R)

    flux_Mass -= C * 0.5 * (rho_L - rho_R)
    flux_Momx -= C * 0.5 * (rho_L * vx_L - rho_R * vx_R)
    flux_Momy -= C * 0.5 * (rho_L * vy_L - rho_R * vy_R)
    flux_Energy -= C * 0.5 * (en_L - en_R)
    return flux_Mass, flux_Momx, flux_Momy, flux_Energy


def finite_volume(amplitude, width):
    """Mixing of two streams, and the square of the vorticity-like speed across them at the end."""
    N, boxsize, gamma, courant_fac, t, tEnd = 12, 1.0, 5 / 3, 0.4, 0.0, 0.3
    dx = boxsize / N
    vol = dx**2
    xlin = np.linspace(0.5 * dx, boxsize - 0.5 * dx, N)
    Y, X = np.meshgrid(xlin, xlin)

    rho = 1.0 + (np.abs(Y - 0.5) < 0.25)
    vx = -0.5 + (np.abs(Y - 0.5) < 0.25)
    bumps = np.exp(-((Y - 0.25) ** 2) / (2 * width**2)) + np.exp(-((Y - 0.75) ** 2) / (2 * width**2))
    vy = amplitude * np.sin(4 * np.pi * X) * bumps
    P = 2.5 * np.ones(X.shape)

    Mass, Momx, Momy, Energy = conserved(rho, vx, vy, P, gamma, vol)
    while t < tEnd:
        rho, vx, vy, P = primitive(Mass, Momx, Momy, Energy, gamma, vol)
        dt = courant_fac * np.min(dx / (np.sqrt(gamma * P / rho) + np.sqrt(vx**2 + vy**2)))

        rho_dx, rho_dy = slopes(rho, dx)
        vx_dx, vx_dy = slopes(vx, dx)
        vy_dx, vy_dy = slopes(vy, dx)
        P_dx, P_dy = slopes(P, dx)

        rho_prime = rho - 0.5 * dt * (vx * rho_dx + rho * vx_dx + vy * rho_dy + rho * vy_dy)
        vx_prime = vx - 0.5 * dt * (vx * vx_dx + vy * vx_dy + (1 / rho) * P_dx)
        vy_prime = vy - 0.5 * dt * (vx * vy_dx + vy * vy_dy + (1 / rho) * P_dy)
        P_prime = P - 0.5 * dt * (gamma * P * (vx_dx + vy_dy) + vx * P_dx + vy * P_dy)

        rho_XL, rho_XR, rho_YL, rho_YR = at_faces(rho_prime, rho_dx, rho_dy, dx)
        vx_XL, vx_XR, vx_YL, vx_YR = at_faces(vx_prime, vx_dx, vx_dy, dx)
        vy_XL, vy_XR, vy_YL, vy_YR = at_faces(vy_prime, vy_dx, vy_dy, dx)
        P_XL, P_XR, P_YL, P_YR = at_faces(P_prime, P_dx, P_dy, dx)

        flux_Mass_X, flux_Momx_X, flux_Momy_X, flux_Energy_X = rusanov(
            rho_XL, rho_XR, vx_XL, vx_XR, vy_XL, vy_XR, P_XL, P_XR, gamma
        )
        flux_Mass_Y, flux_Momy_Y, flux_Momx_Y, flux_Energy_Y = rusanov(
            rho_YL, rho_YR, vy_YL, vy_YR, vx_YL, vx_YR, P_YL, P_YR, gamma
        )

        Mass = with_fluxes(Mass, flux_Mass_X, flux_Mass_Y, dx, dt)
        Momx = with_fluxes(Momx, flux_Momx_X, flux_Momx_Y, dx, dt)
        Momy = with_fluxes(Momy, flux_Momy_X, flux_Momy_Y, dx, dt)
        Energy = with_fluxes(Energy, flux_Energy_X, flux_Energy_Y, dx, dt)
        t += dt
    return np.sum((Momy / Mass) ** 2)


# -- explicit diffusion, cell by cell ----------------------------------------------------------------------------------


def diffusion_swapped(u0, conductivity):
    """The same with two arrays that change places."""
    u, other, r = u0.copy(), u0.copy(), 0.4 * conductivity
    for _ in range(25):
        for i in range(1, len(u0) - 1):
            other[i] = u[i] + r * (u[i + 1] - 2 * u[i] + u[i - 1])
        u, other = other, u
    return np.sum(u**2)


def diffusion(u0, conductivity):
    """Heat in a rod of 20 cells after 50 steps, its ends at their first temperatures: how uneven it still is."""
    n, steps, dx, dt = len(u0), 50, 0.05, 0.001
    r = conductivity * dt / dx**2
    u = u0.copy()
    for _ in range(steps):
        u_new = u.copy()
        for i in range(1, n - 1):
            u_new[i] = u[i] + r * (u[i + 1] - 2 * u[i] + u[i - 1])
        u = u_new
    total = 0.0
    for i in range(n):
        total += (u[i] - u.mean()) ** 2
    return total


# -- a controller ------------------------------------------------------------------------------------------------------


class PID:
    def __init__(self, kp, ki, kd, low, high):
        self.kp, self.ki, self.kd = kp, ki, kd
        self.low, self.high = low, high
        self.integral = 0.0
        self.previous = None

    def update(self, error, dt):
        self.integral += error * dt
        if self.integral > 10.0:
            self.integral = 10.0
        elif self.integral < -10.0:
            self.integral = -10.0
        derivative = 0.0 if self.previous is None else (error - self.previous) / dt
        self.previous = error
        output = self.kp * error + self.ki * self.integral + self.kd * derivative
        if output > self.high:
            output = self.high
        elif output < self.low:
            output = self.low
        return output


class Heater:
    def __init__(self, temperature):
        self.temperature = temperature

    def step(self, power, dt):
        if power < 0:
            power = 0.0
        self.temperature += dt * (power - 0.1 * (self.temperature - 20.0))
        return self.temperature


def pid(kp, ki, kd):
    """30 rounds of a controller with limits; the cost is the square of the error, and some of the effort."""
    controller = PID(kp, ki, kd, -5.0, 30.0)
    heater = Heater(15.0)
    cost = 0.0
    for k in range(30):
        target = 40.0 if k < 15 else 30.0
        error = target - heater.temperature
        power = controller.update(error, 0.5)
        heater.step(power, 0.5)
        cost += error**2 * 0.5 + 0.001 * power**2
    return cost


class Limiter:
    def __init__(self, kp, ki, kd, dt, low, high):
        self.kp, self.ki, self.kd, self.dt = kp, ki, kd, dt
        self.low, self.high = low, high
        self.integral = 0.0
        self.previous = 0.0

    def update(self, error):
        self.integral += error * self.dt
        if self.integral > self.high:
            self.integral = self.high
        if self.integral < self.low:
            self.integral = self.low
        output = self.kp * error + self.ki * self.integral + self.kd * (error - self.previous) / self.dt
        self.previous = error
        if output > self.high:
            output = self.high
        elif output < self.low:
            output = self.low
        return output


def pid_history(kp, ki, kd):
    """The same kind of controller, which keeps arrays of what it saw and did."""
    controller, n = Limiter(kp, ki, kd, 0.1, -5.0, 5.0), 30
    t = np.linspace(0.0, 3.0, n + 1)
    target = np.where(t > 0.5, 1.0, 0.0)
    y, power = np.zeros(n + 1), np.zeros(n + 1)
    for k in range(1, n + 1):
        power[k] = controller.update(target[k] - y[k - 1])
        y[k] = y[k - 1] + 0.1 * (power[k] - y[k - 1] + 0.1 * power[k - 1])
    return np.sum((y - target) ** 2) + 0.01 * np.sum(power**2)


# -- conjugate gradients -----------------------------------------------------------------------------------------------


def conjugate_gradients(A, b):
    """x of A x = b, to a tolerance, and its square."""
    x = np.zeros_like(b)
    r = b - A @ x
    p = r.copy()
    rs = r @ r
    for _ in range(len(b)):
        Ap = A @ p
        alpha = rs / (p @ Ap)
        x = x + alpha * p
        r = r - alpha * Ap
        rs_new = r @ r
        if math.sqrt(rs_new) < 1e-10:
            break
        p = r + (rs_new / rs) * p
        rs = rs_new
    return x @ x


def programs():
    """Name, program, arguments."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(3, 3))
    rod = np.sin(np.linspace(0.0, 3.0, 20)) + 0.1 * rng.normal(size=20)
    return [
        ("finite volume, 12 x 12", finite_volume, (0.1, 0.035)),
        ("diffusion, 20 cells", diffusion, (rod, 0.5)),
        ("the same, arrays swapped", diffusion_swapped, (rod, 0.5)),
        ("PID, 30 rounds", pid, (2.0, 0.3, 0.1)),
        ("the same, histories kept", pid_history, (2.0, 0.3, 0.1)),
        ("conjugate gradients, 3 x 3", conjugate_gradients, (half @ half.T + 3 * np.eye(3), np.array([1.0, 2.0, 3.0]))),
    ]
